"""What every Executor promises: the one of this machine, and the one of a Ray cluster."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.core.model.action import CodeFile, StepCommit
from gitml.core.model.digest import digest_of
from gitml.core.model.protocols import TaskFinished, TaskOutput, TaskStarted
from gitml.core.model.resources import Resources
from tests.kit.cluster.local_ray import LocalRay, RayBench, local_ray
from tests.kit.execution import ExecutionBench, finish, until, until_finished, until_true
from tests.kit.patience import PATIENCE


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalRay]:
    with local_ray(environ={"LC_TIME": "C", "https_proxy": "http://p", "SECRET": "s", "GIT_DIR": "/x"}) as cluster:
        yield cluster


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=[pytest.mark.slow, pytest.mark.cluster])])
def kind(request: pytest.FixtureRequest) -> str:
    """Of the module's scope, so that nothing is forked once Ray has its threads in this process."""
    return str(request.param)


@pytest.fixture
def bench(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ExecutionBench]:
    bench = ExecutionBench(tmp_path) if kind == "local" else RayBench(tmp_path, request.getfixturevalue("cluster"))
    yield bench
    bench.close()
    until_true("sandboxes are removed", lambda: bench.left() == [])


only_local = pytest.mark.parametrize("kind", ["local"], indirect=True, scope="module")


def test_a_task_starts_and_finishes_once_with_its_outputs_in_the_store(bench: ExecutionBench) -> None:
    executor = bench.executor()
    task = bench.task("sh", "-c", "echo made > out.txt", outputs=[("out", "out.txt", "file")])
    executor.submit(task)
    events = until_finished(executor, task.attempt)
    assert [type(event) for event in events] == [TaskStarted, TaskFinished]
    finished = events[-1]
    assert isinstance(finished, TaskFinished)
    assert (finished.outcome, finished.exit_code, finished.error) == ("done", 0, None)
    assert bench.output(finished, "out") == b"made\n"
    assert finished.outputs[0].size == 5
    assert finished.cost.wall > 0
    assert finished.log is None, "a silent step has no log"
    assert executor.wait(0.05) == ()


def test_a_value_that_is_passed_on_appears_in_no_log_line_or_error(bench: ExecutionBench) -> None:
    secret = "tok-0123456789abcdef"
    task = bench.task(
        "bash",
        "-c",
        'for i in 1 2 3; do printf "%s" "${TOKEN:0:9}"; sleep 0.3; echo "${TOKEN:9} $i"; done; echo "ValueError: $TOKEN"; exit 3',
        env={"TOKEN": None},
    )
    executor = bench.executor()
    executor.submit(task._replace(lent={"TOKEN": secret}))
    events = until_finished(executor, task.attempt)
    finished = events[-1]
    assert isinstance(finished, TaskFinished)
    assert finished.error == "exit status 3: ValueError: ***"
    assert bench.log(finished) == b"*** 1\n*** 2\n*** 3\nValueError: ***\n"
    assert secret not in repr(events)


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ("exit 3", "exit status 3"),
        ("true", "did not make output gone (gone)"),
        ("mkdir gone; sleep 60", "timed out after 1s"),
    ],
)
def test_what_a_failed_task_made_of_its_outputs_comes_with_its_end_and_is_no_output(
    bench: ExecutionBench, end: str, error: str
) -> None:
    outputs = [("big", "big", "file"), ("folder", "folder", "directory"), ("gone", "gone", "file")]
    made = f"head -c 3000000 /dev/zero > big; mkdir folder; echo x > folder/x; {end}"
    finished = bench.run("bash", "-c", made, outputs=outputs, timeout=1.0 if "sleep" in end else None)
    assert (finished.error, finished.outputs) == (error, ())
    assert [(ref.name, ref.kind, ref.size) for ref in finished.partial] == [
        ("big", "file", 3000000),
        ("folder", "directory", 2),
    ]
    assert all(bench.store.has(ref.digest, ref.size, tree=ref.is_tree) for ref in finished.partial)


