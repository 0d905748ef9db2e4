"""The executor of a Ray cluster: an attempt is one Ray task; its inputs are delivered to its node, its outputs fetched."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from gitml.cluster.connect.cluster import Cluster
from gitml.cluster.connect.health_check import HealthCheck
from gitml.cluster.content.transfers import TransferManager
from gitml.cluster.driver.attempt import ReservedBundle, submission_failure
from gitml.cluster.driver.driver_state import DriverState
from gitml.cluster.driver.gang import POLL, GangScheduler
from gitml.cluster.driver.results import ResultHandler
from gitml.cluster.driver.session import DriverServices, DriverSession, EventQueue, HubConnection
from gitml.cluster.worker.folder import FolderSpec
from gitml.core.model.digest import Digest
from gitml.core.model.protocols import Capabilities, Executor, Task, TaskEvent, TaskFinished
from gitml.core.model.resources import Resources
from gitml.errors import GitmlError, RemoteError

GRACE = 5.0
CLOSE_WAIT = 15.0


class RayExecutor(Executor):
    """Performs Tasks on the machines of a cluster that was joined. To be used from one thread.

    Outputs and logs are in the driver's Store when an attempt is reported as finished.
    """

    capabilities = Capabilities(fetches_inputs=True, elastic=True)

    def __init__(
        self, cluster: Cluster, own: DriverServices, run: str, folder: FolderSpec, *, grace: float = GRACE
    ) -> None:
        transfers, events = TransferManager(folder, own.make), EventQueue()
        self._session = DriverSession(cluster, own, run, folder, grace, HubConnection(), transfers, events)
        self._state = DriverState(self._session)
        self._results = ResultHandler(self._session, self._state)
        self._gangs = GangScheduler(
            self.submit, self.cancel, self._state.pool, own.services.store, self._state.can_scale_up
        )
        self._lost: RemoteError | None = None
        self._unconfirmed: list[tuple[float, TaskEvent]] = []  # losses, and when they were reported
        self._ended = False
        self._health = HealthCheck(self._look, events.put)

    def takes(self, resources: Resources, nodes: int = 1, environment: Digest | None = None) -> bool:
        """Whether a Task that asks for this, on each of so many machines, would begin soon, or have a machine added for it.

        Or would fail at once, as machines that could take it are known to refuse its environment, and too few are left.
        """
        return self._state.takes(resources, nodes, environment)

    def submit(self, task: Task, reserved: ReservedBundle | None = None) -> None:
        """Starts a Task; where a bundle is `reserved`, there."""
        if self._state.closed:
            raise ValueError("the executor is closed")
        if not task.attempt or "/" in task.attempt or task.attempt in (".", ".."):
            raise ValueError(f"not an attempt's name: {task.attempt!r}")
        submitter = self._results.submitter
        try:
            if task.action.gang[0] > 1 and reserved is None:
                self._gangs.submit(task, submitter.placement_group(task))
            else:
                submitter.submit(task, reserved=reserved)
        except GitmlError as error:
            self._state.report(submission_failure(task, error))

    def descriptors(self) -> Sequence[int]:
        return [self._session.events.reader]

    def wait(self, timeout: float | None) -> Sequence[TaskEvent]:
        """Empty also as soon as there is room for more Tasks. RemoteError when the head is lost."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            for call in self._session.events.take():
                call()
            for attempt in self._state.kill_overdue():
                lost: Future[Any] = Future()
                lost.set_exception(ConnectionError("its machine was lost"))
                self._results.task_ended(attempt, lost)
            self._gangs.poll()
            events = self._confirmed(self._gangs.translate(self._state.take_events()))
            if self._state.take_freed() or events:
                return events
            self._check_head()
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return ()
            self._session.events.wait(min(left, POLL if self._gangs else 1.0))

    def cancel(self, attempt: str, *, now: bool = False) -> None:
        found = self._state.attempts.get(attempt)
        if found is None:
            self._gangs.cancel(attempt, now=now)
        else:
            self._results.cancel(found, now=now)

    def dismiss(self) -> None:
        self._state.closed = True
        if self._lost is None:
            for attempt in [*self._gangs.names(), *self._state.attempts]:
                self.cancel(attempt, now=True)

    def close(self) -> None:
        if self._ended:
            return
        self._ended = True
        self.dismiss()
        self._health.close()
        deadline = time.monotonic() + CLOSE_WAIT
        while (self._state.attempts or self._gangs) and self._lost is None and time.monotonic() < deadline:
            self.wait(0.5)
        self._session.transfers.close()
        self._results.close()
        if self._lost is None:
            import ray

            ray.kill(self._session.hub.actor)
        self._session.events.close()

    def _confirmed(self, events: Sequence[TaskEvent]) -> list[TaskEvent]:
        """Events that can be reported; a loss only when the head has answered since: with the head all is lost at once."""
        lost = [event for event in events if isinstance(event, TaskFinished) and event.outcome == "lost"]
        self._unconfirmed += [(time.monotonic(), event) for event in lost]
        if lost:
            self._health.look_now()  # only now: an answer counts when it was asked for after the loss
        confirmed = [item for item in self._unconfirmed if self._health.answered_since(item[0])]
        self._unconfirmed = [item for item in self._unconfirmed if item not in confirmed]
        return [event for event in events if event not in lost] + [event for _, event in confirmed]

    def _look(self) -> Callable[[], None]:
        """Asks what there is, in the thread of the health check; gives what the executor's thread is to do about it."""
        cluster = self._session.cluster
        pending = self._state.pending_requests() + self._gangs.pending_requests()
        infeasible = cluster.infeasible(pending) if pending else ()  # may take long, and machines come meanwhile
        asked = time.monotonic()
        machines = cluster.machines()

        def update() -> None:
            if infeasible:
                self._results.give_up_waiting(infeasible)
            self._state.update(machines, asked)

        return update

    def _check_head(self) -> None:
        """RemoteError when the head is lost while something is waited for."""
        why = self._health.lost() if self._state.attempts or self._unconfirmed else None
        if why is not None:
            hint = "what is finished is kept: when the cluster is back, run the same command again"
            self._lost = RemoteError(f"the head of the cluster is lost: {why}", hint=hint)
            raise self._lost
