"""An index that knows more than the records do, or less, as a power cut leaves it: no run is reused from one that isn't recorded."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from gitml.core.records.record import Run
from gitml.engine.journal.recovery import recover
from gitml.git.integrity import repairs
from gitml.git.log.record_log import GitRecordLog
from gitml.maintenance.fsck import check
from gitml.store.index.results import put_result, put_unrecorded, unrecorded_runs
from gitml.store.index.runs import newest_runs
from gitml.store.local import disk
from tests.kit.patience import PATIENCE
from tests.kit.projects.project import Project, outcomes
from tests.kit.projects.repository import isolate

ROOT = Path(__file__).parents[2]
RUNS = "refs/gitml/runs"
PIPELINE = (
    "params: {n: 1}\nsteps:\n"
    "  a: {shell: sh, run: 'echo ${{ params.n }} > ${{ outputs.o }}', outputs: {o: file}}\n"
    "  b: {shell: sh, run: 'cat ${{ steps.a.outputs.o }} > ${{ outputs.o }}; echo b >> ${{ outputs.o }}', outputs: {o: file}}\n"
)
BEFORE_RECORD = "before:gitml.git.log.record_log.GitRecordLog.append"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    isolate(monkeypatch)
    return Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE})


def folder(project: Project) -> Path:
    return Path(project.repo.path) / ".git/gitml"


def tip(project: Project) -> str:
    return project.repo.git("rev-parse", RUNS).strip()


def kill(project: Project, point: str = BEFORE_RECORD) -> str:
    """A run that is killed there; its id."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.kit.projects.run_project", project.repo.path, point],
        cwd=ROOT, env={**project.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    (name,) = os.listdir(folder(project) / "live")
    return name


def all_is_recorded(project: Project, *runs: Run) -> list[str]:
    """What was said on the way; every origin is a recorded run, and fsck has nothing to name."""
    told: list[str] = []
    with project.workspace() as ws:
        repairs.listen(told.append)
        listed = {row.id for row in newest_runs(ws.index, limit=None)}
        assert {step.origin for run in runs for step in run.steps if step.origin is not None} <= listed
        assert {run.id for run in runs} <= listed
        assert list(check(ws)) == []
        assert unrecorded_runs(ws.index) == set()
    return told


# -- the index knows more


def test_a_log_that_was_set_back_gets_back_what_the_index_knows(project: Project) -> None:
    first, second, third = (project.run(given=[("n", n)]) for n in "123")
    newest = tip(project)
    project.repo.git("update-ref", RUNS, f"{newest}~2")
    (told,) = all_is_recorded(project, first, second, third)
    assert told == f"{RUNS} had lost records that the index knows: 2 runs put back"
    assert tip(project) == newest


def test_what_was_recorded_after_a_log_was_set_back_stays_too(project: Project) -> None:
    first, second = (project.run(given=[("n", n)]) for n in "12")
    project.repo.git("update-ref", RUNS, f"{tip(project)}~1")
    kept = shutil.copytree(folder(project), folder(project).with_name("kept"))
    for path in folder(project).glob("index.db*"):
        path.unlink()  # another machine's gitml, which never knew the second
    third = project.run(given=[("n", "3")])
    for path in kept.glob("index.db*"):
        shutil.copy(path, folder(project))
    for path in set(folder(project).glob("index.db*")) - {
        folder(project) / path.name for path in kept.glob("index.db*")
    }:
        path.unlink()
    all_is_recorded(project, first, second, third)


def lose(project: Project, commit: str) -> None:
    """Sets the log back to a record and takes from Git all that only later ones need."""
    if commit:
        project.repo.git("update-ref", RUNS, commit)
    else:
        project.repo.git("update-ref", "-d", RUNS)
    project.repo.git("reflog", "expire", "--expire=now", "--all")
    project.repo.git("repack", "-adq")
    project.repo.git("prune", "--expire=now")


def test_records_that_are_gone_for_good_are_no_longer_known(project: Project) -> None:
    first, second = (project.run(given=[("n", n)]) for n in "12")
    lose(project, f"{tip(project)}~1")
    with project.workspace() as ws:
        assert [row.id for row in newest_runs(ws.index, limit=None)] == [first.id]
    assert set(outcomes(project.run()).values()) == {"reused"}
    again = project.run(given=[("n", "2")])
    assert set(outcomes(again).values()) == {"executed"}
    all_is_recorded(project, first, again)
    # the contents that the lost record held are in the new one
    with project.workspace() as ws:
        blob = ws.index.inline(second.steps[0].outputs[0].digest)
        assert blob is not None
        assert ws.objects.read(blob) == b"2\n"


def test_a_log_that_is_gone_for_good_is_begun_anew(project: Project) -> None:
    project.run()
    lose(project, "")
    with project.workspace() as ws:
        assert newest_runs(ws.index, limit=None) == []
    again = project.run()
    assert set(outcomes(again).values()) == {"executed"}
    all_is_recorded(project, again)


@pytest.mark.parametrize("packed", [False, True])
def test_records_that_a_ref_names_and_git_lost_may_come_back(project: Project, packed: bool) -> None:
    run = project.run()
    if packed:
        project.repo.git("pack-refs", "--all")
    packs = Path(project.repo.path) / ".git/objects/pack"
    packs.rename(packs.with_name("away"))
    packs.mkdir()
    with project.workspace() as ws:
        assert [row.id for row in newest_runs(ws.index, limit=None)] == [run.id]
    packs.rmdir()
    packs.with_name("away").rename(packs)
    all_is_recorded(project, run)


def lost(live: Path) -> None:
    """Removes the folder of a killed run, while what its gitml had started may still clear up in it."""
    while live.exists():
        with suppress(FileNotFoundError):
            shutil.rmtree(live)


def without_journal(journal: Path) -> None:
    lost(journal)


def with_empty_files(journal: Path) -> None:
    for name in ("run.json", "steps.json", "events.jsonl"):
        (journal / name).write_bytes(b"")


def with_nothing_done(journal: Path) -> None:
    (journal / "events.jsonl").write_bytes(b"")


def with_one_done(journal: Path) -> None:
    lines = (journal / "events.jsonl").read_bytes().splitlines(keepends=True)
    done = next(number for number, line in enumerate(lines) if b'"outcome"' in line)
    (journal / "events.jsonl").write_bytes(b"".join(lines[: done + 1]))


CUTS = [without_journal, with_empty_files, with_nothing_done, with_one_done]


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.__name__)
def test_what_an_unrecorded_run_made_is_not_reused_once_its_journal_is_lost(
    project: Project, cut: Callable[[Path], None]
) -> None:
    name = kill(project)
    cut(folder(project) / "live" / name)
    with project.workspace() as ws:
        recover(ws)
    run = project.run()
    assert outcomes(run) == {"a": "reused" if cut is with_one_done else "executed", "b": "executed"}
    all_is_recorded(project, run)


