"""What the parts of a RayExecutor share: the attempts under way, the machines, the hub, and the events that are due."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from gitml.cluster.connect.machines import Machine
from gitml.cluster.content.source import BlobSource
from gitml.cluster.content.transfers import TransferManager
from gitml.cluster.driver.attempt import TaskAttempt
from gitml.cluster.driver.autoscaling import AutoscalingQueue
from gitml.cluster.driver.event_queue import EventQueue
from gitml.cluster.driver.node_pool import NodePool, NodeState
from gitml.cluster.worker.folder_interface import ContentWriter, FolderSpec
from gitml.cluster.worker.message_hub import MessageHub
from gitml.core.config.remotes import RemoteSpec
from gitml.core.model.digest import Digest
from gitml.core.model.protocols import TaskEvent, TaskFinished, TaskStarted
from gitml.core.model.resources import Resources
from gitml.errors import GitmlError
from gitml.execute.interfaces import WorkerServices

DYING = 6.0  # seconds that Ray has to say what became of the attempts of a machine that is gone
KILLED_AFTER = 2.0  # seconds after which Ray kills what was to end now


class ConnectedCluster(Protocol):
    """A cluster that this process is a driver of."""

    def machines(self) -> Sequence[Machine]:
        """The machines that are alive; RemoteError when the head does not answer."""

    def options(self, asked: Resources, known: list[Machine] | None = None) -> dict[str, Any]:
        """A wish as the options of a Ray task."""

    def can_scale_up(self, asked: Resources) -> bool:
        """Whether an autoscaler may add a machine that fulfils `asked`."""

    def infeasible(self, wishes: Iterable[Resources]) -> list[Resources]:
        """Of `wishes` that wait for a machine, those that the autoscaler has found no way to fulfil."""


class DriverServices(NamedTuple):
    """The driver's side: its services (`make` makes more of them, for threads), how a large content is taken into its Store, and
    how many small ones are, by name, those below a tree before it. `stores` are the remote stores that machines may ask.
    """

    services: WorkerServices
    make: Callable[[], WorkerServices]
    arriving: Callable[[WorkerServices, str, int], ContentWriter | None]
    keep: Callable[[WorkerServices, Mapping[str, bytes]], None]
    stores: tuple[RemoteSpec, ...] = ()


class Session:
    """One run's use of a cluster. `make_hub` starts a Hub of a name, and again when one is lost."""

    def __init__(
        self,
        cluster: ConnectedCluster,
        home: DriverServices,
        run: str,
        place: FolderSpec,
        grace: float,
        make_hub: Callable[[str], Any] | None = None,
    ) -> None:
        self.cluster = cluster
        self.home = home
        self.run = run
        self.place = place
        self.grace = grace
        self.source = BlobSource(home.services)
        self.node_pool = NodePool()
        self.looked = time.monotonic()  # when the machines that `node_pool` knows were asked for
        self.node_pool.update(cluster.machines())
        self.autoscaling = AutoscalingQueue(cluster.can_scale_up)
        self.transfers = TransferManager(place, home.make, home.arriving)
        self.make_hub = make_hub or new_hub
        self.open_hub()
        self.event_queue = EventQueue()
        self.attempts: dict[str, TaskAttempt] = {}
        self.sizes: dict[str, int] = {}  # of large contents, which say where a step should run
        self.events: list[TaskEvent] = []
        self.freed = False  # whether there is room again since the last `wait`
        self.closed = False

    def open_hub(self) -> None:
        """Begins a new hub. Attempts are told its name alone: to hand a handle to each costs Ray more than a short step takes."""
        self.hub_name = f"gitml-{os.urandom(8).hex()}"
        self.hub = self.make_hub(self.hub_name)

    def is_current(self, attempt: TaskAttempt) -> bool:
        """Whether it is still waited for."""
        return self.attempts.get(attempt.task.attempt) is attempt

    def started(self, attempt: TaskAttempt) -> None:
        """The step's process runs."""
        if not attempt.started:
            attempt.started = True
            self.events.append(TaskStarted(attempt.task.attempt))

    def is_on(self, attempt: TaskAttempt, node: str) -> None:
        """Ray has put it on this machine: books it there, if it was meant for another."""
        if attempt.node == node:
            return
        self.autoscaling.waiting.pop(attempt.task.attempt, None)
        asked = attempt.task.resources
        self.node_pool.give_back(attempt.node, asked, attempt.ahead, self.node_pool.usual)
        attempt.node, attempt.ahead = node, False
        node_state = self.node_state(node)
        if node_state is not None:
            attempt.ahead = self.node_pool.take(node_state, asked)
            attempt.host = node_state.machine.name

    def node_state(self, node: str) -> NodeState | None:
        """A machine, also one that came just now; None for one that is gone."""
        if node not in self.node_pool.nodes:
            asked = time.monotonic()
            with suppress(GitmlError):
                self.update(self.cluster.machines(), asked)
        return self.node_pool.nodes.get(node)

    def update(self, machines: Sequence[Machine], asked: float) -> None:
        """Takes note of the machines that there were at `asked`, unless they were asked for again since."""
        if asked < self.looked:
            return
        self.looked = asked
        for gone in self.node_pool.update(machines):
            self.transfers.forget(gone)
            for attempt in self.attempts.values():
                if attempt.node == gone and attempt.report is None:
                    attempt.doom(DYING)

    def cancel(self, attempt: TaskAttempt, *, now: bool) -> None:
        """Asks it to end, and has Ray kill it when it does not."""
        attempt.cancelled = max(attempt.cancelled, 2 if now else 1)
        self.end(attempt, now=now)

    def end(self, attempt: TaskAttempt, *, now: bool) -> None:
        """As `cancel`, when it is not the run that wants it."""
        if attempt.report is not None:
            return
        attempt.call.cancel(force=False)
        if now:
            self.hub.send.remote(attempt.task.attempt, ("stop",))
        attempt.forced = time.monotonic() + (KILLED_AFTER if now else self.grace + 5.0)

    def finish(self, attempt: TaskAttempt, finished: TaskFinished) -> None:
        """It is over."""
        del self.attempts[attempt.task.attempt]
        attempt.log.close()
        if finished.outcome == "cancelled" and not attempt.cancelled:
            # nobody asked: it found the way to its run cut, and ended
            finished = finished._replace(outcome="lost", error="it lost touch with the run")
        self.events.append(finished)

    def is_good(self, digest: Digest) -> bool:
        """Whether the driver's own copy of a Blob or listing is there and sound."""
        try:
            self.home.services.store.open(digest).close()
        except GitmlError:
            return False
        return True


def new_hub(name: str) -> Any:
    """A Hub on the driver's own machine, or on the head where Ray's client drives: no other that is lost takes it along."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # not soft: an actor that asks for no CPUs is then put anywhere
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    hub = ray.remote(MessageHub).options(name=name, num_cpus=0, max_concurrency=100_000, scheduling_strategy=here)
    return hub.remote()
