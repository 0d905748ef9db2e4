"""The small parts between a driver and its attempts: the event queue, the hub, the health check, the reasons of a loss."""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gitml.cluster.connect import health_check as watching
from gitml.cluster.connect.cluster import _init_client
from gitml.cluster.connect.health_check import HealthCheck
from gitml.cluster.content.messages import AttemptReport
from gitml.cluster.driver.attempt import TaskAttempt, loss_reason, submission_failure, transfer_failure
from gitml.cluster.driver.session import EventQueue
from gitml.cluster.worker import message_hub as hubs
from gitml.cluster.worker.message_hub import MessageHub
from gitml.core.model.resources import Machine
from gitml.errors import IntegrityError, MachineError, RemoteError
from tests.kit.cluster.driver_session import RecordedCall, SessionBench, done, machine
from tests.kit.patience import PATIENCE


def test_news_of_a_thread_wakes_who_waits_and_is_given_once_in_order() -> None:
    event_queue = EventQueue()
    seen: list[int] = []
    threading.Timer(0.05, lambda: [event_queue.put(lambda n=n: seen.append(n)) for n in range(3)]).start()  # type: ignore[misc]
    end = time.monotonic() + PATIENCE
    while len(seen) < 3 and time.monotonic() < end:
        event_queue.wait(5)
        for item in event_queue.take():
            item()
    assert seen == [0, 1, 2]
    assert list(event_queue.take()) == []
    assert not select.select([event_queue.reader], [], [], 0)[0], "nothing is left to wake anybody"
    event_queue.close()


def test_news_is_kept_when_the_pipe_is_full_and_dropped_without_harm_when_closed() -> None:
    event_queue = EventQueue()
    for _ in range(70_000):  # more than a pipe holds
        event_queue.put(lambda: None)
    assert sum(1 for _ in event_queue.take()) == 70_000
    before = len(os.listdir("/proc/self/fd"))
    event_queue.close()
    assert len(os.listdir("/proc/self/fd")) == before - 2
    event_queue.put(lambda: None)


def test_the_hub_passes_on_what_is_said_and_told_each_once() -> None:
    async def play() -> None:
        hub = MessageHub()
        assert await hub.exchange("a", [("line", "x")]) == []
        await hub.send("a", ("stop",))
        await hub.send("b", ("keep", {}))
        assert await hub.exchange("a", []) == [("stop",)]
        assert await hub.exchange("a", []) == []
        said, silent = await hub.receive(5)
        assert said == [("a", ("line", "x"))]
        assert [name for name, _ in silent] == ["a"], "who never called is not silent"
        await hub.forget("b")
        assert await hub.exchange("b", []) == []
        assert (await hub.receive(0.01))[0] == []

    asyncio.run(play())


def test_who_hears_is_woken_and_who_says_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "QUEUE_LIMIT", 10)

    async def play() -> None:
        hub = MessageHub()
        hearing = asyncio.create_task(hub.receive(60))
        await asyncio.sleep(0)
        await hub.exchange("a", [("log", 0, b"x" * 11)])
        assert (await hearing)[0] == [("a", ("log", 0, b"x" * 11))]
        await hub.exchange("a", [("log", 11, b"x" * 11)])
        held = asyncio.create_task(hub.exchange("a", [("log", 22, b"y")]))
        await asyncio.sleep(0.01)
        assert not held.done(), "the driver is behind"
        await hub.receive(5)
        await held
        assert (await hub.receive(5))[0] == [("a", ("log", 22, b"y"))]

    asyncio.run(play())


def test_the_watch_tells_what_there_is_and_when_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PERIOD", 0.01)
    told: list[list[Machine]] = []
    answers = threading.Event()

    def ask() -> list[Machine]:
        if not answers.is_set():
            raise RemoteError("it stopped\nanswering")
        return [machine("a")]

    watch = HealthCheck(ask, lambda machines: told.append(list(machines)))
    monkeypatch.setattr(watching, "PATIENCE", 60.0)
    assert watch.lost() is None, "it may be back in a moment"
    monkeypatch.setattr(watching, "PATIENCE", 0.0)
    monkeypatch.setattr(watching, "LAST", 0.0)
    until(lambda: watch.lost() == "it stopped answering")
    monkeypatch.setattr(watching, "PATIENCE", 60.0)
    answers.set()
    until(lambda: bool(told))
    assert told[0] == [machine("a")]
    assert watch.lost() is None
    watch.close()


