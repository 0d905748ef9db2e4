"""A gitml killed at any moment leaves nothing that the next run does not get over by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from gitml.core.records.record import Run
from gitml.engine.journal.recovery import ENDED, recover
from gitml.maintenance.fsck import check
from gitml.records.runs import read_run
from gitml.store.index.runs import newest_runs
from tests.kit.patience import PATIENCE
from tests.kit.projects.project import Project, outcomes
from tests.kit.projects.repository import isolate

ROOT = Path(__file__).parents[3]
PIPELINE = """\
steps:
  one: {shell: sh, run: "sleep 0.0511; echo 1 > ${{ outputs.o }}", outputs: {o: file}}
  two: {shell: sh, run: "cat ${{ steps.one.outputs.o }} > ${{ outputs.o }}; echo said; sleep 0.0512", outputs: {o: file}}
  side: {shell: sh, run: "mkdir ${{ outputs.o }}; echo s > ${{ outputs.o }}/f; sleep 0.0513", outputs: {o: directory}}
  all: {shell: sh, run: "cat ${{ steps.two.outputs.o }} ${{ steps.side.outputs.o }}/f > ${{ outputs.o }}", outputs: {o: file}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    isolate(monkeypatch)
    return Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE})


def start(project: Project, point: str = "") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.kit.projects.run_project", project.repo.path, *([point] if point else [])],
        cwd=ROOT,
        env={**project.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def live(project: Project) -> list[str]:
    folder = os.path.join(project.repo.path, ".git/gitml/live")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def journalled(project: Project) -> set[str]:
    """The steps that a killed run had told as executed."""
    done = set()
    for name in live(project):
        path = os.path.join(project.repo.path, ".git/gitml/live", name, "events.jsonl")
        if os.path.exists(path):
            with open(path, "rb") as file:
                lines = file.read().split(b"\n")[:-1]
            done |= {step["name"] for step in map(json.loads, lines) if step.get("outcome") == "executed"}
    return done


def the_next_run_works(project: Project, finished: set[str]) -> Run:
    """Runs again in this process and checks all that a killed run may have spoilt."""
    run = project.run()
    assert run.status == "succeeded"
    assert {name for name, outcome in outcomes(run).items() if outcome == "reused"} >= finished
    assert project.output(run.steps[-1]) == b"1\ns\n"
    with project.workspace() as ws:
        recover(ws)  # a run that performs nothing leaves that to whoever looks at runs
        assert live(project) == []
        assert list(check(ws, deep=True)) == []
        rows = newest_runs(ws.index, limit=None)
        assert {row.status for row in rows} <= {"succeeded", "failed"}
        for row in rows:
            recorded = read_run(ws.index, ws.objects, row.id)
            assert len(recorded.steps) == 4
            if recorded.status == "failed":
                assert recorded.error == ENDED
    project.repo.git("fsck", "--strict")
    assert outcomes(project.run()) == dict.fromkeys(outcomes(run), "reused")
    return run


def no_step_lives(seconds: float = 10.0) -> bool:
    """Whether the steps' own sleeps are gone, soon."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    found += [pid] if b"sleep\x000.051" in file.read() else []
            except OSError:
                continue
        if not found:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("gitml.store.local.disk.write_whole", marks=pytest.mark.slow),
        "gitml.engine.journal.journal.Journal",
        pytest.param("gitml.execute.local_executor.LocalExecutor.submit", marks=pytest.mark.slow),
        pytest.param("before:gitml.engine.execution.attempts.put_unrecorded", marks=pytest.mark.slow),
        "gitml.engine.execution.attempts.put_unrecorded",
        pytest.param("gitml.engine.journal.journal.Journal.note", marks=pytest.mark.slow),
        pytest.param("before:gitml.git.log.record_log.GitRecordLog.append", marks=pytest.mark.slow),
        pytest.param("gitml.git.log.record_log.GitRecordLog._write", marks=pytest.mark.slow),
        "gitml.git.log.record_log.GitRecordLog.append",
        pytest.param("before:gitml.engine.journal.recorder.put_run", marks=pytest.mark.slow),
        "gitml.engine.journal.recorder.put_run",
        pytest.param("gitml.engine.journal.recorder._index", marks=pytest.mark.slow),
        "before:gitml.engine.journal.journal.remove_folder",
    ],
)
def test_killed_at_this_point(project: Project, point: str) -> None:
    process = start(project, point)
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL, error.decode()
    the_next_run_works(project, journalled(project))
    assert no_step_lives()


@pytest.mark.parametrize("moment", [0.15, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6])
@pytest.mark.slow
def test_killed_at_any_moment(project: Project, moment: float) -> None:
    for again in range(2):
        process = start(project)
        time.sleep(moment + again * 0.03)
        process.kill()  # the git that it started may go on: the next run is to bear that too
        process.communicate()
    the_next_run_works(project, journalled(project))
    assert no_step_lives()


def test_what_a_killed_run_finished_is_recorded_with_what_it_did_not(project: Project) -> None:
    start(project, "before:gitml.git.log.record_log.GitRecordLog.append").communicate(timeout=PATIENCE)
    (name,) = live(project)
    with project.workspace() as ws:
        (run,) = recover(ws)
        assert (run.id, run.status, run.error) == (name, "failed", ENDED)
        assert set(outcomes(run).values()) == {"executed"}
        assert recover(ws) == []
    with project.workspace() as ws:
        assert [row.id for row in newest_runs(ws.index, limit=None)] == [name]


def test_a_killed_run_that_git_went_on_to_record_meanwhile_is_recorded_once(project: Project) -> None:
    start(project, "before:gitml.git.log.record_log.GitRecordLog.append").communicate(timeout=PATIENCE)
    (name,) = live(project)
    with project.workspace() as ws:
        append = ws.records.append

        def late(files: Mapping[str, bytes], message: str, commit: str | None) -> str:
            append(files, "by the git of the run that was killed\n", commit)
            return append(files, message, commit)

        ws.records.append = late  # type: ignore[method-assign]
        assert recover(ws) == []
    assert live(project) == []
    with project.workspace() as ws:
        assert [row.id for row in newest_runs(ws.index, limit=None)] == [name]


def test_a_run_whose_outputs_are_lost_meanwhile_is_recorded_all_the_same(project: Project) -> None:
    start(project, "before:gitml.git.log.record_log.GitRecordLog.append").communicate(timeout=PATIENCE)
    for path in project.objects():
        os.unlink(path)
    run = project.run()
    assert outcomes(run)["one"] == outcomes(run)["side"] == "executed"
    assert live(project) == []
    with project.workspace() as ws:
        assert [row.status for row in newest_runs(ws.index, limit=None)] == ["succeeded", "failed"]


def test_a_journal_that_is_damaged_is_cleared_away(project: Project) -> None:
    folder = os.path.join(project.repo.path, ".git/gitml/live")
    for name, content in (("a" * 16, b""), ("b" * 16, b"[" * 99_999), ("c" * 16, b"\xff"), ("d" * 16 + ".done", b"")):
        os.makedirs(os.path.join(folder, name))
        for file in ("run.json", "steps.json", "events.jsonl"):
            with open(os.path.join(folder, name, file), "wb") as out:
                out.write(content)
    assert project.run().status == "succeeded"
    assert live(project) == []


def test_a_run_that_goes_on_is_left_alone(project: Project) -> None:
    slow = PIPELINE.replace("sleep 0.0511", "sleep 1.5")
    project.repo.write({"pipelines/p.yaml": slow})
    process = start(project)
    end = time.monotonic() + PATIENCE
    while not live(project) and time.monotonic() < end:
        time.sleep(0.02)
    with project.workspace() as ws:
        assert recover(ws) == []
    assert len(live(project)) == 1
    out, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, error.decode()
    assert {outcome for outcome, _ in json.loads(out).values()} == {"executed"}
    assert live(project) == []


def test_of_two_processes_on_one_action_one_performs_it_and_the_other_waits_and_reuses(
    project: Project, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    step = f"echo > {marks}/$$; sleep 1; echo 1 > ${{{{ outputs.o }}}}"
    project.repo.write({"pipelines/p.yaml": f'steps:\n  one: {{shell: sh, run: "{step}", outputs: {{o: file}}}}\n'})
    project.plan()  # so that neither is ahead with reading programs
    processes = [start(project), start(project)]
    told = []
    for process in processes:
        out, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, error.decode()
        told.append(json.loads(out)["one"])
    assert len(list(marks.iterdir())) == 1
    assert sorted(outcome for outcome, _ in told) == ["executed", "reused"]
    assert any(reason.endswith("made meanwhile") for _, reason in told)
    with project.workspace() as ws:
        assert len(newest_runs(ws.index, limit=None)) == 2
        assert list(check(ws)) == []


def test_when_the_process_that_performs_is_killed_the_one_that_waits_takes_over(
    project: Project, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    step = f"while [ ! -e {gate} ]; do sleep 0.0514; done; echo 1 > ${{{{ outputs.o }}}}"
    project.repo.write({"pipelines/p.yaml": f'steps:\n  one: {{shell: sh, run: "{step}", outputs: {{o: file}}}}\n'})
    first = start(project)
    end = time.monotonic() + PATIENCE
    while no_step_lives(0.01) and time.monotonic() < end:
        time.sleep(0.02)
    second = start(project)
    while len(live(project)) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    first.kill()
    first.communicate()
    gate.touch()
    out, error = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0, error.decode()
    assert json.loads(out)["one"][0] == "executed"
    assert no_step_lives()
