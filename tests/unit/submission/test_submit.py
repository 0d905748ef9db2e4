"""A run that was handed over is known here from then on, whatever became of the connection meanwhile."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitml.cluster import jobs as jobs_module
from gitml.engine.planning.load import load
from gitml.engine.planning.request import RunRequest
from gitml.errors import RemoteError
from gitml.history.submissions import Submission, submissions
from gitml.submission import submit as submitting
from gitml.submission.submit import submit
from tests.kit.cluster.jobs_server import JobsHead
from tests.kit.projects.project import Project

pytestmark = pytest.mark.slow  # Ray is imported

FILES = {
    "gitml.yaml": "targets: {big: {ray: '127.0.0.1:1'}}\n",
    "pipelines/p.yaml": "steps:\n  first: {run: 'sh first.sh ${{ outputs.o }}', outputs: {o: file}}\n",
    "first.sh": 'echo a > "$1"\n',
}
HEAVY = ("node1", "/there/heavy")


class Here:
    """A project, the head that it submits to, and what was removed from its disk."""

    def __init__(self, path: Path, head: JobsHead, monkeypatch: pytest.MonkeyPatch) -> None:
        self.head = head
        self.project = Project(path, FILES)
        self.discarded: list[tuple[str, str]] = []
        cluster: Any = head.cluster()
        cluster.machines = list
        cluster.shortage = lambda *_: None
        monkeypatch.setattr(submitting, "connect_to", lambda *_: cluster)
        monkeypatch.setattr(submitting, "_send_ahead", lambda *_: HEAVY)
        monkeypatch.setattr(submitting, "remove", lambda _, *place: self.discarded.append(place))
        monkeypatch.setattr(submitting, "_BEGINNING", 0.5)
        monkeypatch.setattr(submitting, "_ASKING", 0.1)

    def submit(self) -> Submission | None:
        """Hands the run over."""
        with self.project.workspace() as ws:
            loaded = load(ws, "p", None, [])
            target = loaded.config.target("big")
            assert target is not None
            return submit(ws, loaded, RunRequest(on="big"), target)

    def notes(self) -> list[str]:
        """The jobs that are known here."""
        with self.project.workspace() as ws:
            return [one.job for one in submissions(ws)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    with JobsHead() as head:
        yield Here(tmp_path / "project", head, monkeypatch)


def test_a_run_that_is_taken_is_noted(here: Here) -> None:
    submission = here.submit()
    assert submission is not None
    assert here.notes() == list(here.head.jobs) == [submission.job]


def test_a_run_that_was_taken_although_the_answer_was_lost_is_submitted(here: Here) -> None:
    here.head.faults = {"cut after"}
    submission = here.submit()
    assert submission is not None
    assert (here.notes(), here.discarded) == ([submission.job], [])


def test_a_run_that_may_have_been_taken_stays_known_and_that_is_said(here: Here) -> None:
    here.head.faults = {"cut before"}
    with pytest.raises(RemoteError, match="may be on the cluster") as error:
        here.submit()
    assert "gitml collect --forget" in str(error.value.hint)
    assert (len(here.notes()), here.discarded) == (1, [])


def test_a_run_stays_known_when_the_head_is_gone_before_it_answered(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_PATIENCE", 2.0)
    here.head.faults = {"silent"}
    with pytest.raises(RemoteError, match="may be on the cluster"):
        here.submit()
    assert (here.notes(), here.discarded) == (list(here.head.jobs), [])


def test_a_run_that_was_refused_is_forgotten_and_what_was_sent_ahead_is_removed(here: Here) -> None:
    for fault in ("refuse", "break"):
        here.head.faults = {fault}
        with pytest.raises(RemoteError, match="the cluster refused"):
            here.submit()
        assert here.notes() == []
    assert here.discarded == [HEAVY, HEAVY]


def test_ctrl_c_while_a_run_is_handed_over_tells_that_it_goes_on(here: Here) -> None:
    here.head.faults = {"silent"}

    def interrupt() -> None:
        assert here.head.submitting.wait(60)
        os.kill(os.getpid(), signal.SIGINT)
        here.head.faults = set()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(RemoteError, match="had been handed over before the interruption") as error:
        here.submit()
    thread.join()
    assert "gitml cancel" in str(error.value.hint)
    assert (here.notes(), here.discarded) == (list(here.head.jobs), [])


def test_ctrl_c_before_a_run_is_handed_over_leaves_nothing(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def packages(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    from ray.job_submission import JobSubmissionClient

    monkeypatch.setattr(JobSubmissionClient, "_upload_working_dir_if_needed", packages)
    with pytest.raises(KeyboardInterrupt):
        here.submit()
    assert (here.notes(), here.discarded, here.head.jobs) == ([], [HEAVY], {})
