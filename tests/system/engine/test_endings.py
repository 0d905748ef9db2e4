"""Runs that are killed, interrupted, cancelled, or fail."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.kit.patience import PATIENCE
from tests.kit.processes import kill
from tests.kit.projects.command_line import Project, alive, interrupt, wait_until


def chain(marker: str, seconds: float, steps: int = 4) -> dict[str, str]:
    lines = ["steps:"]
    for number in range(steps):
        before = f"${{{{ steps.s{number - 1}.outputs.o }}}}" if number else "/dev/null"
        lines += [
            f"  s{number}:",
            "    shell: bash",
            f"    run: bash -c 'exec -a {marker} sleep {seconds}'; cat {before} > ${{{{ outputs.o }}}}; echo {number} >> ${{{{ outputs.o }}}}",
            "    outputs: {o: file}",
        ]
    return {"pipelines/main.yaml": "\n".join(lines) + "\n"}


def running(marker: str) -> bool:
    return bool(alive(marker))


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_nothing_running_and_the_next_command_works(tmp_path: Path) -> None:
    marker = f"gitml-test-kill-{os.getpid()}"
    project = Project(tmp_path / "p", chain(marker, 0.15))
    for seed in range(6):
        process = project.start("run", "--json")
        time.sleep(random.Random(seed).uniform(0.05, 1.2))
        kill(process)
        process.communicate()
        wait_until(lambda: not running(marker))
        log = project.do("log", "--json").json
        assert all(run["status"] in ("succeeded", "failed") for run in log)
    outcomes = project.outcomes()
    assert set(outcomes.values()) <= {"executed", "reused"}
    run = project.run()
    assert {s["outcome"] for s in run["steps"]} == {"reused"}
    assert project.content(run, "s3", "o") == b"0\n1\n2\n3\n"
    assert project.do("fsck", "--deep").code == 0
    assert not os.listdir(project.path / ".git/gitml/live")


def test_finished_steps_of_a_killed_run_are_reused(tmp_path: Path) -> None:
    marker = f"gitml-test-half-{os.getpid()}"
    files = chain(marker, 0.01, 2)
    files["pipelines/main.yaml"] += (
        f"  slow:\n    run: bash -c 'exec -a {marker} sleep 60' ${{{{ steps.s1.outputs.o }}}}\n"
    )
    project = Project(tmp_path / "p", files)
    process = project.start("run")
    wait_until(lambda: running(f"{marker}\x0060"))
    process.kill()
    process.communicate()
    wait_until(lambda: not running(marker))
    assert project.outcomes("s1") == {"s0": "reused", "s1": "reused"}
    killed = [run for run in project.do("log", "--json").json if run["status"] == "failed"]
    assert len(killed) == 1
    shown = project.do("show", killed[0]["run"], "--json").json
    assert {s["name"]: s["outcome"] for s in shown["steps"]} == {
        "s0": "executed",
        "s1": "executed",
        "slow": "cancelled",
    }


GIT_THAT_LINGERS = """\
#!/bin/sh
echo $$ >> {pids}
case " $* " in
    *" cat-file --batch"*) {git} "$@"; exec sleep 60 ;;
    *) exec {git} "$@" ;;
