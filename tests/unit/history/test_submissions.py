"""Runs that were handed to a cluster are listed here until they are brought home."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitml.engine.planning.load import load
from gitml.engine.planning.request import RunRequest
from gitml.engine.run import head_of
from gitml.errors import InputError
from gitml.git.revisions import IdentQuery
from gitml.history.run_list import RunFilter, filter_runs, list_runs
from gitml.history.runs import get_run
from gitml.history.submissions import Submission, forget_submission, note_submission, submissions
from gitml.layout import SUBMISSIONS_REF
from gitml.transfer.records import fetch, push
from tests.kit.projects.project import Project
from tests.kit.projects.repository import Repository

FILES = {"pipelines/p.yaml": "steps:\n  s: {run: 'true'}\n"}
GIVEN = Submission("00aa" * 4, "big", "p", "c" * 40, 1000.0, "ann")


def test_a_submission_is_listed_among_the_runs_until_it_is_forgotten(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", FILES)
    run = project.run("p")
    with project.workspace() as ws:
        note_submission(ws, GIVEN)
        assert submissions(ws) == [GIVEN]
        assert [(row.id, row.status) for row in list_runs(ws, RunFilter(), None)[0]] == [
            (run.id, "succeeded"),
            (GIVEN.run, "submitted"),
        ]
        assert [row.id for row in list_runs(ws, RunFilter(status="submitted"), None)[0]] == [GIVEN.run]
        assert list_runs(ws, RunFilter(status="running"), None) == ([], False)
        assert [(row.id, row.message) for row in filter_runs(ws).live] == [(GIVEN.run, "handed to big")]
        with pytest.raises(InputError, match="was handed to big and is not here yet"):
            get_run(ws, GIVEN.run)
        forget_submission(ws, GIVEN.run)
        forget_submission(ws, GIVEN.run)
        assert submissions(ws) == []
        assert [row.id for row in list_runs(ws, RunFilter(), None)[0]] == [run.id]


def test_the_commit_of_uncommitted_work_outlives_gc_until_the_run_is_home(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", FILES)
    project.repo.write({"pipelines/p.yaml": "steps:\n  s: {run: 'false'}\n"})
    with project.workspace() as ws:
        commit = head_of(ws, load(ws, "p", None, []), RunRequest(), IdentQuery(ws.location), 1000.0).commit
        note_submission(ws, GIVEN._replace(commit=commit))
    project.repo.git("gc", "--quiet", "--prune=now")
    with project.workspace() as ws:
        assert ws.objects.header(commit) is not None
        forget_submission(ws, GIVEN.run)
    assert "submissions" not in project.repo.git("for-each-ref")
    project.repo.git("gc", "--quiet", "--prune=now")
    with project.workspace() as ws:
        assert ws.objects.header(commit) is None


def test_the_ref_that_holds_it_is_neither_pushed_nor_fetched(tmp_path: Path) -> None:
    hub = Repository(tmp_path / "hub.git", bare=True)
    project = Project(tmp_path / "project", FILES)
    project.repo.git("remote", "add", "origin", hub.path)
    project.repo.git("push", "-q", "origin", "main")
    run = project.run("p")
    with project.workspace() as ws:
        note_submission(ws, GIVEN._replace(commit=run.commit))
        assert f"{SUBMISSIONS_REF}/{GIVEN.run}" in project.repo.git("for-each-ref")
        push(ws)
    assert hub.git("for-each-ref", "--format=%(refname)").split() == ["refs/gitml/runs", "refs/heads/main"]
    hub.git("update-ref", f"{SUBMISSIONS_REF}/{GIVEN.run}", run.commit)
    other = Project(tmp_path / "other", FILES)
    other.repo.git("remote", "add", "origin", hub.path)
    with other.workspace() as ws:
        fetch(ws)
    assert SUBMISSIONS_REF not in other.repo.git("for-each-ref")