def test_a_run_that_itself_stood_still_asks_the_head_again_before_it_calls_it_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "PERIOD", 3600.0)
    monkeypatch.setattr(watching, "LAST", 3600.0)
    asked = threading.Semaphore(0)
    watch = HealthCheck(asked.release, lambda seen: None)
    monkeypatch.setattr(watching, "PATIENCE", -1.0)  # as if nothing had been asked for long: its process was stopped
    assert watch.lost() is None, "the head was not asked since"
    assert asked.acquire(timeout=PATIENCE), "it is asked at once"
    until(lambda: watch.answered_since(0.0))
    monkeypatch.setattr(watching, "PATIENCE", 60.0)
    assert watch.lost() is None
    monkeypatch.setattr(watching, "PATIENCE", -1.0)
    monkeypatch.setattr(watching, "LAST", -1.0)
    assert watch.lost() is None, "each silence is doubted anew"
    assert watch.lost() == "it does not answer"
    watch.close()


def test_the_watch_knows_what_was_answered_since_and_looks_when_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PERIOD", 3600.0)
    asked, go_on = threading.Event(), threading.Event()

    def ask() -> None:
        asked.set()
        assert go_on.wait(PATIENCE)

    watch = HealthCheck(ask, lambda seen: None)
    watch.look_now()
    assert asked.wait(PATIENCE)
    moment = time.monotonic()  # it was asked before
    go_on.set()
    until(lambda: watch.answered_since(0.0))
    assert not watch.answered_since(moment)
    watch.look_now()
    until(lambda: watch.answered_since(moment))
    watch.close()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionError("its machine was lost"), "its machine was lost"),
        (type("WorkerCrashedError", (Exception,), {})("…"), "its worker process died"),
        (type("NodeDiedError", (Exception,), {})("…"), "its machine was lost"),
        (type("OutOfMemoryError", (Exception,), {})("…"), "its machine ran out of memory"),
        (ValueError("first\n\n  last word  \n"), "ValueError: last word"),
        (ValueError(""), "ValueError: "),
    ],
)
def test_how_an_attempt_was_lost_is_one_line(error: BaseException, words: str) -> None:
    assert loss_reason(error) == words


def test_a_head_that_is_slow_to_serve_a_client_is_asked_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    slow = ConnectionAbortedError("Starting Ray client server failed. See the log for detailed logs.")
    failures: list[Exception] = []

    def init(**_: Any) -> None:
        if failures:
            raise failures.pop()

    monkeypatch.setattr(ray, "init", init)
    failures[:] = [slow]
    _init_client("head:10001")
    failures[:] = [slow, slow]
    with pytest.raises(ConnectionError):
        _init_client("head:10001")
    failures[:] = [ValueError("never reached"), ConnectionError("no route")]
    with pytest.raises(ConnectionError, match="no route"):
        _init_client("head:10001")


def test_contents_that_did_not_come_through_say_in_which_direction(tmp_path: Path) -> None:
    bench = SessionBench(tmp_path)
    attempt = bench.attempt()
    cut, bad = RemoteError("the network was cut"), IntegrityError("other bytes arrived")
    there = "its inputs could not be transferred to its machine"
    assert transfer_failure(attempt, cut) == ("lost", f"{there}: the network was cut")
    assert transfer_failure(attempt, bad) == ("failed", f"{there}: other bytes arrived")
    attempt.report = AttemptReport("a", "node-a", done(attempt))
    assert transfer_failure(attempt, cut) == (
        "lost",
        "its outputs could not be fetched to the driver: the network was cut",
    )
    assert submission_failure(attempt.task, cut).outcome == "lost"
    never = submission_failure(attempt.task, MachineError("no way", hint="mend it"))
    assert (never.attempt, never.outcome, never.error, never.hint) == (
        attempt.task.attempt,
        "failed",
        "no way",
        "mend it",
    )
    bench.close()


def test_an_attempt_is_given_time_to_be_lost_once_and_the_next_submission_keeps_its_log(tmp_path: Path) -> None:
    bench = SessionBench(tmp_path)
    attempt = bench.attempt()
    bench.state.expect_loss(attempt, 100.0)
    first = attempt.lost_at
    bench.state.expect_loss(attempt, 0.0)
    assert attempt.lost_at == first
    attempt.log.write(0, b"begun\n")
    again = TaskAttempt(attempt.task, RecordedCall(), machine("b"), before=attempt)
    again.log.write(6, b"more\n")
    again.log.close()
    assert Path(attempt.task.log).read_bytes() == b"begun\nmore\n"
    bench.close()


def until(holds, seconds: float = PATIENCE) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
