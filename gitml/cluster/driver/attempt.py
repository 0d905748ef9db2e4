"""One attempt as the driver follows it: its states, what each event does in each of them, and what is known of it meanwhile.

An attempt is one Ray task. `TRANSITIONS` is the whole state machine: an event in a state gives the state that follows and the
action that the driver takes. An attempt that is submitted again is a new TaskAttempt in place of the one before.
"""

from __future__ import annotations

import os
import time
from enum import Enum, auto
from typing import Any, NamedTuple

from gitml.cluster.content.messages import AttemptReport
from gitml.core.model.protocols import Task, TaskFinished
from gitml.core.model.resources import Machine
from gitml.errors import GitmlError, RemoteError
from gitml.files import write_all


class AttemptState(Enum):
    """Where an attempt stands; the Ray task has ended from COLLECTING on."""

    PENDING = auto()  # no node that it fits on is known: Ray holds it until its autoscaler adds one
    SUBMITTED = auto()  # sent to a node, where the step's process has not started
    RUNNING = auto()  # the step's process runs
    MOVING = auto()  # asked to end, to be submitted to another node
    CANCELLING = auto()  # asked to end: by the run, or because its inputs could not be delivered
    COLLECTING = auto()  # there is a report; its outputs are on their way into the driver's Store
    DRAINING = auto()  # its outputs are here, and the rest of its log is on its way through the hub
    FINISHED = auto()  # its end was reported, or another submission took its place: nothing more happens


class AttemptEvent(Enum):
    """What may happen to an attempt."""

    PLACED = auto()  # the node that Ray chose reports that the attempt is there
    STARTED = auto()  # the step's process runs
    CANCEL = auto()  # the run asks it to end
    KILL = auto()  # the run asks it to end at once, and waits for no outputs
    UNDELIVERED = auto()  # an input could not be delivered to its node
    NO_ROOM = auto()  # its node has no room for an input, and another node may have
    INFEASIBLE = auto()  # the autoscaler can add no node that it fits on
    UNREACHABLE = auto()  # its node is gone or silent
    OVERDUE = auto()  # it did not end in time after it was asked to
    REPORTED = auto()  # Ray gave its report
    RETRYABLE = auto()  # Ray gave a report by which the node could not begin it, and another submission may
    NO_REPORT = auto()  # the Ray task failed, was cancelled before it began, or is lost
    COLLECTED = auto()  # its outputs are in the driver's Store, or could not be had
    LOG_COMPLETE = auto()  # nothing more of its log is waited for


class AttemptAction(Enum):
    """What the driver does about an event."""

    BOOK = auto()  # count its resources on the node where it is
    REPORT_STARTED = auto()  # report the start to the scheduler, unless that was done
    INTERRUPT = auto()  # ask it to end, by a signal and by a message; it has its grace until it is overdue
    STOP = auto()  # the same, at once
    FORCE = auto()  # have Ray kill its process
    EXPECT_LOSS = auto()  # give Ray a few seconds to report the loss itself
    RESUBMIT = auto()
    COLLECT = auto()  # take its outputs and log into the driver's Store
    COLLECT_CANCELLED = auto()  # the same; an end that says no more than that it was interrupted counts as cancelled
    FINISH = auto()  # report its end
    FINISH_LOST = auto()  # report that it was lost
    FINISH_CANCELLED = auto()  # report that it was cancelled before it began
    FINISH_INFEASIBLE = auto()  # report that no node can take it
    ABANDON = auto()  # report it as cancelled, without its outputs


_S, _E, _A = AttemptState, AttemptEvent, AttemptAction
UNDER_WAY = (_S.PENDING, _S.SUBMITTED, _S.RUNNING, _S.MOVING, _S.CANCELLING)  # Ray has not ended it
_WANTED = (_S.PENDING, _S.SUBMITTED, _S.RUNNING)
_ON_A_NODE = (_S.SUBMITTED, _S.RUNNING, _S.MOVING, _S.CANCELLING)
_ENDED = (_S.COLLECTING, _S.DRAINING)