def test_what_was_recorded_before_counts_again(project: Project) -> None:
    first = project.run()
    with project.workspace() as ws:
        key = first.steps[0].key
        assert key is not None
        known = ws.index.result(key)
        assert known is not None
        # as a forced run leaves it that was cut off
        put_unrecorded(ws.index, key, known._replace(run="0" * 16, at=known.at + 1), None, "p", "a")
    run = project.run()
    assert outcomes(run) == {"a": "reused", "b": "reused"}
    assert {step.origin for step in run.steps} == {first.id}
    all_is_recorded(project, first, run)


def test_a_plan_counts_on_no_run_that_was_lost(project: Project) -> None:
    lost(folder(project) / "live" / kill(project))
    assert project.plan().decisions["a"].kind == "run"


def test_fsck_names_results_of_a_run_that_no_record_has_and_mends_it(project: Project) -> None:
    run = project.run()
    key = run.steps[0].key
    assert key is not None
    with project.workspace() as ws:
        known = ws.index.result(key)
        assert known is not None
        put_result(ws.index, key, known._replace(run="0" * 16, at=known.at + 1), None, "p", "a")  # an older gitml's
        (fault,) = list(check(ws))
        assert "results of run 0000000000000000, and no record has it" in fault.what
        list(check(ws, repair=True))
        assert list(check(ws)) == []
        known = ws.index.result(key)
        assert known is not None
        assert known.run == run.id


# -- runs that go on


def test_a_run_that_goes_on_is_durable_before_another_says_that_it_reused_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = kill(project)  # for the other it goes on until it is recorded
    events: list[str] = []
    sync, append = disk.sync_path, GitRecordLog.append

    def noted(path: str) -> None:
        sync(path)
        events.append(os.path.relpath(path, os.path.realpath(folder(project))))

    def recorded(self: GitRecordLog, *args: object) -> str:
        events.append("record")
        return append(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(disk, "sync_path", noted)
    monkeypatch.setattr(GitRecordLog, "append", recorded)
    run = project.run()
    assert {step.origin for step in run.steps} == {name}
    before = events[: events.index("record")]
    assert {f"live/{name}/{file}" for file in ("run.json", "steps.json", "events.jsonl")} <= set(before)
    assert {f"live/{name}", "live", "."} <= set(before)
    with project.workspace() as ws:
        assert [one.id for one in recover(ws)] == [name]
    all_is_recorded(project, run)


def test_a_step_is_in_the_journal_before_others_can_reuse_it(project: Project) -> None:
    kill(project, "gitml.engine.execution.attempts.put_unrecorded")
    with project.workspace() as ws:
        (run,) = recover(ws)
        assert outcomes(run)["a"] == "executed"
    all_is_recorded(project, run, project.run())


# -- the index knows less


def older(project: Project) -> Callable[[], None]:
    """Keeps the index as it is; gives what puts it back."""
    kept = folder(project).with_name("kept")
    kept.mkdir()
    for path in folder(project).glob("index.db*"):
        shutil.copy(path, kept)

    def back() -> None:
        for path in folder(project).glob("index.db*"):
            path.unlink()
        for path in kept.glob("index.db*"):
            shutil.copy(path, folder(project))

    return back


def test_an_index_that_is_older_than_the_log_learns_what_it_missed(project: Project) -> None:
    first = project.run()
    back = older(project)
    second = project.run(given=[("n", "2")])
    back()
    again = project.run(given=[("n", "2")])
    assert {step.origin for step in again.steps} == {second.id}
    all_is_recorded(project, first, second, again)


def test_an_index_of_the_middle_of_a_run_that_was_recorded_counts_on_its_record(project: Project) -> None:
    name = kill(project)
    back = older(project)
    with project.workspace() as ws:
        recover(ws)
    back()
    with project.workspace() as ws:
        assert unrecorded_runs(ws.index) == set()
    run = project.run()
    assert {step.origin for step in run.steps} == {name}
    all_is_recorded(project, run)