@only_local
def test_as_many_tasks_as_slots_run_at_once(bench: ExecutionBench, tmp_path: Path) -> None:
    executor = bench.executor(slots=3)
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    script = (
        f"touch {meeting}/$$; until [ $(ls {meeting} | wc -l) = 3 ]; do sleep 0.02; done"  # each waits for the others
    )
    tasks = [bench.task("sh", "-c", script) for _ in range(3)]
    for task in tasks:
        executor.submit(task)
    with pytest.raises(ValueError, match="more than 3"):
        executor.submit(bench.task("true"))
    left = {task.attempt for task in tasks}
    while left:
        left -= {event.attempt for event in executor.wait(PATIENCE) if isinstance(event, TaskFinished)}


def test_output_streams_while_the_step_runs_and_is_kept_whole(bench: ExecutionBench) -> None:
    executor = bench.executor()
    task = bench.task("sh", "-c", r"printf 'one\n\033[31mtwo\033[0m\a\n'; sleep 0.4; echo three >&2; sleep 0.3")
    executor.submit(task)
    events = until_finished(executor, task.attempt)
    lines = [event.line for event in events if isinstance(event, TaskOutput)]
    assert lines[-1] == "three"
    assert "\x1b" not in "".join(lines)
    finished = events[-1]
    assert isinstance(finished, TaskFinished)
    assert bench.log(finished) == b"one\n\x1b[31mtwo\x1b[0m\a\nthree\n"
    assert finished.log is not None
    assert finished.log.written == finished.log.size


def test_what_a_step_said_until_it_was_stopped_is_kept(bench: ExecutionBench, tmp_path: Path) -> None:
    for attempt in range(6):  # whatever was on its way when it was told to end
        executor = bench.executor()
        begun = tmp_path / f"begun{attempt}"
        task = bench.task("sh", "-c", f"i=0; while sleep 0.01; do i=$((i + 1)); echo $i; echo > {begun}; done")
        executor.submit(task)
        until_true("it begins", begun.exists)
        time.sleep(attempt * 0.05)
        executor.cancel(task.attempt)
        finished = until_finished(executor, task.attempt)[-1]
        assert isinstance(finished, TaskFinished)
        assert finished.outcome == "cancelled"
        lines = [int(line) for line in bench.log(finished).split()]
        assert lines, (attempt, finished)
        assert lines == list(range(1, len(lines) + 1))
        executor.close()


@pytest.mark.parametrize("now", [False, True])
def test_a_task_that_is_cancelled_before_it_begins_does_not_run(
    bench: ExecutionBench, tmp_path: Path, now: bool
) -> None:
    executor = bench.executor(slots=1)
    for before in (None, "true", "mkdir d; cd d; i=0; while [ $i -lt 10000 ]; do : > f$i; i=$((i+1)); done"):
        if before is not None:  # what performs it is to be idle, then to clear up after the last
            finish(executor, bench.task("sh", "-c", before))
        task = bench.task("sh", "-c", f"sleep 2; touch {tmp_path}/ran")
        executor.submit(task)
        executor.cancel(task.attempt, now=now)
        finished = until_finished(executor, task.attempt)[-1]
        assert isinstance(finished, TaskFinished)
        assert (before, finished.outcome) == (before, "cancelled")
    assert not (tmp_path / "ran").exists()


def test_a_failure_says_the_status_and_the_last_line(bench: ExecutionBench) -> None:
    finished = bench.run("sh", "-c", "echo first; echo 'no such column: x' >&2; exit 3")
    assert (finished.outcome, finished.exit_code) == ("failed", 3)
    assert finished.error == "exit status 3: no such column: x"
    assert finished.outputs == ()


def test_a_step_killed_by_a_signal_is_told_so(bench: ExecutionBench) -> None:
    finished = bench.run("sh", "-c", "kill -9 $$")
    assert (finished.exit_code, finished.error) == (-9, "killed by SIGKILL (out of memory?)")


def test_a_missing_command_fails_clearly(bench: ExecutionBench) -> None:
    finished = bench.run("no-such-program-here")
    assert (finished.outcome, finished.exit_code) == ("failed", None)
    assert finished.error == "command not found: no-such-program-here"


