"""Runs of thousands of steps: their records share what is alike, and are read everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitml.core.config.project import Config
from gitml.core.records.record import Run
from gitml.engine.journal.recorder import record_run
from gitml.records.layout import LARGEST, record_folder
from gitml.records.runs import read_run, recorded_runs
from gitml.store.index.runs import count_runs
from tests.kit.attacks.forged_records import another_id, forge
from tests.kit.large_runs import again, cold, step_names
from tests.kit.projects.command_line import Project
from tests.kit.projects.project import Project as Library
from tests.kit.projects.repository import Repository
from tests.kit.projects.team import Team

SECOND, THIRD = "b" * 16, "c" * 16


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def library(person: Project) -> Library:
    return Library(person.repo.path)


def record(person: Project, *runs: Run) -> None:
    with library(person).workspace() as ws:
        for run in runs:
            record_run(ws, run, Config())


def stored(repo: Repository) -> int:
    """Bytes of all of Git's objects, in packs and loose."""
    return sum(path.stat().st_size for path in Path(repo.path, ".git/objects").rglob("*") if path.is_file())


def test_a_run_that_reuses_thousands_of_steps_adds_kilobytes(team: Team) -> None:
    ann = team.person("ann")
    first = cold(ann.repo.git("rev-parse", "HEAD"), step_names(6000))
    record(ann, first)
    before = stored(ann.repo)
    second = again(first, SECOND)
    record(ann, second)
    assert stored(ann.repo) - before < 16 << 10
    before = stored(ann.repo)
    record(ann, again(second, THIRD))
    assert stored(ann.repo) - before < 16 << 10


def test_a_record_with_rows_is_read_by_every_command_and_by_every_clone(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    first = cold(ann.repo.git("rev-parse", "HEAD"), step_names(1500))
    second = again(first, SECOND, {"train[7]"})
    record(ann, first, second)
    ann.do("push")
    assert bob.do("fetch", "--json").json["received"]["runs"] == 2
    for person in (ann, bob):
        with library(person).workspace() as ws:
            assert read_run(ws.index, ws.objects, first.id) == first
            assert {run.id: run for run in recorded_runs(ws.records, ws.objects)} == {first.id: first, SECOND: second}
            ws.rebuild_index()
            assert count_runs(ws.index) == 2
            assert ws.index.result(second.steps[7].key or "") is not None
        assert person.do("fsck", "--json").json == {"faults": [], "left": 0}
        assert len(person.do("show", SECOND, "--json").json["steps"]) == 1500
        assert [row["run"] for row in person.do("log", "--json").json] == [SECOND, first.id]
    assert ann.do("show", SECOND, "--json").json == bob.do("show", SECOND, "--json").json
    team.hub.git("fsck", "--strict")


def test_a_record_whose_rows_are_spoilt_or_left_out_is_refused_and_named_by_fsck(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    first = cold(ann.repo.git("rev-parse", "HEAD"), step_names(1500))
    record(ann, first)
    folder = record_folder(first.id, first.started)
    names = ann.repo.git("ls-tree", "-r", "--name-only", "refs/gitml/runs", f"{folder}/").split("\n")
    files = {name: ann.repo.git_bytes("cat-file", "blob", f"refs/gitml/runs:{name}") for name in names}
    rows = next(name for name in names if "/steps/" in name)
    other = ann.repo.git("commit-tree", "-m", "empty", ann.repo.git("mktree", input=b""))
    for lie, why in (
        ({rows: files[rows].replace(b"train[1", b"traim[1")}, "other bytes"),
        ({rows: None}, "did not come"),
    ):
        ann.repo.git("update-ref", "refs/gitml/runs", other)
        forge(
            ann.repo, {name: ("100644", content) for name, content in {**files, **lie}.items() if content is not None}
        )
        ann.repo.git("push", "-q", "-f", "origin", "refs/gitml/runs")
        refused = bob.do("fetch", "--json", code=3).json["refused"]
        assert [(one["path"], why in one["why"]) for one in refused] == [(folder, True)]
        assert bob.do("log", "--json").json == []
    for path in (ann.path / ".git/gitml").glob("index.db*"):
        path.unlink()  # which knows the record as it was, and would put it back
    faults = ann.do("fsck", "--json", code=3).json["faults"]
    assert any(folder in fault["name"] for fault in faults)


def test_a_file_that_no_clone_takes_in_is_not_pushed(team: Team) -> None:
    ann = team.person("ann")
    run = ann.run()
    folder = record_folder(another_id(run["run"]), run["started"])
    forge(ann.repo, {f"{folder}/run.json": ("100644", b" " * (LARGEST + 1))})
    done = ann.do("push", code=3)
    assert "run.json is larger than 64 MiB" in done.err
    assert "refs/gitml/runs" not in team.hub.git("for-each-ref", "--format=%(refname)")


def test_what_a_later_gitml_keeps_beside_the_records_is_passed_on(team: Team) -> None:
    ann, bob, cho = team.person("ann"), team.person("bob"), team.person("cho")
    run = ann.run()["run"]
    forge(ann.repo, {f"attestations/{run}.json": ("100644", b"{}")})
    ann.do("push")
    bob.run("-S", "who=bob")
    bob.do("push")
    cho.do("fetch")
    assert f"attestations/{run}.json" in cho.repo.git("ls-tree", "-r", "--name-only", "refs/gitml/runs").split("\n")
    for person in (ann, bob, cho):
        assert person.do("fsck").code == 0


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.timeout(1200)
def test_a_run_of_two_hundred_thousand_steps_is_taken_in_by_a_clone(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    first = cold(ann.repo.git("rev-parse", "HEAD"), step_names(200_000))
    record(ann, first)
    for one, command in ((ann, "push"), (bob, "fetch")):
        process = one.start(command)
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    with library(bob).workspace() as ws:
        assert read_run(ws.index, ws.objects, first.id) == first
