"""The executor of a Ray cluster: one Ray task an attempt, its contents brought to where it runs, what it made brought home."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from gitml.cluster.connect.health_check import HealthCheck
from gitml.cluster.connect.machines import Machine
from gitml.cluster.driver.attempt import Lost, submission_failure
from gitml.cluster.driver.gang import LOOK, GangScheduler
from gitml.cluster.driver.placement_group import ReservedBundle
from gitml.cluster.driver.results import ResultHandler
from gitml.cluster.driver.session import ConnectedCluster, DriverServices, Session
from gitml.cluster.worker.folder_interface import FolderSpec
from gitml.core.model.digest import Digest
from gitml.core.model.protocols import Task, TaskEvent, TaskFinished
from gitml.core.model.resources import Resources
from gitml.errors import GitmlError, RemoteError

GRACE = 5.0
CLOSE_WAIT = 15.0
AGAIN = 10.0  # seconds between attempts to have Ray kill one


class ClusterSnapshot(NamedTuple):
    """A look at a cluster: the machines that there were at `asked`, and which wishes wait in vain."""

    asked: float
    machines: Sequence[Machine]
    infeasible: Sequence[Resources]


class RayExecutor:
    """Performs Tasks on the machines of a cluster that was joined. To be used from one thread.

    Outputs and logs are in the driver's Store when an attempt is said to be finished.
    """

    def __init__(
        self, cluster: ConnectedCluster, home: DriverServices, run: str, place: FolderSpec, *, grace: float = GRACE
    ) -> None:
        self._session = session = Session(cluster, home, run, place, grace)
        self._receiver = ResultHandler(session)
        self._gangs = GangScheduler(self, session.node_pool, home.services.store, session.autoscaling.serves)
        self._lost: RemoteError | None = None
        self._doubted: list[tuple[float, TaskEvent]] = []  # losses, and when they were heard of
        self._ended = False
        tell = session.event_queue.tell
        self._watch = HealthCheck(self._look, lambda seen: tell(lambda: self._see(seen)))

    def takes(self, resources: Resources, nodes: int = 1, environment: Digest | None = None) -> bool:
        """Whether a Task that asks for this, on each of so many machines, would begin soon, or have a machine added for it.

        Or would fail at once, as machines that could take it are known to refuse its environment, and too few are left.
        """
        node_pool = self._session.node_pool
        if nodes > 1:
            room = len(node_pool.with_room(resources, environment)) >= nodes
        else:
            room = node_pool.place(resources, environment) is not None
        if room or self._session.autoscaling.takes(resources):
            return True
        return len(node_pool.feasible(resources, environment)) < nodes <= len(node_pool.feasible(resources))

    def submit(self, task: Task, reserved: ReservedBundle | None = None) -> None:
        """Starts a Task; where a place is `reserved`, there."""
        session, sender = self._session, self._receiver.sender
        if session.closed:
            raise ValueError("the executor is closed")
        if not task.attempt or "/" in task.attempt or task.attempt in (".", ".."):
            raise ValueError(f"not an attempt's name: {task.attempt!r}")
        try:
            if task.action.gang[0] > 1 and reserved is None:
                self._gangs.begin(task, sender.places(task))
            else:
                sender.send(task, reserved=reserved)
        except GitmlError as error:
            session.events.append(submission_failure(task, error))

    def descriptors(self) -> Sequence[int]:
        """One of them becomes readable when `wait` may have something to give."""
        return [self._session.event_queue.reader]

    def wait(self, timeout: float | None) -> Sequence[TaskEvent]:
        """Events since the last call, in order; waits up to `timeout` seconds for the first.

        Empty on time-out, and as soon as there is room for more Tasks. RemoteError when the head is lost.
        """
        session = self._session
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            for item in session.event_queue.take():
                item()
            self._look_after()
            looked = self._gangs.look()
            events, session.events = self._sure([*looked, *self._gangs.sort(session.events)]), []
            if events or session.freed:
                session.freed = False
                return events
            self._see_that_it_goes_on()
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return ()
            session.event_queue.wait(min(left, LOOK if self._gangs else 1.0))

    def cancel(self, attempt: str, *, now: bool = False) -> None:
        """Asks a Task to end: SIGTERM and after a grace SIGKILL to its whole process tree; `now` kills at once."""
        found = self._session.attempts.get(attempt)
        if found is None:
            self._gangs.cancel(attempt, now=now)
        elif now and found.report is not None:
            self._receiver.abandon(found)
        else:
            self._session.cancel(found, now=now)

    def dismiss(self) -> None:
        """Says that nothing more will be asked: what still runs begins to end."""
        self._session.closed = True
        if self._lost is None:
            for attempt in [*self._gangs.names(), *self._session.attempts]:
                self.cancel(attempt, now=True)

    def close(self) -> None:
        """Ends everything that still runs."""
        if self._ended:
            return
        self._ended = True
        session = self._session
        self.dismiss()
        self._watch.close()
        deadline = time.monotonic() + CLOSE_WAIT
        while (session.attempts or self._gangs) and self._lost is None and time.monotonic() < deadline:
            self.wait(0.5)
        session.transfers.close()
        self._receiver.close()
        if self._lost is None:
            import ray

            ray.kill(session.hub)
        session.event_queue.close()

    def _sure(self, events: Sequence[TaskEvent]) -> list[TaskEvent]:
        """Events that can be told; a loss only when the head has answered since: with the head all is lost at once."""
        sure: list[TaskEvent] = []
        for event in events:
            if isinstance(event, TaskFinished) and event.outcome == "lost":
                self._doubted.append((time.monotonic(), event))
                self._watch.look_now()
            else:
                sure.append(event)
        doubted, self._doubted = self._doubted, []
        for since, event in doubted:
            if self._watch.answered_since(since):
                sure.append(event)
            else:
                self._doubted.append((since, event))
        return sure

    def _look_after(self) -> None:
        """Has Ray kill what does not end, and gives up what Ray does not know to be lost."""
        now = time.monotonic()
        for attempt in list(self._session.attempts.values()):
            if attempt.report is not None:
                continue
            if attempt.doomed and now > attempt.doomed:
                attempt.call.cancel(force=True)  # whatever is left of it: it is made again elsewhere
                self._receiver.ended(attempt, Lost("its machine was lost"))
            elif attempt.forced and now > attempt.forced:
                attempt.forced = now + AGAIN
                attempt.call.cancel(force=True)

    def _look(self) -> ClusterSnapshot:
        """What there is now; in the thread of the watch."""
        session = self._session
        waiting = list(session.autoscaling.waiting.values()) + self._gangs.waiting()
        infeasible = (
            session.cluster.infeasible(waiting) if waiting else ()
        )  # may take long, and machines come meanwhile
        asked = time.monotonic()
        return ClusterSnapshot(asked, session.cluster.machines(), infeasible)

    def _see(self, seen: ClusterSnapshot) -> None:
        """Takes note of the machines there are, and of wishes that wait in vain."""
        if seen.infeasible:
            self._receiver.give_up_waiting(seen.infeasible)
        self._session.update(seen.machines, seen.asked)

    def _see_that_it_goes_on(self) -> None:
        why = self._watch.lost() if self._session.attempts or self._doubted else None
        if why is not None:
            hint = "what is finished is kept: when the cluster is back, run the same command again"
            self._lost = RemoteError(f"the head of the cluster is lost: {why}", hint=hint)
            raise self._lost