def test_a_file_without_its_executable_bit_is_named(bench: ExecutionBench) -> None:
    oid = bench.blob("#!/bin/sh\n")
    finished = bench.run("./go.sh", code=[("go.sh", "100644", oid)])
    assert finished.error == "not executable: ./go.sh"
    assert finished.hint == "git update-index --chmod=+x ./go.sh"


def test_code_and_inputs_of_the_commit_are_there_with_mode_links_and_time(bench: ExecutionBench) -> None:
    tree = bench.tree({"a.txt": "A", "run.sh*": "#!/bin/sh\necho ran\n", "deep/b.txt": "B", "link@": "deep/b.txt"})
    single = bench.blob("one")
    finished = bench.shell(
        "src/run.sh; cat src/link src/deep/b.txt one.txt; stat -c %Y src/a.txt one.txt; find . | sort; ls -A | wc -l",
        code=[("src", "40000", tree)],
        inputs=[("one", "one.txt", "file", f"git:100644:{single}")],
    )
    log = bench.log(finished).decode()
    assert finished.outcome == "done", finished
    assert log.startswith("ran\nBBone946684800\n946684800\n")
    paths = [".", "./one.txt", "./src", "./src/a.txt", "./src/deep", "./src/deep/b.txt", "./src/link", "./src/run.sh"]
    assert log.split("946684800\n")[-1].splitlines() == [*paths, "2"]


def test_a_directory_of_many_files_is_written_whole(bench: ExecutionBench) -> None:
    tree = _tree_of_many(bench, 3000)
    finished = bench.shell(
        "find data -type f | wc -l; cat data/f2999", inputs=[("data", "data", "directory", f"git:40000:{tree}")]
    )
    assert finished.outcome == "done", finished
    assert bench.log(finished).split() == [b"3000", b"content-2999"]


def _tree_of_many(bench: ExecutionBench, count: int) -> str:
    stream = b"".join(
        b"blob\nmark :%d\ndata %d\n%s\n" % (n + 1, len(text), text)
        for n in range(count)
        for text in [b"content-%d" % n]
    )
    stream += b"commit refs/heads/many\ncommitter A <a@example.com> 0 +0000\ndata 0\n"
    stream += b"".join(b"M 100644 :%d f%d\n" % (n + 1, n) for n in range(count))
    bench.git("fast-import", "--quiet", data=stream)
    return bench.git("rev-parse", "many^{tree}")


def test_outputs_of_one_step_are_inputs_of_the_next(bench: ExecutionBench) -> None:
    made = bench.shell(
        "mkdir -p d/e; echo 1 > d/a; echo 2 > d/e/b; printf '#!/bin/sh\necho x' > f; chmod +x f",
        outputs=[("d", "d", "directory"), ("f", "f", "file")],
    )
    directory, file = made.outputs
    assert (directory.is_tree, directory.size, file.executable) == (True, 4, True)
    used = bench.shell(
        "cat in/dir/a in/dir/e/b in/f",
        inputs=[("d", "in/dir", "directory", directory.digest), ("f", "in/f", "file", file.digest)],
    )
    assert bench.log(used) == b"1\n2\n#!/bin/sh\necho x"


def test_an_input_covers_what_the_commit_has_there(bench: ExecutionBench) -> None:
    made = bench.shell("echo made > x", outputs=[("x", "x", "file")]).outputs[0]
    tree = bench.tree({"gen.py": "committed", "other.py": "other\n"})
    finished = bench.shell(
        "cat src/gen.py src/other.py", code=[("src", "40000", tree)], inputs=[("g", "src/gen.py", "file", made.digest)]
    )
    assert bench.log(finished) == b"made\nother\n"


def test_what_the_commit_has_at_an_output_does_not_pass_for_it(bench: ExecutionBench) -> None:
    tree = bench.tree({"result.json": "{}", "a.py": ""})
    finished = bench.run("true", code=[("src", "40000", tree)], outputs=[("r", "src/result.json", "file")])
    assert finished.error == "did not make output r (src/result.json)"
    assert "${{ outputs.r }}" in (finished.hint or "")


