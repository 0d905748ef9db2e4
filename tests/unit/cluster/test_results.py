"""What comes of attempts on a cluster: nothing is finished before it is whole and at home, and each ends once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from gitml.cluster.driver.attempt import ReservedBundle, TaskAttempt
from gitml.cluster.driver.results import ResultHandler
from gitml.core.model.digest import digest_of, hex_of
from gitml.core.model.protocols import Task, TaskOutput, TaskStarted
from gitml.core.model.result import OutputRef
from gitml.core.records.record import LogRef
from gitml.errors import RemoteError
from gitml.execute.interfaces import WorkerServices
from tests.kit.cluster.driver_session import RecordedCall, SessionBench, done, machine, reported
from tests.kit.patience import PATIENCE


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[SessionBench]:
    bench = SessionBench(tmp_path)
    yield bench
    bench.state.closed = True
    bench.close()


@pytest.fixture
def results(bench: SessionBench) -> Iterator[ResultHandler]:
    results = ResultHandler(bench.session, bench.state)
    yield results
    results.close()


def file_of(content: bytes) -> tuple[OutputRef, dict[str, bytes]]:
    """An output port with that content, and the content by name."""
    digest = digest_of(content)
    return OutputRef("o", "file", digest, len(content), len(content)), {f"blob:{hex_of(digest)}": content}


def test_small_outputs_are_in_the_store_when_an_attempt_is_said_to_be_finished(
    bench: SessionBench, results: ResultHandler
) -> None:
    attempt = bench.attempt()
    output, contents = file_of(b"made there\n")
    results.task_ended(attempt, reported(done(attempt, outputs=(output,)), contents))
    finished = bench.finished()
    assert (finished.outcome, finished.machine) == ("done", "node-a")
    assert bench.store.read(output.digest) == b"made there\n"
    assert f"blob:{hex_of(output.digest)}" in bench.state.pool.nodes["a"].holds
    assert bench.state.pool.nodes["a"].free.cpus == 2, "its place is free again"
    assert isinstance(bench.events[0], TaskStarted)


def test_large_outputs_are_waited_for(bench: SessionBench, results: ResultHandler) -> None:
    attempt = bench.attempt()
    output, _ = file_of(b"x" * 100)
    away = ((f"blob:{hex_of(output.digest)}", 100),)
    results.task_ended(attempt, reported(done(attempt, outputs=(output,)), away=away))
    assert bench.transfers.downloaded == [("a", list(away))]
    assert bench.state.attempts, "it is not finished"
    bench.transfers.ends.pop()(None)
    assert bench.finished().outcome == "done"


def test_an_attempt_whose_machine_is_gone_with_what_it_made_is_lost(
    bench: SessionBench, results: ResultHandler
) -> None:
    attempt = bench.attempt()
    output, _ = file_of(b"x" * 100)
    away = ((f"blob:{hex_of(output.digest)}", 100),)
    results.task_ended(attempt, reported(done(attempt, outputs=(output,)), away=away))
    bench.transfers.ends.pop()(RemoteError("the machine is gone"))
    finished = bench.finished()
    assert (finished.outcome, finished.outputs) == ("lost", ())
    assert finished.error == "its outputs could not be fetched to the driver: the machine is gone"


def test_bytes_that_are_not_what_a_report_says_are_no_result(bench: SessionBench, results: ResultHandler) -> None:
    attempt = bench.attempt()
    output, contents = file_of(b"made there\n")
    (name,) = contents
    results.task_ended(attempt, reported(done(attempt, outputs=(output,)), {name: b"other bytes"}))
    finished = bench.finished()
    assert (finished.outcome, finished.outputs) == ("failed", ())
    assert "other bytes arrived" in (finished.error or "")


def test_the_log_is_whole_before_the_end_in_whatever_order_its_pieces_come(
    bench: SessionBench, results: ResultHandler
) -> None:
    attempt = bench.attempt()
    name = attempt.task.attempt
    log = LogRef(digest_of(b"onetwothree"), 11, 11)
    bench.hubs[0].call(
        "exchange", name, [("on", "a", "node-a"), ("started",), ("line", "two"), ("log", 3, b"two")]
    ).result(10)
    bench.until(lambda: any(isinstance(event, TaskOutput) for event in bench.events))
    results.task_ended(attempt, reported(done(attempt, log=log), {"log": b"three"}, log_from=6))
    for item in bench.session.events.take():
        item()
    assert attempt.task.attempt in bench.state.attempts, "the first piece is still on its way"
    bench.hubs[0].call("exchange", name, [("log", 0, b"one")]).result(10)
    finished = bench.finished()
    assert bench.log(finished) == b"onetwothree"


def test_a_lost_hub_is_replaced_and_what_was_reported_is_taken_as_it_is(
    bench: SessionBench, results: ResultHandler
) -> None:
    attempt = bench.attempt()
    log = LogRef(digest_of(b"onetwo"), 6, 6)
    results.task_ended(attempt, reported(done(attempt, log=log), {"log": b"two"}, log_from=3))
    bench.hubs[0].lose()
    assert bench.finished().outcome == "done", "the rest of the log was lost with the hub; the result was not"
    assert bench.session.hub.actor is bench.hubs[1]
    later = bench.attempt()
    bench.hubs[1].call("exchange", later.task.attempt, [("on", "a", "node-a"), ("started",)]).result(10)
    bench.until(lambda: later.started)


def test_no_hub_is_begun_as_long_as_the_head_does_not_answer(
    bench: SessionBench, results: ResultHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitml.cluster.driver.results.HUB_AGAIN", 0.01)
    bench.cluster.answers = False  # to begin one would wait for it
    tries: list[int] = []
    monkeypatch.setattr(bench.cluster, "machines", counted(tries, bench.cluster.machines))
    bench.hubs[0].lose()
    bench.until(lambda: len(tries) > 2)
    assert len(bench.hubs) == 1
    bench.cluster.answers = True
    bench.until(lambda: len(bench.hubs) == 2)


def counted(calls: list[int], function: Any) -> Any:
    def call() -> Any:
        calls.append(1)
        return function()

    return call


class Sent:
    """Notes what is submitted again."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def submit(self, task: Task, before: TaskAttempt | None = None) -> None:
        self.tasks.append(task)


