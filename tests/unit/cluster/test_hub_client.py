"""How an attempt speaks with its run, and what it reports when the run is out of reach."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitml import __version__
from gitml.cluster.content.messages import AttemptRequest, decode_report, encode_request
from gitml.cluster.worker import message_hub as lines
from gitml.cluster.worker import task_runner
from gitml.cluster.worker.folder import FolderSpec
from gitml.cluster.worker.message_hub import HubClient
from gitml.core.model.digest import digest_of
from gitml.execute.messages import encode_task
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


def test_a_run_that_is_out_of_reach_is_no_refusal_by_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(HubClient):
        def exchange(self) -> list[Any]:
            raise ConnectionError("the run is gone")

    monkeypatch.setattr(task_runner, "HubClient", Gone)
    monkeypatch.setattr(task_runner, "this_node", lambda: ("node1", "host1"))
    bench = ExecutionBench(tmp_path)
    task = bench.task("cat", "i", inputs=[("i", "i", "file", digest_of(b"on its way"))])
    message = encode_task(task, None, with_environment=True)
    place = FolderSpec(str(tmp_path / "worker"))
    order = AttemptRequest(__version__, "r", task.attempt, place, 1.0, 0.0, "hub", message)
    data, _ = task_runner.perform(encode_request(order), {})
    report = decode_report(data)
    assert (report.refused, report.finished.outcome) == (False, "cancelled"), "which nobody asked for: it is lost"
    bench.close()
