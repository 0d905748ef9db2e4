"""The services that the parts of a RayExecutor share: the cluster, the driver's own Store, hub, transfers, event queue."""

from __future__ import annotations

import os
import queue
import select
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from gitml.cluster.connect.cluster import Cluster
from gitml.cluster.content.transfers import TransferManager
from gitml.cluster.worker.folder import FolderSpec
from gitml.cluster.worker.message_hub import MessageHub
from gitml.core.config.remotes import RemoteSpec
from gitml.execute.interfaces import WorkerServices


class DriverServices(NamedTuple):
    """The driver's own side. `make` makes more services, for threads. `stores` are the remote stores that machines may fetch
    from; `image_stores` those of them that are asked for images.
    """

    services: WorkerServices
    make: Callable[[], WorkerServices]
    stores: tuple[RemoteSpec, ...] = ()
    image_stores: tuple[RemoteSpec, ...] = ()


class EventQueue:
    """What other threads have for the one that runs an executor: functions to call, and a descriptor that wakes who waits."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)

    def put(self, call: Callable[[], None]) -> None:
        """Adds a function, from any thread."""
        self._calls.put(call)
        with suppress(OSError):  # the pipe is full, which wakes as well, or closed
            os.write(self._writer, b"x")

    def deferred(self, function: Callable[..., None], *args: Any) -> Callable[..., None]:
        """A function that, called from any thread, adds `function`; `args` come before what it is called with."""
        return lambda *more: self.put(lambda: function(*args, *more))

    def take(self) -> Iterator[Callable[[], None]]:
        """What was added since."""
        with suppress(BlockingIOError):
            while os.read(self.reader, 4096):
                pass
        while not self._calls.empty():
            yield self._calls.get()

    def wait(self, seconds: float) -> None:
        """Waits until something is added, or so long."""
        poll = select.poll()
        poll.register(self.reader, select.POLLIN)
        poll.poll(seconds * 1000 + 1)

    def close(self) -> None:
        """What is added from now on is dropped."""
        for fd in (self.reader, self._writer):
            os.close(fd)
        self.reader = self._writer = -1


class HubConnection:
    """The run's MessageHub, and a new one when that is lost.

    Attempts get its name alone: to hand a handle to each costs Ray more than a short step takes.
    """

    def __init__(self, start: Callable[[str], Any] | None = None) -> None:
        self._start = start or start_hub
        self.open()

    def open(self) -> None:
        """Starts a hub, of a new name."""
        self.name = f"gitml-{os.urandom(8).hex()}"
        self.actor = self._start(self.name)

    def send(self, attempt: str, *message: Any) -> None:
        """Leaves a message for an attempt."""
        self.actor.send.remote(attempt, message)

    def receive(self, seconds: float, done: Callable[[Any], None]) -> None:
        """Waits beside the run, for so long, for messages of attempts; gives the Future of them to `done`, in any thread."""
        self.actor.receive.remote(seconds).future().add_done_callback(done)

    def forget(self, attempt: str) -> None:
        """The attempt has ended."""
        self.actor.forget.remote(attempt)


def start_hub(name: str) -> Any:
    """A MessageHub on the driver's own machine, or on the head where Ray's client drives: the loss of no other ends it."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # not soft: an actor that asks for no CPUs is then put anywhere
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    hub = ray.remote(MessageHub).options(name=name, num_cpus=0, max_concurrency=100_000, scheduling_strategy=here)
    return hub.remote()


class DriverSession(NamedTuple):
    """One run's use of a cluster that was joined; `grace` are the seconds that a step has to end when it is asked to."""

    cluster: Cluster
    own: DriverServices
    run: str
    folder: FolderSpec
    grace: float
    hub: HubConnection
    transfers: TransferManager
    events: EventQueue