@pytest.mark.parametrize(
    ("script", "port", "what"),
    [
        ("mkfifo o", "file", "a named pipe, not a file"),
        ("mkdir o", "file", "a directory, not a file"),
        ("echo > o", "directory", "a file, not a directory"),
        ("ln -s /etc/passwd o", "file", "a symbolic link, not a file"),
        ("ln -s /etc o", "directory", "a symbolic link, not a directory"),
        ("mkfifo o", "plot", "a named pipe, not a file"),
    ],
)
def test_an_output_of_another_kind_is_refused(bench: ExecutionBench, script: str, port: str, what: str) -> None:
    finished = bench.shell(script, outputs=[("o", "o", port)])
    assert (finished.outcome, finished.error) == ("failed", f"output o (o) is {what}")


def test_a_parent_swapped_for_a_link_does_not_let_other_files_be_taken(bench: ExecutionBench) -> None:
    outside = bench.root / "outside"
    outside.mkdir()
    (outside / "secret").write_text("mine")
    finished = bench.shell(f"rmdir out; ln -s {outside} out", outputs=[("s", "out/secret", "file")])
    assert finished.error == "output s (out/secret) lies behind a symbolic link"
    assert (outside / "secret").read_text() == "mine"


def test_a_special_file_inside_an_output_directory_is_refused(bench: ExecutionBench) -> None:
    finished = bench.shell("mkdir d; mkfifo d/p", outputs=[("d", "d", "directory")])
    assert finished.outcome == "failed"
    assert "p" in (finished.error or "")


def test_metrics_are_read_flat(bench: ExecutionBench) -> None:
    finished = bench.shell(
        """echo '{"acc": 0.5, "val": {"loss": 2, "ok": true}, "note": "x", "none": null}' > m.json""",
        outputs=[("m", "m.json", "metrics")],
    )
    assert finished.metrics == {"acc": 0.5, "val.loss": 2, "val.ok": 1}
    assert finished.outputs[0].kind == "metrics"


@pytest.mark.parametrize(("text", "read"), [("NaN", "nan"), ("Infinity", "inf"), ("-1e999", "-inf")])
def test_metrics_that_are_no_finite_numbers_come_back_as_they_are_and_are_told(
    bench: ExecutionBench, text: str, read: str
) -> None:
    finished = bench.run("sh", "-c", f"echo '{{\"a\": {text}}}' > m.json", outputs=[("m", "m.json", "metrics")])
    assert (finished.outcome, repr(finished.metrics["a"])) == ("done", read)
    assert len(finished.warnings) == 1


def test_what_a_step_made_beside_its_outputs_is_named(bench: ExecutionBench) -> None:
    made = "mkdir mlruns .cache __pycache__ out; echo a > out/b; echo a > o.txt; touch loss.csv; "
    outputs = [("o", "o.txt", "file"), ("d", "out/sub", "directory")]
    done = bench.run("sh", "-c", f"{made} mkdir -p out/sub; touch out/sub/x", outputs=outputs)
    assert (done.outcome, done.left) == ("done", ("loss.csv", "mlruns/"))
    missing = bench.run("sh", "-c", "touch modle.bin", outputs=[("o", "model.bin", "file")])
    assert (missing.outcome, missing.left) == ("failed", ("modle.bin",))
    many = bench.run("sh", "-c", "touch 1 2 3 4 5 o", outputs=[("o", "o", "file")])
    assert many.left == ("1", "2", "3", "2 more")
    assert bench.run("sh", "-c", "touch x; exit 1", outputs=[("o", "o", "file")]).left == ()
    assert bench.run("sh", "-c", "echo a > o; chmod 333 .", outputs=[("o", "o", "file")]).outcome == "done"


@pytest.mark.parametrize("text", ["[1]", "nonsense", "3", '{"a": 1, "a": 1}'])
def test_what_is_not_metrics_fails_the_step(bench: ExecutionBench, text: str) -> None:
    finished = bench.run("sh", "-c", f"echo '{text}' > m.json", outputs=[("m", "m.json", "metrics")])
    assert finished.outcome == "failed"
    assert "m.json" in (finished.error or "")


