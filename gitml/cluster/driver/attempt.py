"""An attempt as the driver keeps it, and the words for how one is lost."""

from __future__ import annotations

import time
from typing import Any, NamedTuple, Protocol

from gitml.cluster.content.messages import AttemptReport
from gitml.cluster.driver.attempt_log import LogAssembler
from gitml.cluster.driver.placement_group import ReservedBundle
from gitml.core.model.protocols import Task, TaskFinished
from gitml.core.model.result import Cost
from gitml.errors import GitmlError, RemoteError


class Call(Protocol):
    """A Ray task that was submitted."""

    def cancel(self, *, force: bool) -> None:
        """Asks it to end, by a signal that it heeds; with `force` its process is killed."""


class TaskAttempt:
    """A Task under way, as the Ray task `call` on the machine `node`, as far as is known."""

    def __init__(self, task: Task, call: Call, node: str, ahead: bool, reserved: ReservedBundle | None = None) -> None:
        self.task = task
        self.call = call
        self.node = node
        self.host = ""  # the machine's name, which is told of an attempt also when the machine is gone
        self.ahead = ahead  # whether it was submitted before there was room
        self.reserved = reserved
        self.begun = time.monotonic()
        self.log = LogAssembler(task.log)
        self.started = False
        self.spoke = False  # whether it used the hub
        self.cut_off = False  # whether the hub that it spoke by is lost, and with it what it said last
        self.cancelled = 0  # 1: asked to end, 2: now
        self.forced = 0.0  # when Ray is to kill it
        self.doomed = 0.0  # when it counts as lost, whatever Ray thinks
        self.again = False  # whether it was submitted a second time
        self.moves = False  # whether it is to end there and be submitted elsewhere
        self.report: AttemptReport | None = None
        self.away = False  # whether what it made is on its way into the driver's Store
        self.why: GitmlError | None = None  # why contents did not come through

    def doom(self, seconds: float) -> None:
        """Gives Ray so many seconds to say itself that it was lost."""
        if not self.doomed:
            self.doomed = time.monotonic() + seconds

    def continues(self, before: TaskAttempt) -> None:
        """Takes the place of an attempt that its machine could not begin."""
        self.again, self.started, self.log = True, before.started, before.log


class Lost(NamedTuple):
    """In place of a Future whose result will not come."""

    why: str

    def result(self) -> Any:
        """Raises."""
        raise ConnectionError(self.why)


def loss_reason(error: BaseException) -> str:
    """How an attempt was lost, in a line."""
    words = {
        "WorkerCrashedError": "its worker process died",
        "NodeDiedError": "its machine was lost",
        "OutOfMemoryError": "its machine ran out of memory",
        "OwnerDiedError": "its driver was lost",
        "ConnectionError": str(error),
    }
    known = words.get(type(error).__name__)
    if known is not None:
        return known
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1].strip()[:200] if lines else ''}"


def transfer_failure(attempt: TaskAttempt, why: GitmlError) -> tuple[str, str]:
    """(outcome, error) of an attempt whose contents did not come through."""
    made = attempt.report is not None and attempt.report.finished.outcome == "done"
    what = "what it made could not be brought home" if made else "what it needs could not be brought to its machine"
    return "lost" if isinstance(why, RemoteError) else "failed", f"{what}: {why.message}"


def submission_failure(task: Task, error: GitmlError) -> TaskFinished:
    """The end of a Task that could not be submitted."""
    outcome = "lost" if isinstance(error, RemoteError) else "failed"
    return TaskFinished(task.attempt, outcome, None, error.message, error.hint, (), {}, Cost(), None)
