"""The executor of a cluster without Ray: what it makes of machines that go, come and are seen late, and of attempts given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from gitml.cluster.connect import health_check
from gitml.cluster.driver import driver_state, session, submitter
from gitml.cluster.driver import executor as executors
from gitml.cluster.driver.attempt import TaskAttempt
from gitml.cluster.driver.executor import RayExecutor
from gitml.cluster.driver.session import DriverServices
from gitml.cluster.worker.folder import FolderSpec
from gitml.core.model.digest import digest_of, hex_of
from gitml.core.model.protocols import TaskEvent, TaskFinished
from gitml.core.model.resources import Resources
from gitml.core.model.result import OutputRef
from gitml.engine.execution.executor_kinds import Executors
from tests.kit.cluster.driver_session import (
    DeclaredCluster,
    LoopHub,
    RecordedCall,
    RecordedTransfers,
    done,
    machine,
    reported,
)
from tests.kit.execution import ExecutionBench
from tests.kit.patience import PATIENCE

A, B, C = "aa" * 28, "bb" * 28, "cc" * 28  # as Ray names machines


class Stage(ExecutionBench):
    """A ExecutionBench with a RayExecutor on machines that are only told of; Ray tasks are `futures` that tests end."""

    def __init__(self, root: Path, told: DeclaredCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(root)
        self.hubs: list[LoopHub] = []
        self.futures: list[Future[Any]] = []
        monkeypatch.setattr(health_check, "PERIOD", 0.05)
        monkeypatch.setattr(session, "start_hub", self._new_hub)
        monkeypatch.setattr(driver_state, "DYING", 0.2)
        monkeypatch.setattr(executors, "CLOSE_WAIT", 0.0)
        monkeypatch.setattr(submitter, "_remote", lambda: self)
        own = DriverServices(self.services(), self.services)
        self.transfers = RecordedTransfers()
        monkeypatch.setattr(executors, "TransferManager", lambda *_: self.transfers)
        self.ray = RayExecutor(told, own, "r1", FolderSpec(str(root)))

    def _new_hub(self, name: str) -> LoopHub:
        self.hubs.append(LoopHub())
        return self.hubs[-1]

    def options(self, **_: Any) -> Any:
        """`perform` as Ray knows it."""
        return self

    def remote(self, *_: Any) -> Any:
        """Notes a Ray task."""
        self.futures.append(Future())
        future = self.futures[-1]
        return type("Ref", (), {"future": lambda self: future})()

    def begin(self, resources: Resources | None = None) -> TaskAttempt:
        """Submits a Task."""
        task = self.task("true", resources=resources or Resources())
        self.ray.submit(task)
        attempt = self.ray._state.attempts[task.attempt]
        attempt.call = RecordedCall()
        return attempt

    def say(self, attempt: TaskAttempt, *said: Any) -> None:
        """As the attempt does, by the hub."""
        self.hubs[-1].call("exchange", attempt.task.attempt, list(said)).result(PATIENCE)

    def until(self, holds: Any) -> list[TaskEvent]:
        """The events until something holds of them."""
        events: list[TaskEvent] = []
        end = time.monotonic() + PATIENCE
        while not holds(events):
            assert time.monotonic() < end, events
            events += self.ray.wait(0.1)
        return events

    def finished(self) -> TaskFinished:
        """The end of an attempt, once it has come."""
        events = self.until(lambda events: any(isinstance(event, TaskFinished) for event in events))
        (finished,) = [event for event in events if isinstance(event, TaskFinished)]
        return finished

    def close(self) -> None:
        self.ray._state.closed = True
        self.ray._health.close()
        self.ray._results.close()
        for hub in self.hubs:
            hub.lose()
            hub.close()
        super().close()


@pytest.fixture
def told() -> DeclaredCluster:
    return DeclaredCluster([machine(A)])


@pytest.fixture
def stage(tmp_path: Path, told: DeclaredCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    stage = Stage(tmp_path, told, monkeypatch)
    yield stage
    stage.close()


def test_a_machine_that_comes_back_is_heard_of_while_nothing_is_under_way(stage: Stage, told: DeclaredCluster) -> None:
    made = Executors(lambda target: stage.ray)
    asked = Resources()
    assert made.takes("c", asked)
    told.declared = []
    stage.until(lambda _: not made.takes("c", asked))
    told.declared = [machine(B)]
    end = time.monotonic() + PATIENCE
    while not made.takes("c", asked):
        assert time.monotonic() < end
        made.wait(0.0)
        time.sleep(0.02)


def test_what_is_given_up_as_lost_is_killed_wherever_it_is(stage: Stage, told: DeclaredCluster) -> None:
    attempt = stage.begin()
    told.declared = [machine(B)]
    finished = stage.finished()
    assert (finished.outcome, finished.error) == ("lost", "its machine was lost")
    assert isinstance(attempt.call, RecordedCall)
    assert attempt.call.cancels == [True]


class SlowToSay(DeclaredCluster):
    """A cluster with an autoscaler that takes its time to say what it can't add."""

    def __init__(self) -> None:
        super().__init__([machine(A)])
        self.asked, self.answers_now = threading.Event(), threading.Event()

    def can_scale_up(self, asked: Resources) -> bool:
        return True

    def infeasible(self, wishes: Iterable[Resources]) -> list[Resources]:
        self.asked.set()
        self.answers_now.wait(PATIENCE)
        return []

    def machines(self) -> Sequence[Any]:
        seen = list(self.declared)
        if threading.current_thread().name == "gitml-watch" and not self.answers_now.is_set():
            self.asked.set()
            self.answers_now.wait(PATIENCE)  # the answer is on its way
        return seen


def test_a_look_that_comes_late_does_not_take_away_a_machine_that_came_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = SlowToSay()
    stage = Stage(tmp_path, told, monkeypatch)
    try:
        attempt = stage.begin(Resources(8))  # waits at Ray for a machine
        assert told.asked.wait(PATIENCE)
        told.declared = [machine(A), machine(C, cpus=8)]
        stage.say(attempt, ("on", C, "node-c"), ("started",))
        stage.until(lambda _: attempt.node == C)
        told.answers_now.set()
        looked = stage.ray._state.looked
        stage.until(lambda _: stage.ray._state.looked > looked)
        assert attempt.lost_at == 0.0
        stage.futures[0].set_result(reported(done(attempt), node=C).result())
        assert stage.finished().outcome == "done"
        assert stage.ray._state.pool.nodes[C].free.cpus == 8
    finally:
        told.answers_now.set()
        stage.close()


def test_to_end_now_does_not_wait_for_what_comes_home(stage: Stage) -> None:
    attempt = stage.begin()
    digest = digest_of(b"x")
    output = OutputRef("o", "file", digest, 100, 100)
    report = reported(done(attempt, outputs=(output,)), node=A, away=((f"blob:{hex_of(digest)}", 100),))
    stage.futures[0].set_result(report.result())
    stage.until(lambda _: bool(stage.transfers.downloaded))
    stage.ray.cancel(attempt.task.attempt)
    assert list(stage.ray.wait(0.2)) == [], "asked once, it goes on: the step is done"
    stage.ray.cancel(attempt.task.attempt, now=True)
    finished = stage.finished()
    assert (finished.outcome, finished.outputs) == ("cancelled", ())
    stage.transfers.ends[0](None)
    assert list(stage.ray.wait(0.2)) == []