def test_an_argument_that_looks_like_a_command_runs_nothing(bench: ExecutionBench) -> None:
    flag = bench.root / "flag"
    bench.run("echo", f"x; touch {flag}", f"$(touch {flag})", f"`touch {flag}`")
    assert bench.shell('echo "${_gitml_0}"').outcome == "failed", "a value that is not there is an error"
    finished = bench.run('echo "${_gitml_0}"', f"$(touch {flag}); touch {flag}", shell="bash")
    assert bench.log(finished).decode() == f"$(touch {flag}); touch {flag}\n"
    assert not flag.exists()


def test_a_shell_stops_at_the_first_failure(bench: ExecutionBench) -> None:
    assert bench.run("false | cat; echo on", shell="bash").outcome == "failed"
    assert bench.run("false; echo on", shell="sh").outcome == "failed"


@only_local
def test_the_environment_is_what_the_action_says_and_a_short_list(tmp_path: Path, kind: str) -> None:
    machine = {
        "SECRET": "s",
        "TOKEN": "t",
        "GIT_DIR": "/x",
        "PYTHONPATH": "/x",
        "VIRTUAL_ENV": "/x",
        "LC_TIME": "C",
        "https_proxy": "http://p",
        "PATH": "rel:/usr/bin:/bin",
    }
    bench = ExecutionBench(tmp_path, machine)
    try:
        tree = bench.tree({"x": "1"})
        finished = bench.run(
            "env",
            params={"learning-rate": 0.001, "fast": True, "n": 3, "s": "a b"},
            env={"TOKEN": None, "OMP_NUM_THREADS": "2"},
            inputs=[
                ("m", "a/x", "file", "git:100644:" + bench.blob("1")),
                ("m", "b", "directory", f"git:40000:{tree}"),
            ],
            outputs=[],
        )
        lines = bench.log(finished).decode().splitlines()
        names = {line.partition("=")[0] for line in lines if "=" in line}
        assert not names & {"SECRET", "LC_TIME", "GIT_DIR", "PYTHONPATH", "VIRTUAL_ENV"}
        for line in (
            "TOKEN=t",
            "OMP_NUM_THREADS=2",
            "PATH=/usr/bin:/bin",
            "LANG=C.UTF-8",
            "TZ=UTC",
            "https_proxy=http://p",
            "TERM=dumb",
            "PYTHONHASHSEED=0",
            "PYTHONDONTWRITEBYTECODE=1",
            "PYTHONUNBUFFERED=1",
            "SOURCE_DATE_EPOCH=946684800",
            "GITML_PARAM_LEARNING_RATE=0.001",
            "GITML_PARAM_FAST=true",
            "GITML_PARAM_N=3",
            "GITML_PARAM_S=a b",
            "GITML_INPUT_M=a/x",
        ):
            assert line in lines
        assert lines[lines.index("GITML_INPUT_M=a/x") + 1] == "b", "gathered inputs come one a line"
        assert f"GIT_CEILING_DIRECTORIES={bench.seen('a1')}" in lines
        missing = bench.run("true", env={"NOT_SET": None})
        assert missing.error == "the step needs the environment variable NOT_SET, which is not set here"
    finally:
        bench.close()


def test_git_finds_no_repository_in_a_sandbox(bench: ExecutionBench) -> None:
    assert bench.run("git", "rev-parse", "--git-dir").exit_code == 128


def test_temporary_files_go_to_the_sandbox(bench: ExecutionBench) -> None:
    finished = bench.shell('mktemp; case "$TMPDIR" in "$PWD"*) exit 1;; esac')
    assert bench.log(finished).decode().startswith(bench.seen("a1") + "/tmp/")


def test_an_input_written_to_in_place_is_caught_and_quarantined(bench: ExecutionBench) -> None:
    made = bench.shell("echo good > x", outputs=[("x", "x", "file")]).outputs[0]
    finished = bench.shell(
        "chmod u+w in.txt; echo bad >> in.txt; echo done > o",
        inputs=[("x", "in.txt", "file", made.digest)],
        outputs=[("o", "o", "file")],
    )
    if os.stat(bench.store.root).st_dev and finished.outcome == "done":
        pytest.skip("this file system gives private copies")
    assert (finished.outcome, finished.error) == ("failed", "changed its input in.txt")
    assert finished.outputs == ()
    if isinstance(bench, RayBench):  # the copy of that machine was set aside; ours is as it was, and goes there again
        assert finished.bad_inputs == ()
        assert bench.log(bench.run("cat", "in.txt", inputs=[("x", "in.txt", "file", made.digest)])) == b"good\n"
        return
    assert finished.bad_inputs == (made.digest,)
    assert not bench.store.has(made.digest, made.size, tree=False)