# (event, in these states, the state that follows (None: the same), the action); any other event in any other state is ignored
_ROWS: tuple[tuple[AttemptEvent, tuple[AttemptState, ...], AttemptState | None, AttemptAction | None], ...] = (
    (_E.PLACED, (_S.PENDING,), _S.SUBMITTED, _A.BOOK),
    (_E.PLACED, _ON_A_NODE, None, _A.BOOK),  # once it has ended its node counts as free again
    (_E.STARTED, _WANTED, _S.RUNNING, _A.REPORT_STARTED),
    (_E.STARTED, (_S.MOVING, _S.CANCELLING, *_ENDED), None, _A.REPORT_STARTED),
    # once: a second signal would end it without its grace. When the step has ended it only waits for its outputs
    (_E.CANCEL, (*_WANTED, _S.MOVING), _S.CANCELLING, _A.INTERRUPT),
    (_E.KILL, UNDER_WAY, _S.CANCELLING, _A.STOP),
    (_E.KILL, _ENDED, _S.FINISHED, _A.ABANDON),
    (_E.UNDELIVERED, (_S.SUBMITTED, _S.MOVING, _S.CANCELLING), _S.CANCELLING, _A.STOP),  # one that runs has its inputs
    (_E.NO_ROOM, (_S.SUBMITTED,), _S.MOVING, _A.STOP),
    (_E.INFEASIBLE, (_S.PENDING,), _S.FINISHED, _A.FINISH_INFEASIBLE),
    (_E.UNREACHABLE, _ON_A_NODE, None, _A.EXPECT_LOSS),
    (_E.OVERDUE, (_S.MOVING, _S.CANCELLING), None, _A.FORCE),
    (_E.REPORTED, _WANTED, _S.COLLECTING, _A.COLLECT),
    (_E.REPORTED, (_S.MOVING,), _S.FINISHED, _A.RESUBMIT),
    (_E.REPORTED, (_S.CANCELLING,), _S.COLLECTING, _A.COLLECT_CANCELLED),
    (_E.RETRYABLE, (*_WANTED, _S.MOVING), _S.FINISHED, _A.RESUBMIT),
    (_E.RETRYABLE, (_S.CANCELLING,), _S.COLLECTING, _A.COLLECT_CANCELLED),
    (_E.NO_REPORT, _WANTED, _S.FINISHED, _A.FINISH_LOST),
    (_E.NO_REPORT, (_S.MOVING,), _S.FINISHED, _A.RESUBMIT),
    (_E.NO_REPORT, (_S.CANCELLING,), _S.FINISHED, _A.FINISH_CANCELLED),
    (_E.COLLECTED, (_S.COLLECTING,), _S.DRAINING, None),
    (_E.LOG_COMPLETE, (_S.DRAINING,), _S.FINISHED, _A.FINISH),
)
TRANSITIONS = {
    (state, event): (follows or state, action) for event, states, follows, action in _ROWS for state in states
}

# a Ray task ends once, before its outputs are collected, once: that one of these happens is a bug
IMPOSSIBLE = {
    *((state, event) for state in UNDER_WAY for event in (_E.COLLECTED, _E.LOG_COMPLETE)),
    *((state, event) for state in _ENDED for event in (_E.REPORTED, _E.RETRYABLE, _E.NO_REPORT)),
    (_S.DRAINING, _E.COLLECTED),
}


class RayCall:
    """A submitted Ray task, by the reference to its result."""

    def __init__(self, ref: Any) -> None:
        self._ref = ref

    def cancel(self, *, force: bool) -> None:
        """Asks it to end, by a signal; with `force` its process is killed.

        The signal may be lost: as Ray has sent the task to a worker that does not run it yet, or as a KeyboardInterrupt in code
        that ignores it, before the task has its own handler. A message through the hub is to go with it.
        """
        import ray

        # not what it began: that is its call to the hub, and the messages of that call would be lost
        ray.cancel(self._ref, force=force, recursive=False)


class ReservedBundle(NamedTuple):
    """A bundle of a placement group: the id of its node, and the scheduling strategy that sends a Ray task there."""

    node: str
    strategy: Any


