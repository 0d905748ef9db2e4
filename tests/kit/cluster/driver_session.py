"""A run's use of a cluster without Ray: real stores, a real hub in a loop of its own, machines that are only declared."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from gitml.cluster.content.messages import AttemptReport
from gitml.cluster.driver.attempt import RayCall, ReservedBundle, TaskAttempt
from gitml.cluster.driver.driver_state import DriverState
from gitml.cluster.driver.session import DriverServices, DriverSession, EventQueue, HubConnection
from gitml.cluster.worker.folder import FolderSpec
from gitml.cluster.worker.message_hub import MessageHub
from gitml.core.model.protocols import Task, TaskEvent, TaskFinished
from gitml.core.model.resources import Machine, Resources
from gitml.core.model.result import Cost
from gitml.errors import GitmlError, RemoteError
from gitml.execute.messages import encode
from tests.kit.execution import ExecutionBench
from tests.kit.patience import PATIENCE


class LoopHub:
    """A MessageHub that answers as the actor does, by `method.remote(…).future()`; a call fails once it was `lost`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._calls: list[Any] = []
        self._gone = False
        self.hub = MessageHub()

    def __getattr__(self, name: str) -> Any:
        return _Method(self, name)

    def call(self, name: str, *args: Any) -> Future[Any]:
        """Of one method what it will give."""
        if self._gone:
            failed: Future[Any] = Future()
            failed.set_exception(ConnectionError("the actor died"))
            return failed
        called = asyncio.run_coroutine_threadsafe(getattr(self.hub, name)(*args), self._loop)
        self._calls.append(called)
        return called

    def lose(self) -> None:
        """What is asked of it fails from now on."""
        self._gone = True
        for called in self._calls:
            called.cancel()

    def close(self) -> None:
        """Ends its loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


class _Method:
    def __init__(self, hub: LoopHub, name: str) -> None:
        self._hub = hub
        self._name = name

    def remote(self, *args: Any) -> _Answer:
        return _Answer(self._hub.call(self._name, *args))


class _Answer:
    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def future(self) -> Future[Any]:
        return self._future


class RecordedCall(RayCall):
    """A Ray task that never runs; `cancels` are the `force` of each cancel."""

    def __init__(self) -> None:
        self.cancels: list[bool] = []

    def cancel(self, *, force: bool) -> None:
        self.cancels.append(force)


class DeclaredCluster:
    """A cluster that has the machines it is declared to have; in place of `connect.cluster.Cluster`."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self.declared = list(machines)
        self.answers = True
        self.scales = False  # whether an autoscaler adds whatever is asked for

    def machines(self) -> Sequence[Machine]:
        if not self.answers:
            raise RemoteError("no Ray cluster answers")
        return self.declared

    def options(self, asked: Resources, known: list[Machine] | None = None) -> dict[str, Any]:
        return {"num_cpus": asked.cpus, "num_gpus": asked.gpus}

    def can_scale_up(self, asked: Resources) -> bool:
        return self.scales

    def infeasible(self, requests: Iterable[Resources]) -> list[Resources]:
        return []


class RecordedTransfers:
    """Transfers that are only noted: (machine, content, size, machines that hold it); `ends` are to be called when they end."""

    def __init__(self) -> None:
        self.uploaded: list[tuple[str, str, int, list[str]]] = []
        self.downloaded: list[tuple[str, list[tuple[str, int]]]] = []
        self.ends: list[Callable[[GitmlError | None], None]] = []

    def forget(self, node: str) -> None:
        """The machine is gone."""

    def close(self) -> None:
        """Nothing is under way."""

    def upload(self, node: str, name: str, size: int, sources: Sequence[str], done: Any) -> None:
        self.uploaded.append((node, name, size, list(sources)))
        self.ends.append(done)

    def download(self, node: str, contents: Sequence[tuple[str, int]], roots: Sequence[str], done: Any) -> None:
        self.downloaded.append((node, list(contents)))
        self.ends.append(done)


class SessionBench(ExecutionBench):
    """A ExecutionBench with the session and state of a driver of machines a and b."""

    def __init__(self, root: Path, *machines: Machine) -> None:
        super().__init__(root)
        self.hubs: list[LoopHub] = []
        own = DriverServices(self.services(), self.services)
        self.cluster = DeclaredCluster(machines or (machine("a"), machine("b")))
        self.transfers: Any = RecordedTransfers()
        hub, folder = HubConnection(self._new_hub), FolderSpec(str(root))
        self.session = DriverSession(self.cluster, own, "r1", folder, 1.0, hub, self.transfers, EventQueue())
        self.state = DriverState(self.session)
        self._events: list[TaskEvent] = []

    def _new_hub(self, name: str) -> LoopHub:
        self.hubs.append(LoopHub())
        return self.hubs[-1]

    def close(self) -> None:
        super().close()
        for hub in self.hubs:
            hub.lose()
            hub.close()
        self.session.events.close()

    def attempt(
        self,
        task: Task | None = None,
        node: str = "a",
        reserved: ReservedBundle | None = None,
        before: TaskAttempt | None = None,
    ) -> TaskAttempt:
        """An attempt under way on a machine."""
        task = task or self.task("true")
        state = self.state.pool.nodes[node]
        attempt = TaskAttempt(task, RecordedCall(), state.machine, reserved, before)
        attempt.ahead = self.state.pool.acquire(state, task.resources)
        self.state.add(attempt)
        return attempt

    @property
    def events(self) -> list[TaskEvent]:
        """All that was reported."""
        self._events += self.state.take_events()
        return self._events

    def until(self, holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Handles what threads report until something holds."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, self.events
            self.session.events.wait(0.1)
            for call in self.session.events.take():
                call()

    def messages(self, attempt: TaskAttempt) -> list[Any]:
        """What the hub has for an attempt."""
        return list(self.hubs[-1].call("exchange", attempt.task.attempt, []).result(10))

    def finished(self) -> TaskFinished:
        """How the attempt ended, once it has."""
        found: list[TaskFinished] = []

        def look() -> bool:
            found[:] = [event for event in self.events if isinstance(event, TaskFinished)]
            return bool(found)

        self.until(look)
        (finished,) = found
        return finished


def machine(id: str, cpus: float = 2, gpus: float = 0) -> Machine:
    """A machine of that name."""
    has = Resources(cpus, gpus, 1 << 30)
    return Machine(id, f"node-{id}", "127.0.0.1", False, has, has)


def done(attempt: TaskAttempt, **more: Any) -> TaskFinished:
    """The end of an attempt that went well, but for what is said."""
    finished = TaskFinished(attempt.task.attempt, "done", 0, None, None, (), {}, Cost(1.0), None)
    return finished._replace(**more)


def reported(
    finished: TaskFinished, contents: dict[str, bytes] | None = None, node: str = "a", **more: Any
) -> Future[Any]:
    """What the Ray task of an attempt gave."""
    future: Future[Any] = Future()
    future.set_result((encode(AttemptReport(node, f"node-{node}", finished, **more)), contents or {}))
    return future
