"""Whatever happens to a step, to its worker or to gitml itself: no process survives, no sandbox stays, the truth is told."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.core.model.protocols import TaskFinished, TaskOutput, TaskStarted
from gitml.execute.local_executor import LocalExecutor
from gitml.execute.log import HEAD, TAIL
from gitml.platform.linux import form
from tests.kit.execution import ExecutionBench, finish, gone, processes_with, runs, until, until_finished
from tests.kit.patience import PATIENCE

ROOT = str(Path(__file__).resolve().parents[2])


LEAVES_ITS_GROUP = pytest.mark.needs_linux("a process that leaves the process group of its step is ended with it")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[ExecutionBench]:
    bench = ExecutionBench(tmp_path)
    yield bench
    bench.close()
    assert sandboxes(bench) == []


def sandboxes(bench: ExecutionBench) -> list[str]:
    return [name for name in os.listdir(bench.live) if not name.endswith(".log")]


def mark() -> str:
    """Seconds to sleep that no other process sleeps, so that a process can be told by its command line."""
    return f"{1000 + os.getpid()}.{time.monotonic_ns() % 10**9}"


def start(executor: LocalExecutor, task: object) -> None:
    executor.submit(task)  # type: ignore[arg-type]
    until(executor, lambda event: isinstance(event, TaskStarted))


def wait_for_process(mark: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not [pid for pid in processes_with(mark) if b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()[:8]]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@LEAVES_ITS_GROUP
def test_a_daemon_left_behind_ends_with_its_step_and_does_not_hold_it_up(bench: ExecutionBench) -> None:
    name = mark()
    begun = time.monotonic()
    finished = bench.shell(
        f"setsid sh -c 'sleep {name} & sleep {name}' & sleep 0.1; echo done; echo x > o", outputs=[("o", "o", "file")]
    )
    assert finished.outcome == "done"
    assert bench.log(finished) == b"done\n"
    assert time.monotonic() - begun < PATIENCE
    assert not processes_with(name)


@LEAVES_ITS_GROUP
def test_a_double_forked_daemon_that_ignores_signals_ends_too(bench: ExecutionBench) -> None:
    name = mark()
    daemon = (
        "import os, signal, subprocess, sys\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "        os.environ.clear(); os.chdir('/')\n"
        f"        os.execv('/bin/sleep', ['sleep', '{name}'])\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    finished = bench.run(sys.executable, "-c", daemon)
    assert finished.outcome == "done", finished
    assert not processes_with(name)


@LEAVES_ITS_GROUP
def test_a_tree_that_keeps_forking_is_ended(bench: ExecutionBench) -> None:
    name = mark()
    script = f"f() {{ while :; do setsid sleep {name} & sleep 0.005; done; }}; f & f & sleep 0.2; exit 0"
    finished = bench.shell(script)
    assert finished.outcome == "done"
    assert gone(name)


def test_what_ends_is_not_stopped_first_as_it_would_stay_so_if_its_ender_were_killed() -> None:
    script = (
        "import os, subprocess\n"
        "from gitml.platform import linux\n"
        "linux.form.adopt_orphans('tested', os.getppid(), 9)\n"
        "sent, real = [], linux.send\n"
        "linux.send = lambda pids, number: (sent.append(int(number)), real(pids, number))\n"
        "subprocess.Popen(['sh', '-c', 'sleep 60 & sleep 60'])\n"
        "linux.form.end_all()\n"
        "print(sorted(set(sent)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"[{int(signal.SIGKILL)}]\n"


def test_a_process_a_service_of_the_worker_needs_survives_the_step(bench: ExecutionBench) -> None:
    one, two = bench.blob("one"), bench.blob("two")
    assert bench.log(bench.run("cat", "a", code=[("a", "100644", one)])) == b"one"
    assert bench.log(bench.run("cat", "a", code=[("a", "100644", two)])) == b"two"


# Timeouts here leave the shell time to set its trap.


@LEAVES_ITS_GROUP
def test_a_timeout_ends_the_tree_softly_first(bench: ExecutionBench) -> None:
    name = mark()
    finished = bench.shell(f"trap 'echo bye; exit 1' TERM; setsid sleep {name} & sleep {name} & wait", timeout=4)
    assert (finished.outcome, finished.error) == ("timeout", "timed out after 4s")
    assert bench.log(finished) == b"bye\n"
    assert not processes_with(name)


def test_a_timeout_kills_what_ignores_it_after_the_grace(bench: ExecutionBench) -> None:
    name = mark()
    executor = bench.executor(grace=0.3)
    begun = time.monotonic()
    finished = finish(executor, bench.task("sh", "-c", f"trap '' TERM; sleep {name}; sleep {name}", timeout=4))
    assert finished.outcome == "timeout"
    assert finished.exit_code == -9
    assert time.monotonic() - begun < 60
    assert not processes_with(name)


def test_cancel_asks_first_and_now_kills(bench: ExecutionBench) -> None:
    name = mark()
    executor = bench.executor(grace=30)
    soft = bench.task("bash", "-c", f"trap 'echo saved; exit 0' TERM; sleep {name} & wait")
    start(executor, soft)
    wait_for_process(name)
    executor.cancel(soft.attempt)
    finished = until_finished(executor, soft.attempt)[-1]
    assert isinstance(finished, TaskFinished)
    assert (finished.outcome, bench.log(finished)) == ("cancelled", b"saved\n")

    hard = bench.task("sh", "-c", f"trap '' TERM; sleep {name}; sleep {name}")
    start(executor, hard)
    wait_for_process(name)
    begun = time.monotonic()
    executor.cancel(hard.attempt)
    executor.cancel(hard.attempt, now=True)
    finished = until_finished(executor, hard.attempt)[-1]
    assert isinstance(finished, TaskFinished)
    assert finished.outcome == "cancelled"
    assert time.monotonic() - begun < 25
    assert not processes_with(name)


@pytest.mark.slow
def test_cancel_now_does_not_wait_for_outputs_to_be_taken(bench: ExecutionBench) -> None:
    executor = bench.executor()
    task = bench.task("sh", "-c", "mkdir d; cd d; seq 4000 | split -l 1 -a 5", outputs=[("d", "d", "directory")])
    start(executor, task)
    work = f"{bench.sandboxes}/{task.attempt}/work/d"
    deadline = time.monotonic() + PATIENCE
    while not (os.path.isdir(work) and len(os.listdir(work)) >= 4000):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.05)
    executor.cancel(task.attempt, now=True)
    finished = until_finished(executor, task.attempt)[-1]
    assert isinstance(finished, TaskFinished)
    assert finished.outcome in ("cancelled", "done")
    assert finish(executor, bench.task("true")).outcome == "done"


@pytest.mark.slow
def test_a_flood_of_output_is_bounded_and_quick(bench: ExecutionBench) -> None:
    begun = time.monotonic()
    finished = bench.shell("echo begin; head -c 1000000000 /dev/zero | tr '\\0' 'x'; echo; echo end")
    assert finished.outcome == "done"
    assert finished.log is not None
    assert finished.log.written == 1_000_000_011
    assert HEAD + TAIL <= finished.log.size < HEAD + TAIL + 100
    log = bench.log(finished)
    assert log.startswith(b"begin\nxxx")
    assert log.endswith(b"x\nend\n")
    left_out = finished.log.written - HEAD - TAIL
    assert b"\n[... %d bytes left out ...]\n" % left_out in log
    assert time.monotonic() - begun < PATIENCE


def test_lines_are_shown_a_few_times_a_second_only(bench: ExecutionBench) -> None:
    executor = bench.executor()
    task = bench.task(
        "sh", "-c", "i=0; while [ $i -lt 40000 ]; do echo line $i; i=$((i+1)); done; sleep 0.3; echo last"
    )
    executor.submit(task)
    events = until_finished(executor, task.attempt)
    finished = events[-1]
    assert isinstance(finished, TaskFinished)
    shown = [event.line for event in events if isinstance(event, TaskOutput)]
    assert 1 <= len(shown) <= 5 * finished.cost.wall + 2
    assert bench.log(finished).count(b"\n") == 40001


@LEAVES_ITS_GROUP
def test_a_killed_worker_is_told_as_lost_and_replaced(bench: ExecutionBench) -> None:
    name = mark()
    executor = bench.executor()
    task = bench.task("bash", "-c", f"setsid env -i /bin/sleep {name} & sleep {name}")
    start(executor, task)
    wait_for_process(name)
    worker = next(each.pid for each in executor._workers.values())
    os.kill(worker, signal.SIGKILL)
    finished = until_finished(executor, task.attempt)[-1]
    assert isinstance(finished, TaskFinished)
    assert (finished.outcome, finished.error) == ("lost", "its worker was killed by SIGKILL (out of memory?)")
    assert not processes_with(name)
    assert sandboxes(bench) == []
    assert finish(executor, bench.task("true")).outcome == "done"


def test_what_a_step_had_made_when_its_worker_was_killed_is_kept(bench: ExecutionBench) -> None:
    name = mark()
    executor = bench.executor()
    task = bench.task("bash", "-c", f"echo half > o; sleep {name}", outputs=[("o", "o", "file"), ("p", "p", "file")])
    start(executor, task)
    wait_for_process(name)
    os.kill(next(each.pid for each in executor._workers.values()), signal.SIGKILL)
    finished = until_finished(executor, task.attempt)[-1]
    assert isinstance(finished, TaskFinished)
    assert (finished.outcome, finished.outputs) == ("lost", ())
    assert [(ref.name, bench.store.read(ref.digest)) for ref in finished.partial] == [("o", b"half\n")]
    assert sandboxes(bench) == []


def test_what_a_step_saves_when_it_is_asked_to_end_is_kept_and_nothing_when_it_is_killed_at_once(
    bench: ExecutionBench,
) -> None:
    for now in (False, True):
        name = mark()
        executor = bench.executor()
        script = f"trap 'echo saved > o; exit 1' TERM; echo early > p; sleep {name} & wait"
        task = bench.task("bash", "-c", script, outputs=[("o", "o", "file"), ("p", "p", "file")])
        start(executor, task)
        wait_for_process(name)
        executor.cancel(task.attempt, now=now)
        finished = until_finished(executor, task.attempt)[-1]
        assert isinstance(finished, TaskFinished)
        assert finished.outcome == "cancelled"
        kept = {ref.name: bench.store.read(ref.digest) for ref in finished.partial}
        assert kept == ({} if now else {"o": b"saved\n", "p": b"early\n"})


def test_the_other_worker_goes_on_when_one_is_killed(bench: ExecutionBench) -> None:
    executor = bench.executor()
    lost, kept = bench.task("sleep", "100"), bench.task("sh", "-c", "sleep 1; echo kept")
    start(executor, lost)
    start(executor, kept)
    os.kill(next(each.pid for each in executor._workers.values() if each.attempt == lost.attempt), signal.SIGKILL)
    seen: dict[str, TaskFinished] = {}
    while len(seen) < 2:
        seen |= {event.attempt: event for event in executor.wait(PATIENCE) if isinstance(event, TaskFinished)}
    assert (seen[lost.attempt].outcome, seen[kept.attempt].outcome) == ("lost", "done")
    assert bench.log(seen[kept.attempt]) == b"kept\n"


@LEAVES_ITS_GROUP
def test_a_killed_supervisor_costs_what_runs_and_no_more(bench: ExecutionBench) -> None:
    name = mark()
    executor = bench.executor()
    task = bench.task("sh", "-c", f"setsid sleep {name} & sleep {name}")
    start(executor, task)
    wait_for_process(name)
    os.kill(executor._supervisor, signal.SIGKILL)
    finished = until_finished(executor, task.attempt)[-1]
    assert isinstance(finished, TaskFinished)
    assert finished.outcome == "lost"
    assert gone(name)
    assert finish(executor, bench.task("true")).outcome == "done"


@LEAVES_ITS_GROUP
@pytest.mark.parametrize("phase", ["process", "outputs"])
def test_a_killed_gitml_leaves_no_process_and_no_sandbox(tmp_path: Path, phase: str) -> None:
    name = mark()
    driver = tmp_path / "driver.py"
    script = f"setsid sh -c 'sleep {name} & sleep {name}' & trap '' TERM; sleep {name}"
    if phase == "outputs":
        script = f": {name}; mkdir d; cd d; seq 4000 | split -l 1 -a 5"
    driver.write_text(
        "import pathlib, sys\n"
        "from tests.kit.execution import ExecutionBench\n"
        f"bench = ExecutionBench(pathlib.Path({str(tmp_path)!r}))\n"
        "executor = bench.executor()\n"
        f"executor.submit(bench.task('bash', '-c', {script!r}, outputs=[('d', 'd', 'directory')]))\n"
        "executor.submit(bench.task('true'))\n"
        "while True:\n"
        "    for event in executor.wait(None): print(event, flush=True)\n"
    )
    environ = {**os.environ, "PYTHONPATH": ROOT}
    with subprocess.Popen(
        [sys.executable, str(driver)], env=environ, stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        live = tmp_path / "repo/.git/gitml/live/run"
        work = live / "a1/work/d"
        if phase == "outputs":
            deadline = time.monotonic() + PATIENCE
            while not (work.is_dir() and len(os.listdir(work)) >= 4000):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(0.02)
        else:
            wait_for_process(name)
        workers = form.below(parent.pid)
        assert len(workers) >= 3
        os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()
        deadline = time.monotonic() + PATIENCE
        while any(map(runs, workers)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [pid for pid in workers if runs(pid)] == []
        assert gone(name, 0)
        assert [path for path in os.listdir(live) if not path.endswith(".log")] == []


@LEAVES_ITS_GROUP
def test_close_ends_what_runs(bench: ExecutionBench) -> None:
    name = mark()
    executor = bench.executor()
    start(executor, bench.task("sh", "-c", f"trap '' TERM; setsid sleep {name} & sleep {name}"))
    wait_for_process(name)
    executor.close()
    assert not processes_with(name)
    assert sandboxes(bench) == []


def test_an_interrupt_of_the_terminal_does_not_reach_steps_or_workers(bench: ExecutionBench) -> None:
    executor = bench.executor()
    task = bench.task("sh", "-c", "sleep 0.5; echo on")
    start(executor, task)
    assert {os.getsid(pid) for pid in form.below(executor._supervisor)}.isdisjoint({os.getsid(0)})
    finished = until_finished(executor, task.attempt)[-1]
    assert isinstance(finished, TaskFinished)
    assert finished.outcome == "done"


def test_a_step_starts_with_default_signals_and_no_stray_descriptor(bench: ExecutionBench) -> None:
    stray = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(stray, True)
    try:
        # Each looks at itself: a shell that has just forked blocks signals for a moment, and would be seen in it.
        listed = bench.run("ls", "/proc/self/fd")
        status = bench.run("grep", "-E", "Sig(Blk|Ign)", "/proc/self/status")
    finally:
        os.close(stray)
    assert bench.log(listed).decode().split() == ["0", "1", "2", "3"], "3 is the folder that ls reads"
    blocked, blocks, ignored, ignores = bench.log(status).decode().split()
    assert (blocked, ignored) == ("SigBlk:", "SigIgn:")
    standard = 2**31 - 1
    assert int(blocks, 16) & standard == 0
    assert int(ignores, 16) & standard == 0


def test_descriptors_do_not_grow_with_the_number_of_steps(bench: ExecutionBench) -> None:
    executor = bench.executor(slots=1)
    finish(executor, bench.task("true"))
    worker = next(each.pid for each in executor._workers.values())

    def held() -> tuple[int, int]:
        own = len(os.listdir("/proc/self/fd"))
        try:
            return len(os.listdir(f"/proc/{worker}/fd")), own
        except PermissionError:  # nobody but root looks into a worker: the size of its table is what it shows
            status = Path(f"/proc/{worker}/status").read_text()
            return int(status.partition("FDSize:")[2].split()[0]), own

    before = held()
    for _ in range(70):
        finish(executor, bench.task("sh", "-c", "echo x; sleep 0 & exit 1"))
    deadline = time.monotonic() + PATIENCE  # the result is told before the sandbox is removed, which opens folders
    while any(now > then for now, then in zip(held(), before, strict=True)):
        assert time.monotonic() < deadline, (held(), before)
        time.sleep(0.02)


def test_a_sandbox_deeper_than_any_recursion_is_removed(bench: ExecutionBench) -> None:
    finished = bench.run(
        sys.executable, "-c", "import os\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\nopen('f','w')"
    )
    assert finished.outcome == "done", finished


def test_a_worker_that_cannot_begin_fails_its_task(tmp_path: Path) -> None:
    bench = ExecutionBench(tmp_path)

    def broken() -> object:
        raise OSError("no store today")

    bench.services = broken  # type: ignore[method-assign,assignment]
    try:
        finished = bench.run("true")
        assert (finished.outcome, finished.error) == ("failed", "the worker can't begin: no store today")
    finally:
        bench.close()


@LEAVES_ITS_GROUP
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_is_killed_or_cancelled_each_task_ends_once_and_nothing_stays(
    bench: ExecutionBench, seed: int
) -> None:
    name = mark()
    chance = random.Random(seed)
    executor = bench.executor()
    ended: dict[str, str] = {}
    submitted = 0
    until = time.monotonic() + PATIENCE
    while len(ended) < 60:
        assert time.monotonic() < until
        while submitted < 60 and submitted - len(ended) < 2:
            script = f"mkdir d; echo > d/1; setsid sleep {name} & sleep 0.0{chance.randrange(10, 50)}"
            executor.submit(bench.task("sh", "-c", script, outputs=[("d", "d", "directory")]))
            submitted += 1
        for event in executor.wait(chance.random() * 0.02):
            if isinstance(event, TaskFinished):
                assert event.attempt not in ended
                ended[event.attempt] = event.outcome
        workers = list(executor._workers.values())
        drawn = chance.random()
        if drawn < 0.06 and workers and workers[0].pid:
            kill(chance.choice(workers).pid)
        elif drawn < 0.08:
            kill(executor._supervisor)
        elif drawn < 0.16:
            for each in workers:
                if each.attempt:
                    executor.cancel(each.attempt, now=chance.random() < 0.5)
                    break
    executor.close()
    assert set(ended.values()) <= {"done", "lost", "cancelled"}
    assert not processes_with(name)
    assert sandboxes(bench) == []


def test_a_worker_killed_after_its_last_word_leaves_no_sandbox_though_nothing_is_asked_any_more(
    bench: ExecutionBench,
) -> None:
    executor = bench.executor()
    task = bench.task(
        "sh", "-c", "mkdir d; cd d; seq 20000 | split -l 1 -a 5; echo > ../o", outputs=[("o", "o", "file")]
    )
    assert finish(executor, task).outcome == "done"
    kill(next(each.pid for each in executor._workers.values()))  # while it removes 20,000 files
    executor.close()
    assert sandboxes(bench) == []


def kill(pid: int) -> None:
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@LEAVES_ITS_GROUP
def test_when_all_of_gitml_is_killed_at_once_its_steps_can_be_found_by_their_place(bench: ExecutionBench) -> None:
    name = mark()
    executor = bench.executor()
    start(executor, bench.task("sh", "-c", f"setsid sh -c 'cd /; exec sleep {name}' & exec sleep {name}"))
    wait_for_process(name)
    worker = next(each.pid for each in executor._workers.values())
    os.kill(executor._supervisor, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    os.kill(executor._supervisor, signal.SIGKILL)
    assert form.end_strays(bench.live) >= 1
    assert gone(name)