class TaskAttempt:
    """A Task as the Ray task `call` on `machine`, None as long as none is known. Its state changes by events alone."""

    def __init__(
        self,
        task: Task,
        call: RayCall,
        machine: Machine | None,
        reserved: ReservedBundle | None = None,
        before: TaskAttempt | None = None,
    ) -> None:
        self.state = AttemptState.PENDING if machine is None else AttemptState.SUBMITTED
        self.task = task
        self.call = call
        self.node = "" if machine is None else machine.id
        self.host = "" if machine is None else machine.name  # it is reported also when the machine is gone
        self.ahead = False  # whether more is booked on the node than it has
        self.reserved = reserved
        self.submitted = time.monotonic()
        self.submissions: int = 1 if before is None else before.submissions + 1
        self.started: bool = before is not None and before.started  # whether its start was reported
        self.log: LogAssembler = LogAssembler(task.log) if before is None else before.log
        self.uses_hub = False
        self.hub_lost = False  # and with it, maybe, messages with pieces of the log
        self.kill_at = 0.0  # when it is overdue, once it was asked to end
        self.lost_at = 0.0  # when it counts as lost, whatever Ray reports
        self.report: AttemptReport | None = None
        self.error: GitmlError | None = None  # why inputs or outputs could not be transferred

    def handle(self, event: AttemptEvent) -> AttemptAction | None:
        """Follows an event; gives the action to take, None when there is none. ValueError for an event that can't be."""
        if (self.state, event) in IMPOSSIBLE:
            raise ValueError(f"{event} of an attempt that is {self.state}")
        self.state, action = TRANSITIONS.get((self.state, event), (self.state, None))
        return action

    @property
    def log_complete(self) -> bool:
        """Whether its log is here as far as it will come."""
        if self.report is None:
            return False
        whole = self.report.finished.log
        return self.hub_lost or whole is None or self.log.size >= whole.size


class LogAssembler:
    """An attempt's log on the driver. Pieces may come in any order and twice; `size` is how far it is whole."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = 0
        self._early: dict[int, bytes] = {}
        self._fd = -1

    def write(self, position: int, piece: bytes) -> None:
        """Adds a piece; the file comes into being with the first byte."""
        if piece and position + len(piece) > self.size:
            self._early[position] = piece
        while True:
            position = next((start for start in self._early if start <= self.size), -1)
            if position < 0:
                return
            piece = self._early.pop(position)[self.size - position :]
            if piece:
                self._append(piece)

    def _append(self, piece: bytes) -> None:
        if self._fd < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            if not self.size:
                flags |= os.O_TRUNC
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self._fd = os.open(self.path, flags, 0o644)
        write_all(self._fd, piece)
        self.size += len(piece)

    def close(self) -> None:
        """Closes the file; a later piece opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def loss_reason(error: BaseException) -> str:
    """How an attempt was lost, in a line."""
    known = {
        "WorkerCrashedError": "its worker process died",
        "NodeDiedError": "its machine was lost",
        "OutOfMemoryError": "its machine ran out of memory",
        "OwnerDiedError": "its driver was lost",
        "ConnectionError": str(error),
    }
    if type(error).__name__ in known:
        return known[type(error).__name__]
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1].strip()[:200] if lines else ''}"


def transfer_failure(attempt: TaskAttempt, error: GitmlError) -> tuple[str, str]:
    """(outcome, error) of an attempt whose inputs or outputs could not be transferred."""
    made = attempt.report is not None and attempt.report.finished.outcome == "done"
    what = (
        "its outputs could not be fetched to the driver"
        if made
        else "its inputs could not be transferred to its machine"
    )
    return "lost" if isinstance(error, RemoteError) else "failed", f"{what}: {error.message}"


def submission_failure(task: Task, error: GitmlError) -> TaskFinished:
    """The end of a Task that could not be submitted."""
    outcome = "lost" if isinstance(error, RemoteError) else "failed"
    return TaskFinished(task.attempt, outcome, error=error.message, hint=error.hint)