def test_a_damaged_input_is_found_before_the_step_runs(bench: ExecutionBench) -> None:
    made = bench.shell("echo good > x", outputs=[("x", "x", "file")]).outputs[0]
    for store in bench.stores():
        path = store.path_of(made.digest)
        os.chmod(path, 0o644)
        Path(path).write_text("baad\n")
    finished = bench.run("touch", str(bench.root / "ran"), inputs=[("x", "in.txt", "file", made.digest)])
    assert (finished.outcome, finished.bad_inputs) == ("failed", (made.digest,))
    assert not (bench.root / "ran").exists()


def test_the_committed_file_changed_by_one_step_is_whole_for_the_next(bench: ExecutionBench) -> None:
    oid = bench.blob("text\n")
    code = [("f", "100644", oid)]
    assert bench.shell("echo more >> f", code=code).outcome == "done"
    assert bench.log(bench.shell("cat f", code=code)) == b"text\n"


@pytest.mark.parametrize("target", ["../out", "/etc/passwd", "a/../../x"])
def test_a_link_that_leads_out_is_refused(bench: ExecutionBench, target: str) -> None:
    tree = bench.tree({"bad@": target})
    finished = bench.run("true", code=[("", "40000", tree)])
    assert finished.outcome == "failed"
    assert "leads out" in (finished.error or "")


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "a//b"])
def test_a_path_that_leads_out_is_refused(bench: ExecutionBench, path: str) -> None:
    assert bench.run("true", code=[(path, "100644", bench.blob("x"))]).outcome == "failed"
    assert bench.run("true", outputs=[("o", path, "file")]).outcome == "failed"


