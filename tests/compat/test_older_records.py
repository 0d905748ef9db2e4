"""A repository whose runs gitml 0.1.0 recorded: they are listed, shown and run again, and nothing of them is reused."""

from __future__ import annotations

import os
import subprocess

import pytest

from gitml.analysis.reproduce import reproduce
from gitml.core.model.stop_signal import StopSignal
from gitml.history.runs import read_run
from tests.kit.projects.project import Project
from tests.kit.projects.repository import isolate

BUNDLE = os.path.join(os.path.dirname(__file__), "golden", "run-0.1.0.bundle")
RUN = "7db0cddb29d9e1c4"


@pytest.fixture
def project(tmp_path, monkeypatch):
    isolate(monkeypatch)
    made = Project(tmp_path / "r")
    refs = ["+refs/heads/main:refs/heads/main", "+refs/gitml/runs:refs/gitml/runs"]
    subprocess.run(["git", "-C", made.repo.path, "fetch", "-q", "--update-head-ok", BUNDLE, *refs], check=True)
    made.repo.git("reset", "-q", "--hard", "main")
    return made


def test_what_an_older_gitml_recorded_is_read_and_not_reused(project):
    with project.workspace() as ws:
        run = read_run(ws, RUN)
        assert [(step.name, step.outcome, dict(step.metrics)) for step in run.steps] == [
            ("upper", "executed", {"words": 6}),
            ("lines", "executed", {}),
        ]
        action = ws.index.action(run.steps[0].key)
        assert (action.format, dict(action.params)) == (1, {"times": 2})
    decisions = project.plan().decisions
    assert [decision.kind for decision in decisions.values()] == ["run", "unknown"]
    assert decisions["upper"].reason.startswith("the result was recorded by an older gitml (Action format 1)")
    assert [step.outcome for step in project.run().steps] == ["executed", "executed"]
    assert [step.outcome for step in project.run().steps] == ["reused", "reused"]


def test_a_run_of_an_older_gitml_is_reproduced(project):
    with project.workspace() as ws:
        verdict = reproduce(ws, read_run(ws, RUN), lambda _: None, StopSignal())
    assert verdict.identical
    assert "the result was recorded by an older gitml (Action format 1)" in verdict.notes[0]
