"""Freeing single artifacts: just what was asked, what keeps it said before."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitml.core.model.digest import Digest
from gitml.errors import BusyError, InputError
from gitml.maintenance.evict import evict, plan_eviction
from gitml.store.local.locks import Locks
from tests.kit.projects.project import Project, outcomes

# Both directories hold the file `same`; nothing is inline.
PIPELINE = """\
params: {n: 1}
steps:
  a: {shell: sh, run: "mkdir ${{ outputs.o }}; echo same > ${{ outputs.o }}/same; seq ${{ params.n }} 900 > ${{ outputs.o }}/own", outputs: {o: directory}}
  b: {shell: sh, run: "mkdir ${{ outputs.o }}; echo same > ${{ outputs.o }}/same; echo b${{ params.n }} > ${{ outputs.o }}/b", outputs: {o: directory}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE, "gitml.yaml": "records: {inline_file: 0}\n"})


def digest(run: object, step: str) -> Digest:
    found = run.step(step)  # type: ignore[attr-defined]
    return found.outputs[0].digest  # type: ignore[no-any-return]


def test_exactly_what_only_the_artifact_holds_goes(project: Project) -> None:
    run = project.run()
    before = set(project.objects())
    with project.workspace() as ws:
        foretold = plan_eviction(ws, [digest(run, "a")])
        assert set(project.objects()) == before
        done = evict(ws, [digest(run, "a")], though_kept=True)
        gone = before - set(project.objects())
        assert (done.objects, done.bytes) == (foretold.objects, foretold.bytes)
        assert foretold.shared == len("same\n")
        assert len(gone) == 2  # the listing and `own`; `same` is held by b's
        assert ws.store.path_of(digest(run, "a")) in gone
        out = run.step("b").outputs[0]  # type: ignore[union-attr]
        assert ws.store.has(out.digest, out.size, tree=True)
    assert outcomes(project.run()) == {"a": "executed", "b": "reused"}


def test_the_runs_that_keep_it_are_told_and_it_is_not_freed_without_a_word(project: Project) -> None:
    first = project.run()
    again = project.run()  # reuses, and so names the same artifact
    pinned = project.run(tags=("pinned",))
    project.repo.commit("on")
    with project.workspace() as ws:
        asked = [digest(first, "a")]
        retaining_runs = plan_eviction(ws, asked).retaining_runs
        assert {keeper.run for keeper in retaining_runs} == {first.id, again.id, pinned.id}
        assert (retaining_runs[0].run, retaining_runs[0].name, retaining_runs[0].why) == (
            pinned.id,
            "a.o",
            "it is pinned",
        )
        assert retaining_runs[1].why == ""
        before = project.objects()
        with pytest.raises(InputError, match=r"keeps a\.o"):
            evict(ws, asked)
        assert project.objects() == before


def test_a_run_at_a_named_commit_keeps_by_rule(project: Project) -> None:
    run = project.run()
    with project.workspace() as ws:
        assert plan_eviction(ws, [digest(run, "b")]).retaining_runs[0].why == "a branch or tag names its commit"


def test_what_nothing_keeps_is_freed_without_a_word(project: Project) -> None:
    with project.workspace() as ws:
        orphan = ws.store.put(b"nobody's")
        assert not plan_eviction(ws, [orphan]).retaining_runs
        assert evict(ws, [orphan]).objects == 1
        assert not ws.store.is_intact(orphan)
        assert evict(ws, [orphan]).objects == 0


def test_nothing_is_freed_while_a_run_goes_on(project: Project) -> None:
    run = project.run()
    with project.workspace() as ws:
        assert ws.locks.try_lock(Locks.GC)
        try:
            with pytest.raises(BusyError):
                evict(ws, [digest(run, "a")], though_kept=True)
        finally:
            ws.locks.unlock(Locks.GC)
        assert ws.store.is_intact(digest(run, "a"))
