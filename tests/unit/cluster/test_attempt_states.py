"""The state machine of an attempt, as a table of every event in every state."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitml.cluster.driver.attempt import AttemptAction, AttemptEvent, AttemptState, TaskAttempt
from gitml.core.model.protocols import Task
from gitml.core.model.resources import Resources
from tests.kit.cluster.driver_session import RecordedCall, machine
from tests.kit.execution import HOST, action_of

# A column is a state, a row an event. A cell is the action, and after > the first letters of the state that follows when it is
# another; "." for an event that is ignored, "!" for one that can't be.
UNDER_WAY = """
              PENDING                SUBMITTED           RUNNING          MOVING          CANCELLING
PLACED        BOOK>SUB               BOOK                BOOK             BOOK            BOOK
STARTED       REPORT_STARTED>RUN     REPORT_STARTED>RUN  REPORT_STARTED   REPORT_STARTED  REPORT_STARTED
CANCEL        INTERRUPT>CAN          INTERRUPT>CAN       INTERRUPT>CAN    INTERRUPT>CAN   .
KILL          STOP>CAN               STOP>CAN            STOP>CAN         STOP>CAN        STOP
UNDELIVERED   .                      STOP>CAN            .                STOP>CAN        STOP
NO_ROOM       .                      STOP>MOV            .                .               .
INFEASIBLE    FINISH_INFEASIBLE>FIN  .                   .                .               .
UNREACHABLE   .                      EXPECT_LOSS         EXPECT_LOSS      EXPECT_LOSS     EXPECT_LOSS
OVERDUE       .                      .                   .                FORCE           FORCE
REPORTED      COLLECT>COL            COLLECT>COL         COLLECT>COL      RESUBMIT>FIN    COLLECT_CANCELLED>COL
RETRYABLE     RESUBMIT>FIN           RESUBMIT>FIN        RESUBMIT>FIN     RESUBMIT>FIN    COLLECT_CANCELLED>COL
NO_REPORT     FINISH_LOST>FIN        FINISH_LOST>FIN     FINISH_LOST>FIN  RESUBMIT>FIN    FINISH_CANCELLED>FIN
COLLECTED     !                      !                   !                !               !
LOG_COMPLETE  !                      !                   !                !               !
"""

ENDED = """
              COLLECTING      DRAINING
PLACED        .               .
STARTED       REPORT_STARTED  REPORT_STARTED
CANCEL        .               .
KILL          ABANDON>FIN     ABANDON>FIN
UNDELIVERED   .               .
NO_ROOM       .               .
INFEASIBLE    .               .
UNREACHABLE   .               .
OVERDUE       .               .
REPORTED      !               !
RETRYABLE     !               !
NO_REPORT     !               !
COLLECTED     >DRA            !
LOG_COMPLETE  .               FINISH>FIN
"""


def _cells() -> dict[tuple[str, str], str]:
    """(state, event) -> cell."""
    cells = {("FINISHED", event.name): "." for event in AttemptEvent}
    for table in (UNDER_WAY, ENDED):
        head, *rows = [line.split() for line in table.strip().splitlines()]
        cells |= {(state, row[0]): cell for row in rows for state, cell in zip(head, row[1:], strict=True)}
    return cells


def attempt_in(state: AttemptState, root: Path) -> TaskAttempt:
    """An attempt that got into that state somehow."""
    task = Task("0-1", action_of(["train"]), HOST, Resources(), None, False, str(root / "log"))
    attempt = TaskAttempt(task, RecordedCall(), machine("a"))
    attempt.state = state
    return attempt


def test_the_table_has_every_event_in_every_state() -> None:
    assert set(_cells()) == {(state.name, event.name) for state in AttemptState for event in AttemptEvent}
    actions = {cell.partition(">")[0] for cell in _cells().values()} - {".", "!", ""}
    assert actions == {action.name for action in AttemptAction}


@pytest.mark.parametrize("state", AttemptState)
@pytest.mark.parametrize("event", AttemptEvent)
def test_what_an_event_does_in_a_state(state: AttemptState, event: AttemptEvent, tmp_path: Path) -> None:
    attempt, cell = attempt_in(state, tmp_path), _cells()[state.name, event.name]
    if cell == "!":
        with pytest.raises(ValueError, match=event.name):
            attempt.handle(event)
        assert attempt.state is state
        return
    expected, _, follows = "".join(cell.split(".")).partition(">")
    action = attempt.handle(event)
    assert (action.name if action else "", attempt.state.name[:3]) == (expected, follows or state.name[:3])


def test_an_attempt_waits_for_a_node_or_is_submitted_to_one(tmp_path: Path) -> None:
    task = attempt_in(AttemptState.RUNNING, tmp_path).task
    assert TaskAttempt(task, RecordedCall(), None).state is AttemptState.PENDING
    first = TaskAttempt(task, RecordedCall(), machine("a"))
    assert (first.state, first.node, first.host) == (AttemptState.SUBMITTED, "a", "node-a")


def test_every_attempt_ends_and_what_has_ended_stays_so(tmp_path: Path) -> None:
    ending = [AttemptEvent.REPORTED, AttemptEvent.COLLECTED, AttemptEvent.LOG_COMPLETE]
    for state in AttemptState:
        attempt = attempt_in(state, tmp_path)
        for event in ending:
            if _cells()[attempt.state.name, event.name] != "!":
                attempt.handle(event)
        assert attempt.state is AttemptState.FINISHED, state
        for event in AttemptEvent:
            assert attempt.handle(event) is None