esac
"""


def test_no_git_outlives_a_command(tmp_path: Path) -> None:
    # one that a moment later still ends by itself keeps a folder from being removed, and a disk from being unmounted
    project = Project(tmp_path / "p", chain(f"gitml-test-git-{os.getpid()}", 0.01, 2))
    pids = tmp_path / "pids"
    git = tmp_path / "bin/git"
    git.parent.mkdir()
    git.write_text(GIT_THAT_LINGERS.format(pids=pids, git=shutil.which("git")))
    git.chmod(0o755)
    for command in (["run"], ["run"], ["status"], ["run", "nothing"], ["log"]):
        project.do(*command, env={"PATH": f"{git.parent}:{os.environ['PATH']}"}, code=None)
        started = [int(line) for line in pids.read_text().split()]
        living = [pid for pid in started if os.path.exists(f"/proc/{pid}")]
        for pid in living:
            os.kill(pid, signal.SIGKILL)
        assert not living, command
    assert started


@pytest.mark.parametrize("twice", [False, True])
def test_ctrl_c_stops_the_steps_and_records_a_cancelled_run(tmp_path: Path, twice: bool) -> None:
    marker = f"gitml-test-int{twice}-{os.getpid()}"
    # the step ignores SIGTERM: once waits for its grace, twice does not
    body = "trap '' TERM; " if twice else ""
    spec = f"steps:\n  s:\n    shell: bash\n    run: |\n      {body}bash -c 'exec -a {marker} sleep 60'; bash -c 'exec -a {marker} sleep 60'\n  after: {{run: 'true', after: [s]}}\n"
    project = Project(tmp_path / "p", {"pipelines/main.yaml": spec})

    def stopped() -> float:
        process = project.start("run", "--json")
        wait_until(lambda: running(marker))
        interrupt(process)
        if twice:
            time.sleep(0.5)
            interrupt(process)
        begun = time.monotonic()
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130, err
        return time.monotonic() - begun

    # a machine that stands still makes it late, once
    took = stopped()
    for _ in range(2):
        took = min(took, stopped()) if took > (4 if twice else 10) else took
    assert took < (4 if twice else 10)
    wait_until(lambda: not running(marker))
    last = project.do("log", "--json").json[0]
    assert last["status"] == "cancelled"
    shown = project.do("show", last["run"], "--json").json
    assert [s["outcome"] for s in shown["steps"]] == ["cancelled", "cancelled"]
    assert project.do("fsck").code == 0


def test_sigterm_ends_a_run_as_ctrl_c_does_with_its_own_code(tmp_path: Path) -> None:
    marker = f"gitml-test-term-{os.getpid()}"
    project = Project(tmp_path / "p", chain(marker, 60, 1))
    process = project.start("run")
    wait_until(lambda: running(marker))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert project.do("log", "--json").json[0]["status"] == "cancelled"


def test_what_does_not_depend_on_a_failure_runs_with_keep_going_and_not_without(tmp_path: Path) -> None:
    spec = """
steps:
  bad: {run: 'false'}
  child: {run: 'true', after: [bad]}
  other: {shell: sh, run: 'sleep 0.3; echo x > ${{ outputs.o }}', outputs: {o: file}}
  more: {run: 'cat ${{ steps.other.outputs.o }}'}
"""
    project = Project(tmp_path / "p", {"pipelines/main.yaml": spec})
    stopped = project.outcomes("-j", "1", code=1)
    assert stopped == {"bad": "failed", "child": "skipped", "other": "skipped", "more": "skipped"}
    assert project.outcomes("-k", code=1) == {
        "bad": "failed",
        "child": "skipped",
        "other": "executed",
        "more": "executed",
    }


def test_what_failed_says_so_when_it_runs_again_and_what_changed_once_it_was_mended(tmp_path: Path) -> None:
    spec = "params: {n: 1}\nsteps:\n  s: {run: 'test ${{ params.n }} = 2'}\n"
    project = Project(tmp_path / "p", {"pipelines/main.yaml": spec})
    failed = project.run(code=1)
    assert failed["steps"][0]["reason"] == "never ran"
    assert project.do("plan", "--json").json["steps"][0]["reason"] == f"failed in run {failed['run'][:8]}"
    told = f"param n: 1 -> 2 since it failed in run {failed['run'][:8]}"
    explained = project.do("explain", "s", "-S", "n=2").out
    assert explained.startswith(f"s runs: {told}\n")
    assert f"compared with run {failed['run'][:8]}, where it failed" in explained
    assert project.run("-S", "n=2")["steps"][0]["reason"] == told
    assert project.do("plan", "--json").json["steps"][0]["reason"] == f"failed in run {failed['run'][:8]}"


def test_a_step_that_worked_before_and_failed_since_is_compared_with_where_it_worked(tmp_path: Path) -> None:
    spec = "params: {n: 1}\nsteps:\n  s: {run: 'test ${{ params.n }} != 3'}\n"
    project = Project(tmp_path / "p", {"pipelines/main.yaml": spec})
    worked = project.run()["run"][:8]
    failed = project.run("-S", "n=3", code=1)["run"][:8]
    explained = project.do("explain", "s", "-S", "n=3").out
    assert explained == f"s runs: failed in run {failed}\n  compared with run {worked}:\n    param n: 1 -> 3\n"


def test_what_failed_is_known_by_what_it_was_in_later_runs_too(tmp_path: Path) -> None:
    spec = "params: {n: 1}\nsteps:\n  s: {run: 'test ${{ params.n }} = 9'}\n"
    project = Project(tmp_path / "p", {"pipelines/main.yaml": spec})
    for n in (1, 2, 3):
        failed = project.run("-S", f"n={n}", code=1)
    plan = project.do("plan", "--json", "-S", "n=9").json
    assert plan["steps"][0]["reason"] == f"param n: 3 -> 9 since it failed in run {failed['run'][:8]}"


def test_a_step_that_misses_a_file_of_the_commit_is_told_why_it_is_not_there(tmp_path: Path) -> None:
    spec = """