def test_an_lfs_pointer_becomes_its_content_or_a_clear_error(bench: ExecutionBench) -> None:
    import hashlib

    content = b"large" * 1000
    sha = hashlib.sha256(content).hexdigest()
    pointer = bench.blob(f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {len(content)}\n")
    inputs = [("w", "weights.bin", "file", f"git:100644:{pointer}")]
    finished = bench.run("cat", "weights.bin", inputs=inputs)
    assert finished.error == "the content of this Git LFS file is not on this machine (weights.bin)"
    assert finished.hint == "git lfs pull --include=weights.bin"
    place = Path(bench.repo, ".git/lfs/objects", sha[:2], sha[2:4])
    place.mkdir(parents=True)
    (place / sha).write_bytes(content)
    finished = bench.shell("sha256sum < weights.bin; stat -c %s weights.bin", inputs=inputs)
    assert finished.outcome == "done", finished
    assert bench.log(finished).decode().split() == [sha, "-", str(len(content))]
    (place / sha).write_bytes(content[:-1] + b"X")
    for store in bench.stores()[1:]:  # a machine that has a copy of its own does not need ours
        store.delete(digest_of(content))
    assert "damaged" in (bench.run("cat", "weights.bin", inputs=inputs).error or "")


def test_a_large_committed_file_comes_through_whole(bench: ExecutionBench) -> None:
    content = os.urandom(3_000_000)
    oid = bench.blob(content)
    finished = bench.shell("cp big o", inputs=[("b", "big", "file", f"git:100755:{oid}")], outputs=[("o", "o", "file")])
    assert bench.output(finished, "o") == content
    assert finished.outputs[0].executable


def test_names_that_are_not_utf8_come_through(bench: ExecutionBench) -> None:
    name = os.fsdecode(b"caf\xe9 \xff.txt")
    finished = bench.run("cat", name, code=[(name, "100644", bench.blob("ok"))])
    assert bench.log(finished) == b"ok"


@only_local
def test_gpus_are_given_whole_or_shared(bench: ExecutionBench) -> None:
    executor = bench.executor(slots=4, capacity=Resources(8, 2, 2**33), machine={"CUDA_VISIBLE_DEVICES": "3,5"})
    waits = [
        bench.task("sh", "-c", "echo $CUDA_VISIBLE_DEVICES; sleep 1", resources=Resources(1, count))
        for count in (1, 0.5, 0.5)
    ]
    for task in waits:
        executor.submit(task)
    with pytest.raises(ValueError, match="not free"):
        executor.submit(bench.task("true", resources=Resources(1, 1)))
    seen: dict[str, bytes] = {}
    while len(seen) < 3:
        for event in executor.wait(PATIENCE):
            if isinstance(event, TaskFinished):
                seen[event.attempt] = bench.log(event)
    assert [seen[task.attempt] for task in waits] == [b"3\n", b"5\n", b"5\n"]
    both = finish(executor, bench.task("sh", "-c", "echo $CUDA_VISIBLE_DEVICES", resources=Resources(1, 2)))
    assert bench.log(both) == b"3,5\n"


def test_cpu_time_counts_the_whole_tree(bench: ExecutionBench) -> None:
    loop = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
    finished = bench.run("sh", "-c", f"sh -c '{loop}' & wait")
    assert finished.cost.cpu > 0.02
    assert finished.cost.peak_memory > 0


def test_a_read_only_directory_left_behind_does_not_stay(bench: ExecutionBench) -> None:
    finished = bench.shell("mkdir -p a/b; touch a/b/c; chmod 500 a/b a; ln -s / a2")
    assert finished.outcome == "done"
    assert stat.S_ISDIR(os.stat("/").st_mode)


def test_cancel_of_a_task_that_is_not_there_does_nothing(bench: ExecutionBench) -> None:
    executor = bench.executor()
    executor.cancel("nobody")
    executor.cancel("nobody", now=True)
    assert finish(executor, bench.task("true")).outcome == "done"


def test_close_without_a_task_and_close_twice_are_fine(bench: ExecutionBench) -> None:
    executor = bench.executor()
    executor.close()
    executor.close()
    with pytest.raises(ValueError, match="closed"):
        executor.submit(bench.task("true"))


@only_local
def test_two_hundred_small_tasks_pass_quickly(bench: ExecutionBench) -> None:
    executor = bench.executor()
    tasks = iter([bench.task("true") for _ in range(200)])
    executor.submit(next(tasks))
    until(executor, lambda event: isinstance(event, TaskFinished))
    begun = time.monotonic()
    executor.submit(next(tasks))
    executor.submit(next(tasks))
    left = 199
    while left:
        for event in executor.wait(PATIENCE):
            if isinstance(event, TaskFinished):
                assert event.outcome == "done"
                left -= 1
                following = next(tasks, None)
                if following:
                    executor.submit(following)
    assert (time.monotonic() - begun) / 199 < 0.1, "4 ms each on a quiet machine; generous, as this one may be busy"


def test_the_repository_in_a_sandbox_has_what_it_needs_wherever_the_step_runs(bench: ExecutionBench) -> None:
    """Of a commit its trees, of its files those that the step has, and what the commit has in place of those that changed."""
    tree = bench.tree({"src/a.py": b"committed\n", "src/b.py": b"same\n", "data/left": b"out\n"})
    commit = bench.git("commit-tree", tree, "-m", "one")
    bench.git("tag", "-a", "v1", commit, "-m", "a tag")
    src, changed = bench.git("rev-parse", f"{tree}:src"), bench.tree({"a.py": b"changed\n", "b.py": b"same\n"})
    tags = (("v1", bench.git("rev-parse", "v1")),)
    said = bench.shell(
        "exec 2>/dev/null; git describe --dirty; git status --short; git diff --no-color | grep ^[+-]; git ls-files -t; git show HEAD:src/b.py",
        code=[("src", "40000", changed)],
        repository=StepCommit(commit, tags, (CodeFile("src", "40000", src),)),
    )
    assert (said.outcome, said.error) == ("done", None)
    expected = "v1-dirty\n M src/a.py\n--- a/src/a.py\n+++ b/src/a.py\n-committed\n+changed\nS data/left\nH src/a.py\nH src/b.py\nsame\n"
    assert bench.log(said).decode() == expected