def refused(attempt: TaskAttempt, node: str = "a") -> Future[Any]:
    finished = done(attempt, outcome="failed", exit_code=None, error=f"machine node-{node}: another python")
    return reported(finished, node=node, refused=True)


def test_a_step_that_a_machine_refuses_goes_to_another_until_none_is_left(
    bench: SessionBench, results: ResultHandler
) -> None:
    results.submitter = sent = Sent()  # type: ignore[assignment]
    attempt = bench.attempt()
    results.task_ended(attempt, refused(attempt))
    assert sent.tasks == [attempt.task]
    assert [
        node_state.machine.id
        for node_state in bench.state.pool.feasible(attempt.task.resources, attempt.task.environment.digest)
    ] == ["b"]
    again = bench.attempt(attempt.task, "b")
    results.task_ended(again, refused(again, "b"))
    assert sent.tasks == [attempt.task], "nobody is left who could"
    assert bench.finished().error == "machine node-b: another python"


def test_an_environment_that_a_machine_cannot_build_is_asked_of_another_and_then_of_any_again(
    bench: SessionBench, results: ResultHandler
) -> None:
    results.submitter = sent = Sent()  # type: ignore[assignment]
    attempt = bench.attempt()

    def unbuilt(attempt: TaskAttempt, node: str) -> Future[Any]:
        finished = done(attempt, outcome="failed", exit_code=None, error=f"machine node-{node}: no index")
        return reported(finished._replace(unprepared=True), node=node, refused=True)

    def able() -> set[str]:
        task = attempt.task
        return {
            node_state.machine.id for node_state in bench.state.pool.feasible(task.resources, task.environment.digest)
        }

    results.task_ended(attempt, unbuilt(attempt, "a"))
    assert (sent.tasks, able()) == ([attempt.task], {"b"})
    again = bench.attempt(attempt.task, "b")
    results.task_ended(again, unbuilt(again, "b"))
    assert sent.tasks == [attempt.task]
    assert bench.finished().error == "machine node-b: no index"
    assert able() == {"a", "b"}, "a retry may find the index there"


def test_where_an_attempt_ran_is_booked_once_though_its_report_comes_before_its_first_words(
    bench: SessionBench, results: ResultHandler
) -> None:
    attempt = bench.attempt()  # as it was meant; Ray has put it on the other
    log = LogRef(digest_of(b"one"), 3, 3)
    results.task_ended(attempt, reported(done(attempt, log=log), node="b", log_from=3))
    said = [("on", "b", "node-b"), ("started",), ("log", 0, b"one")]
    bench.hubs[0].call("exchange", attempt.task.attempt, said).result(PATIENCE)
    assert bench.finished().outcome == "done"
    assert [node.free.cpus for node in bench.state.pool.nodes.values()] == [2, 2]


def test_whatever_keeps_contents_from_being_kept_is_told(bench: SessionBench, results: ResultHandler) -> None:
    def none_left() -> WorkerServices:
        raise OSError(24, "Too many open files")

    results._writer._make = none_left
    attempt = bench.attempt()
    output, contents = file_of(b"made there\n")
    results.task_ended(attempt, reported(done(attempt, outputs=(output,)), contents))
    finished = bench.finished()
    assert (finished.outcome, finished.outputs) == ("failed", ())
    assert "Too many open files" in (finished.error or "")


