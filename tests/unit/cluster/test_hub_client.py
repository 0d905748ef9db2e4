"""How an attempt speaks with its run, and what it reports when the run is out of reach."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitml import __version__
from gitml.cluster.content.messages import AttemptReport, AttemptRequest, decode_report
from gitml.cluster.worker import message_hub as lines
from gitml.cluster.worker import task_runner
from gitml.cluster.worker.folder import FolderSpec
from gitml.cluster.worker.message_hub import HubClient
from gitml.core.model.digest import digest_of
from gitml.core.model.protocols import Task
from gitml.execute.messages import encode, encode_task
from tests.kit.execution import ExecutionBench


class Answering:
    """A hub whose answers tests give."""

    def __init__(self) -> None:
        self.said: list[list[Any]] = []
        self.answers: list[Future[Any]] = []

    @property
    def exchange(self) -> Any:
        """The method of an actor."""
        return self

    def remote(self, attempt: str, said: list[Any]) -> Any:
        """A call of it."""
        self.said.append(said)
        self.answers.append(Future())
        answer = self.answers[-1]
        return type("Ref", (), {"future": lambda self: answer})()


def line() -> tuple[HubClient, Answering]:
    """A line, and the hub at its other end."""
    made, hub = HubClient("hub", "a"), Answering()
    made._hub = hub
    return made, hub


def test_what_was_said_counts_as_heard_when_it_was_answered() -> None:
    made, hub = line()
    made.outbox += ["one"]
    made.exchange()
    made.outbox += ["two"]
    assert made.exchange() == []
    assert (hub.said, made.undelivered()) == ([["one"]], ["one", "two"])
    hub.answers[0].set_result(["stop"])
    assert made.exchange() == ["stop"]
    assert (hub.said, made.undelivered()) == ([["one"], ["two"]], ["two"])


def test_a_hub_is_deaf_when_a_call_is_not_answered_not_when_there_was_nothing_to_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(lines, "time", SimpleNamespace(monotonic=lambda: now[0]))
    made, _ = line()
    now[0] += 2 * lines.ANSWER_TIMEOUT  # the machine looks through what it has
    made.outbox += ["one"]
    made.exchange()
    now[0] += 0.9 * lines.ANSWER_TIMEOUT
    assert made.exchange() == []
    now[0] += 0.2 * lines.ANSWER_TIMEOUT
    with pytest.raises(ConnectionError, match="can't be reached"):
        made.exchange()


class Worker:
    """A node without Ray that performs attempts, whose calls to the hub `exchange` answers."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench = ExecutionBench(root)
        self.exchange: Callable[[], list[Any]] = list
        self.place = FolderSpec(str(root / "worker"))
        worker = self

        class Client(HubClient):
            def exchange(self) -> list[Any]:
                return worker.exchange()

        monkeypatch.setattr(task_runner, "HubClient", Client)
        monkeypatch.setattr(task_runner, "this_node", lambda: ("node1", "host1"))
        monkeypatch.setattr(task_runner.TaskRunner, "_other_environment", lambda *_: None)

    def perform(self, task: Task, contents: dict[str, bytes] | None = None) -> tuple[AttemptReport, bytes]:
        """Performs a Task; returns the report, and its log."""
        message = encode_task(task, with_environment=True)
        order = AttemptRequest(__version__, "r", task.attempt, self.place, 5.0, 0.0, "hub", message)
        data, made = task_runner.perform(encode(order), contents or {})
        return decode_report(data), made.get("log", b"")

    def close(self) -> None:
        """Ends its processes."""
        task_runner._STATES.pop(self.place).executor.close()
        self.bench.close()


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    made = Worker(tmp_path, monkeypatch)
    yield made
    made.close()


def test_a_run_that_is_out_of_reach_is_no_refusal_by_the_machine(worker: Worker) -> None:
    def gone() -> list[Any]:
        raise ConnectionError("the run is gone")

    worker.exchange = gone
    task = worker.bench.task("cat", "i", inputs=[("i", "i", "file", digest_of(b"on its way"))])
    report, _ = worker.perform(task)
    assert (report.refused, report.finished.outcome) == (False, "cancelled"), "which nobody asked for: it is lost"


@pytest.mark.parametrize("message", ["cancel", "stop"])
def test_a_cancellation_without_its_signal_ends_an_attempt_that_waits_for_inputs(worker: Worker, message: str) -> None:
    worker.exchange = lambda: [(message,)]
    task = worker.bench.task("cat", "i", inputs=[("i", "i", "file", digest_of(b"never sent"))])
    finished = worker.perform(task)[0].finished
    assert (finished.outcome, finished.error) == ("cancelled", "cancelled before it began")


PATIENT = "trap 'echo ended with grace; exit 0' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.mark.parametrize(
    ("signals", "messages", "grace"),
    [
        (0, ["cancel"], True),  # the signal is lost
        (1, ["cancel"], True),  # both arrive
        (1, ["cancel", "cancel"], True),
        (1, [], True),
        (2, [], False),
        (0, ["cancel", "stop"], False),
        (0, ["stop"], False),
    ],
)
def test_a_step_has_its_grace_unless_it_is_to_end_at_once(
    worker: Worker, signals: int, messages: list[str], grace: bool
) -> None:
    task = worker.bench.task("sh", "-c", PATIENT)
    log = worker.place.root + f"/live/r-{task.attempt}.log"

    def cancel_once_ready() -> list[Any]:
        if not os.path.exists(log) or b"ready" not in Path(log).read_bytes():
            return []
        worker.exchange = list
        for _ in range(signals):
            signal.raise_signal(signal.SIGINT)
        return [(message,) for message in messages]

    worker.exchange = cancel_once_ready
    report, output = worker.perform(task)
    assert report.finished.outcome == "cancelled"
    assert (b"ended with grace" in output) == grace