steps:
  undeclared: {run: sh a.sh}
  hidden:
    run: cp notes.txt ${{ outputs.o }}
    env: {LC_ALL: C}
    outputs: {o: {type: file, path: notes.txt}}
"""
    files = {"pipelines/main.yaml": spec, "a.sh": "LC_ALL=C ls other.txt\n", "notes.txt": "x\n", "other.txt": "x\n"}
    undeclared, hidden = Project(tmp_path / "p", files).run("-k", code=1)["steps"]
    assert "(other.txt is in the commit but not declared: add it to code: of step undeclared" in undeclared["error"]
    assert "(notes.txt is where the step makes an output, so what the commit has there is hidden" in hidden["error"]


def test_a_step_that_misses_what_git_ignores_is_told_so(tmp_path: Path) -> None:
    files = {
        "pipelines/main.yaml": "steps:\n  a: {run: python3 a.py}\n  b: {run: python3 b.py}\n",
        "a.py": "open('data/raw.csv')\n",
        "b.py": "import settings\n",
        ".gitignore": "data/\nsettings.py\n",
    }
    project = Project(tmp_path / "p", files)
    (project.path / "data").mkdir()
    (project.path / "data/raw.csv").write_text("1\n")
    (project.path / "settings.py").write_text("x = 1\n")
    failed = project.run("-k", code=1)
    for step, path in zip(failed["steps"], ("data/raw.csv", "settings.py"), strict=True):
        assert f"({path} is there, but Git ignores it" in step["error"]


def test_a_step_is_tried_again_as_often_as_it_says(tmp_path: Path) -> None:
    count = tmp_path / "count"
    spec = """
steps:
  s:
    shell: bash
    run: echo x >> $COUNT; [ $(wc -l < $COUNT) -ge 3 ]; echo fine > ${{ outputs.o }}
    env: {COUNT: }
    outputs: {o: file}
    retries: 2
"""
    project = Project(tmp_path / "p", {"pipelines/main.yaml": spec})
    done = project.do("run", "--json", env={"COUNT": str(count)}).json
    assert [a["outcome"] for a in done["steps"][0]["attempts"]] == ["failed", "failed", "done"]


def test_a_timeout_ends_the_step_and_says_so(tmp_path: Path) -> None:
    project = Project(tmp_path / "p", {"pipelines/main.yaml": "steps:\n  s: {run: sleep 60, timeout: 0.5s}\n"})
    run = project.run(code=1)
    assert run["steps"][0]["seconds"] < 30
    assert "timed out after 0.5s" in run["steps"][0]["error"]


def test_a_blocked_step_stops_the_run_before_anything_ran(tmp_path: Path) -> None:
    spec = "inputs: {gone: no/such.txt}\nsteps:\n  a: {run: 'true'}\n  b: {run: 'cat ${{ inputs.gone }}'}\n"
    project = Project(tmp_path / "p", {"pipelines/main.yaml": spec})
    done = project.do("run", "--json", code=2)
    assert "no/such.txt" in done.err
    assert project.do("log", "--json").json == []
    plan = project.do("plan", "--json").json
    assert {s["name"]: s["decision"] for s in plan["steps"]} == {"a": "run", "b": "blocked"}


def test_resources_that_the_machine_can_never_give_are_refused_before_anything_ran(tmp_path: Path) -> None:
    project = Project(tmp_path / "p", {"pipelines/main.yaml": "steps:\n  a: {run: 'true', resources: {cpus: 4000}}\n"})
    assert "4000 cpus" in project.do("run", code=2).err
    assert project.do("log", "--json").json == []


def test_a_detached_run_goes_on_and_can_be_cancelled(tmp_path: Path) -> None:
    marker = f"gitml-test-detach-{os.getpid()}"
    project = Project(tmp_path / "p", chain(marker, 60, 1))
    run = project.do("run", "--detach").out.strip()
    wait_until(lambda: running(marker))
    assert any(row["run"] == run and row["status"] == "running" for row in project.do("log", "--json").json)
    project.do("cancel", run)
    wait_until(lambda: not running(marker))
    assert project.do("show", run, "--json").json["status"] == "cancelled"