@pytest.mark.parametrize(("machines", "outcome"), [(2, "failed"), (3, "lost")])
def test_a_refusal_of_one_of_a_gang_is_a_loss_where_others_could_take_it(
    tmp_path: Path, machines: int, outcome: str
) -> None:
    bench = SessionBench(tmp_path, *(machine(id) for id in "abc"[:machines]))
    results = ResultHandler(bench.session, bench.state)
    results.submitter = sent = Sent()  # type: ignore[assignment]
    task = bench.task("true")
    task = task._replace(action=task.action._replace(settings=(("gang", (2, 1)),)))
    attempt = bench.attempt(task, reserved=ReservedBundle("a", None))
    results.task_ended(attempt, refused(attempt))
    assert not sent.tasks, "it would come to the same place"
    assert bench.finished().outcome == outcome
    results.close()
    bench.state.closed = True
    bench.close()


def test_a_damaged_copy_on_a_machine_is_replaced_once_if_ours_is_good(
    bench: SessionBench, results: ResultHandler
) -> None:
    results.submitter = sent = Sent()  # type: ignore[assignment]
    digest = bench.store.put(b"an input")
    attempt = bench.attempt()
    node_state = bench.state.pool.nodes["a"]
    node_state.holds.add("blob:1")
    bad = done(attempt, outcome="failed", exit_code=None, error="damaged", bad_inputs=(digest,))
    results.task_ended(attempt, reported(bad))
    assert sent.tasks == [attempt.task]
    assert not node_state.holds, "all is brought anew"
    again = bench.attempt(attempt.task, before=attempt)
    results.task_ended(again, reported(bad))
    assert len(sent.tasks) == 1
    finished = bench.finished()
    assert (finished.outcome, finished.bad_inputs) == ("failed", ()), "ours is good: nothing is to be set aside here"


def test_an_attempt_that_ends_as_nobody_answered_it_is_lost_and_not_cancelled(
    bench: SessionBench, results: ResultHandler
) -> None:
    attempt = bench.attempt()
    results.task_ended(attempt, reported(done(attempt, outcome="cancelled", exit_code=None)))
    finished = bench.finished()
    assert (finished.outcome, finished.error) == ("lost", "it lost touch with the run")


def test_what_comes_of_an_attempt_that_was_given_up_is_not_heard(bench: SessionBench, results: ResultHandler) -> None:
    attempt = bench.attempt()
    lost: Future[Any] = Future()
    lost.set_exception(ConnectionError("its machine was lost"))
    results.task_ended(attempt, lost)
    assert (bench.finished().outcome, bench.finished().error) == ("lost", "its machine was lost")
    output, contents = file_of(b"late")
    results.task_ended(attempt, reported(done(attempt, outputs=(output,)), contents))
    assert bench.finished().outcome == "lost"
    assert not bench.store.holds(output.digest, 4)


def test_a_cancelled_attempt_is_killed_by_its_machine_and_by_ray(bench: SessionBench, results: ResultHandler) -> None:
    attempt = bench.attempt()
    assert isinstance(attempt.call, RecordedCall)
    results.cancel(attempt, now=False)
    assert attempt.call.cancels == [False]
    assert bench.messages(attempt) == [("cancel",)], "Ray may lose its signal"
    results.cancel(attempt, now=False)
    assert attempt.call.cancels == [False], "a second signal would end it without its grace"
    assert bench.messages(attempt) == []
    results.cancel(attempt, now=True)
    assert bench.messages(attempt) == [("stop",)]
    assert attempt.call.cancels == [False, False]
    assert attempt.kill_at > 0, "should it not end, its process is killed"
    results.task_ended(attempt, reported(done(attempt, outcome="failed", exit_code=None, error="interrupted")))
    assert bench.finished().outcome == "cancelled"


def test_a_cancellation_waits_for_an_attempt_that_has_not_begun_and_goes_with_its_end(
    bench: SessionBench, results: ResultHandler
) -> None:
    attempt = bench.attempt()
    results.cancel(attempt, now=False)
    name, hub = attempt.task.attempt, bench.hubs[0]
    answer = hub.call("exchange", name, [("on", "a", "node-a")]).result(10)
    assert answer == [("cancel",)], "in the first call of an attempt that the signal has missed"
    never = bench.attempt()
    results.cancel(never, now=False)
    failed: Future[Any] = Future()
    failed.set_exception(RuntimeError("it was cancelled before it began"))
    results.task_ended(never, failed)
    assert bench.finished().outcome == "cancelled"
    assert bench.messages(never) == []


def test_an_attempt_on_a_silent_machine_counts_as_lost_soon(
    bench: SessionBench, results: ResultHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitml.cluster.driver.results.SILENT", -1.0)
    attempt = bench.attempt()
    other = bench.attempt(node="b")
    bench.hubs[0].call("exchange", attempt.task.attempt, [("line", "x")]).result(10)
    bench.until(lambda: attempt.lost_at > 0)
    assert not other.lost_at, "it never used the hub: it may be short and silent"
