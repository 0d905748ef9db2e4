"""A submitted run, kept here as a run in progress: whoever looks at one sees the other alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitml.core.model.digest import digest_of
from gitml.core.model.events import RunFinished, RunStarted, StepFinished, StepStarted
from gitml.core.model.result import Cost
from gitml.core.records.record import Run, StepRun
from gitml.errors import InputError
from gitml.history.logs import attempt_logs, read
from gitml.history.runs import FoundRun, find_run, get_run, run_id, run_progress
from gitml.history.submissions import Submission, forget_submission, note_submission, progress_folder, submissions
from gitml.submission.collect import mirror, write_progress
from gitml.submission.event_stream import JobLogText, event_lines, job_events
from gitml.workspace import Workspace, open_workspace
from tests.kit.projects.project import Project

ID = "00aa" * 4
RUN = Run(ID, "p", "p", "p", "running", "c" * 40, 1e9, 1e9, "ann", "head", "1")
TOLD = [
    RunStarted(RUN, ("a", "b", "c")),
    StepStarted("a", "never ran", 1),
    JobLogText("a", "0-1", b"first "),
    JobLogText("a", "0-1", b"second\n"),
    StepFinished(StepRun("a", "executed", "never ran", 2.0, digest_of(b"k"), cost=Cost(2.0))),
    StepStarted("b", "never ran", 1),
    JobLogText("b", "1-1", b"at work\n"),
]


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    project = Project(tmp_path / "r", {"README.md": ""})
    opened = open_workspace(str(project.repo.path), {})
    note_submission(opened, Submission(ID, "big", "p", "c" * 40, 1e9, "ann"))
    return opened


def heard(ws: Workspace, count: int, now: float) -> FoundRun:
    """The run after the first `count` sayings, as they come over the line."""
    write_progress(
        progress_folder(ws, ID), list(job_events([line for one in TOLD[:count] for line in event_lines(one)])), now
    )
    return get_run(ws, ID)


def test_steps_stand_as_the_cluster_said_and_logs_are_read_as_they_grow(ws: Workspace) -> None:
    early = heard(ws, 3, 100.0)
    assert [(one.name, one.state) for one in run_progress(early)] == [
        ("a", "running"),
        ("b", "waiting"),
        ("c", "waiting"),
    ]
    assert b"".join(read(ws, attempt_logs(ws, early, "a")[0])) == b"first "
    later = heard(ws, 7, 200.0)
    assert [(one.name, one.state) for one in run_progress(later)] == [
        ("a", "executed"),
        ("b", "running"),
        ("c", "waiting"),
    ]
    assert b"".join(read(ws, attempt_logs(ws, later, "a")[0])) == b"first second\n"
    assert b"".join(read(ws, attempt_logs(ws, later, "b")[0])) == b"at work\n"
    assert later.run.status == "running"


def test_an_attempt_began_when_it_was_first_heard_of(ws: Workspace) -> None:
    assert run_progress(heard(ws, 2, 100.0))[0].since == 100.0
    assert run_progress(heard(ws, 3, 150.0))[0].since == 100.0
    assert run_progress(heard(ws, 7, 200.0))[1].since == 200.0


def test_a_run_that_ended_there_is_not_going_on(ws: Workspace) -> None:
    ended = RUN._replace(status="succeeded", ended=1e9 + 5, steps=(TOLD[4].step,))  # type: ignore[union-attr]
    write_progress(progress_folder(ws, ID), [*TOLD, RunFinished(ended, "")], 300.0)
    assert get_run(ws, ID).run.status == "succeeded"
    assert [step.name for step in get_run(ws, ID).run.steps] == ["a"]


def test_nothing_heard_yet_is_told_with_what_to_do_and_an_id_is_found_all_the_same(ws: Workspace) -> None:
    assert write_progress(progress_folder(ws, ID), [], 1.0) is None
    assert run_id(ws, "00aa") == ID
    with pytest.raises(InputError, match="was handed to big and is not here yet"):
        find_run(ws, "00aa")
    with pytest.raises(InputError, match="was not submitted from here"):
        mirror(ws, "ffff" * 4)


def test_it_goes_when_the_run_is_home(ws: Workspace) -> None:
    heard(ws, 7, 100.0)
    assert json.loads((Path(progress_folder(ws, ID)) / "steps.json").read_text()) == {"a": 0, "b": 1, "c": 2}
    assert [one.run for one in submissions(ws)] == [ID]
    forget_submission(ws, ID)
    assert submissions(ws) == []
    assert not Path(progress_folder(ws, ID)).exists()


def test_a_hostile_name_of_an_attempt_stays_in_the_folder(ws: Workspace) -> None:
    write_progress(progress_folder(ws, ID), [TOLD[0], JobLogText("a", "../../../../escaped", b"x")], 1.0)
    assert {path.name for path in Path(progress_folder(ws, ID)).rglob("*.log")} == {"escaped.log"}
