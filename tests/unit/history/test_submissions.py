"""Runs that were handed to a cluster are listed here until they are brought home."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitml.errors import InputError
from gitml.history.browsing import view
from gitml.history.listing import Wanted, list_runs
from gitml.history.runs import get_run
from gitml.history.submissions import Submission, forget, note, submissions
from tests.kit.project import Project

FILES = {"pipelines/p.yaml": "steps:\n  s: {run: 'true'}\n"}
GIVEN = Submission("00aa" * 4, "big", "p", "c" * 40, 1000.0, "ann")


def test_a_submission_is_listed_among_the_runs_until_it_is_forgotten(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", FILES)
    run = project.run("p")
    with project.workspace() as ws:
        note(ws, GIVEN)
        assert submissions(ws) == [GIVEN]
        assert [(row.id, row.status) for row in list_runs(ws, Wanted(), None)[0]] == [
            (run.id, "succeeded"),
            (GIVEN.run, "submitted"),
        ]
        assert [row.id for row in list_runs(ws, Wanted(status="submitted"), None)[0]] == [GIVEN.run]
        assert list_runs(ws, Wanted(status="running"), None) == ([], False)
        assert [(row.id, row.message) for row in view(ws).live] == [(GIVEN.run, "handed to big")]
        with pytest.raises(InputError, match="was handed to big and is not here yet"):
            get_run(ws, GIVEN.run)
        forget(ws, GIVEN.run)
        forget(ws, GIVEN.run)
        assert submissions(ws) == []
        assert [row.id for row in list_runs(ws, Wanted(), None)[0]] == [run.id]
