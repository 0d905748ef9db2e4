"""What a run knows of its attempts on a cluster, and of the nodes and contents there: one value, changed by its methods alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

from gitml.cluster.driver.attempt import UNDER_WAY, AttemptAction, AttemptEvent, AttemptState, TaskAttempt
from gitml.cluster.driver.node_pool import NodePool, NodeState
from gitml.cluster.driver.session import DriverSession
from gitml.core.model.digest import Digest
from gitml.core.model.protocols import TaskEvent, TaskFinished, TaskStarted
from gitml.core.model.resources import Machine, Resources
from gitml.errors import GitmlError

DYING = 6.0  # seconds that Ray has to report what became of the attempts of a node that is gone
KILLED_AFTER = 2.0  # seconds after which Ray kills what was to end at once
AGAIN = 10.0  # seconds between attempts to have Ray kill one
MAX_PENDING = 32  # enough to be worth new nodes, few enough to be cancelled quickly and to keep the order of steps


class DriverState:
    """To be used from the executor's thread, but for `pending_requests`."""

    def __init__(self, session: DriverSession) -> None:
        self._session = session
        self.pool = NodePool()
        self.looked = time.monotonic()  # when the machines that `pool` knows were asked for
        self.pool.update(session.cluster.machines())
        self.closed = False
        self.attempts: dict[str, TaskAttempt] = {}  # those that have not finished, by name
        self._events: list[TaskEvent] = []
        self._freed = False  # whether there is room again since that was asked last
        self._scalable: dict[str, bool] = {}  # requests that no node fulfils, and whether a node may come that does

    # -- attempts

    def add(self, attempt: TaskAttempt) -> None:
        """An attempt was submitted, maybe in place of one of its name."""
        self.attempts[attempt.task.attempt] = attempt

    def handle(self, attempt: TaskAttempt, event: AttemptEvent) -> AttemptAction | None:
        """Follows an event. Takes the action of it that needs only Ray and the hub; the others are the caller's."""
        action, name, now = attempt.handle(event), attempt.task.attempt, time.monotonic()
        if action is AttemptAction.REPORT_STARTED and not attempt.started:
            attempt.started = True
            self.report(TaskStarted(name))
        elif action is AttemptAction.INTERRUPT:
            attempt.call.cancel(force=False)
            self._session.hub.send(name, "cancel")  # the signal may be lost; this waits until the attempt begins
            attempt.kill_at = now + self._session.grace + 5.0
        elif action is AttemptAction.STOP:
            attempt.call.cancel(force=False)
            self._session.hub.send(name, "stop")
            attempt.kill_at = now + KILLED_AFTER
        elif action is AttemptAction.FORCE:
            attempt.call.cancel(force=True)
            attempt.kill_at = now + AGAIN
        return action

    def place(self, attempt: TaskAttempt, node: str, host: str) -> None:
        """Ray has put it on this node: books it there, if it was meant for another."""
        if self.handle(attempt, AttemptEvent.PLACED) is AttemptAction.BOOK and attempt.node != node:
            self.pool.release(attempt.node, attempt.task.resources, attempt.ahead)
            state = self.node(node)
            attempt.node = node
            attempt.ahead = state is not None and self.pool.acquire(state, attempt.task.resources)
        attempt.host = host

    def undelivered(self, attempt: TaskAttempt, error: GitmlError) -> None:
        """An input could not be delivered: the attempt ends, with this error."""
        if self.handle(attempt, AttemptEvent.UNDELIVERED) is not None:
            attempt.error = error

    def expect_loss(self, attempt: TaskAttempt, seconds: float) -> None:
        """Its node is gone or silent: unless Ray reports its end in so many seconds, it counts as lost."""
        if self.handle(attempt, AttemptEvent.UNREACHABLE) is not None and not attempt.lost_at:
            attempt.lost_at = time.monotonic() + seconds

    def kill_overdue(self) -> list[TaskAttempt]:
        """Has Ray kill what did not end in time; gives the attempts that count as lost now."""
        now = time.monotonic()
        under_way = [attempt for attempt in self.attempts.values() if attempt.state in UNDER_WAY]
        lost = [attempt for attempt in under_way if attempt.lost_at and now > attempt.lost_at]
        for attempt in under_way:
            if attempt in lost:
                attempt.call.cancel(force=True)  # whatever is left of it: it is made again elsewhere
            elif attempt.kill_at and now > attempt.kill_at:
                self.handle(attempt, AttemptEvent.OVERDUE)
        return lost

    def release(self, attempt: TaskAttempt) -> None:
        """Ray has ended it: there is room again on its node."""
        self._freed = True
        seconds = time.monotonic() - attempt.submitted
        self.pool.release(attempt.node, attempt.task.resources, attempt.ahead, seconds)
        attempt.ahead = False

    def finish(self, attempt: TaskAttempt, finished: TaskFinished) -> None:
        """Reports its end."""
        del self.attempts[attempt.task.attempt]
        attempt.log.close()
        self.report(finished)

    def report(self, event: TaskEvent) -> None:
        """Adds an event for the scheduler."""
        self._events.append(event)

    def take_events(self) -> list[TaskEvent]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    def take_freed(self) -> bool:
        """Whether there is room again since the last call."""
        freed, self._freed = self._freed, False
        return freed

    # -- nodes and their autoscaler

    def node(self, id: str) -> NodeState | None:
        """A node, also one that came just now; None for one that is gone."""
        if id not in self.pool.nodes:
            asked = time.monotonic()
            with suppress(GitmlError):
                self.update(self._session.cluster.machines(), asked)
        return self.pool.nodes.get(id)

    def update(self, machines: Sequence[Machine], asked: float) -> None:
        """Follows the machines that there were at `asked`, unless they were asked for again since."""
        if asked < self.looked:
            return
        self.looked = asked
        for gone in self.pool.update(machines):
            self._session.transfers.forget(gone)
            for attempt in self.attempts.values():
                if attempt.node == gone:
                    self.expect_loss(attempt, DYING)

    def takes(self, asked: Resources, count: int, environment: Digest | None) -> bool:
        """As `RayExecutor.takes`."""
        if count > 1:
            room = len(self.pool.with_room(asked, environment)) >= count
        else:
            room = self.pool.select(asked, environment) is not None
        if room or (len(self.pending_requests()) < MAX_PENDING and self.can_scale_up(asked)):
            return True
        return len(self.pool.feasible(asked, environment)) < count <= len(self.pool.feasible(asked))

    def can_scale_up(self, asked: Resources) -> bool:
        """Whether a request that no node fulfils may be fulfilled by one that comes; the cluster is asked once for each."""
        key = repr(asked)
        if key not in self._scalable:
            self._scalable[key] = self._session.cluster.can_scale_up(asked)
        return self._scalable[key]

    def never_scales_up(self, requests: Iterable[Resources]) -> list[TaskAttempt]:
        """No node will come for these requests after all; gives the attempts that wait for one."""
        self._scalable.update({repr(asked): False for asked in requests})
        pending = [attempt for attempt in self.attempts.values() if attempt.state is AttemptState.PENDING]
        return [attempt for attempt in pending if not self.can_scale_up(attempt.task.resources)]

    def pending_requests(self) -> list[Resources]:
        """What attempts that wait for a node ask of it; from any thread."""
        attempts = list(self.attempts.values())
        return [attempt.task.resources for attempt in attempts if attempt.state is AttemptState.PENDING]
