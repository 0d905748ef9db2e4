"""What comes of attempts: their messages through the hub, their reports, their outputs and logs; and the events made of them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gitml.cluster.content.content_ids import digest_in, roots_of_outputs, stored_name
from gitml.cluster.content.messages import AttemptReport, decode_report
from gitml.cluster.content.transfers import Done
from gitml.cluster.driver.attempt import (
    AttemptAction,
    AttemptEvent,
    AttemptState,
    TaskAttempt,
    loss_reason,
    submission_failure,
    transfer_failure,
)
from gitml.cluster.driver.driver_state import DriverState
from gitml.cluster.driver.session import DriverSession
from gitml.cluster.driver.submitter import ContentProvider, Submitter
from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.protocols import TaskFinished, TaskOutput, TaskPrepares
from gitml.core.model.resources import Resources
from gitml.core.model.result import Cost
from gitml.core.records.record import LogRef
from gitml.errors import GitmlError, IntegrityError, MachineError
from gitml.execute.interfaces import WorkerServices
from gitml.execute.log import ingest_log
from gitml.store.local.store import LocalStore

RECEIVE = 5.0  # seconds that one call to the hub waits for messages
HUB_AGAIN = 1.0  # seconds until a new hub is tried again where the head does not answer
BUILDERS = 3  # nodes that are asked for an environment that can't be built
SILENT = 40.0  # seconds without a message after which a node counts as lost
_BATCH = 4096  # contents that are kept in one go
NOT_FETCHED = "what it made of its outputs could not be fetched from its machine, and is not kept"

_WriteRequest = tuple[Mapping[str, bytes], Done]


class ResultHandler:
    """Follows attempts to their end. One is finished when its log and all that it made are in the driver's Store."""

    def __init__(self, session: DriverSession, state: DriverState) -> None:
        self._session = session
        self._state = state
        self.submitter = Submitter(session, state, self.task_ended)
        self.provider = ContentProvider(session, state)
        self._writer = ReportWriter(session.own.make)
        self._unbuilt: dict[Digest, set[str]] = {}  # environments, and the nodes that could not build them
        self._receive()

    def close(self) -> None:
        """Ends its thread."""
        self._writer.close()

    # -- messages while they go on

    def _receive(self) -> None:
        self._session.hub.receive(RECEIVE, self._session.events.deferred(self._received))

    def _received(self, future: Any) -> None:
        attempts = self._state.attempts
        if self._state.closed and not attempts:
            return
        try:
            messages, silent = future.result()
        except Exception:
            self._replace_hub()
            return
        self._receive()
        for name, seconds in silent:
            if seconds > SILENT and name in attempts:
                self._state.expect_loss(attempts[name], 0.0)
        for name, message in messages:
            if name in attempts:
                self._handle_message(attempts[name], message)

    def _replace_hub(self) -> None:
        """Its machine is gone, or it was killed: attempts that need it will end; a new one serves the next."""
        if self._state.closed:
            return
        try:
            self._session.cluster.machines()
        except GitmlError:  # the head is lost with it, maybe; to start a hub would wait for the head for ever
            later = threading.Timer(HUB_AGAIN, self._session.events.deferred(self._replace_hub))
            later.daemon = True
            later.start()
            return
        self._session.hub.open()
        self._receive()
        for attempt in list(self._state.attempts.values()):
            attempt.hub_lost = True
            self._finish_if_complete(attempt)

    def _handle_message(self, attempt: TaskAttempt, message: Any) -> None:
        kind, name = message[0], attempt.task.attempt
        attempt.uses_hub = True
        if kind == "on":
            self._state.place(attempt, message[1], message[2])
        elif kind == "started":
            self._state.handle(attempt, AttemptEvent.STARTED)
        elif kind == "prepares":
            self._state.report(TaskPrepares(name, message[1]))
        elif kind == "line":
            self._state.report(TaskOutput(name, message[1]))
        elif kind == "log":
            attempt.log.write(message[1], message[2])
            self._finish_if_complete(attempt)
        elif kind == "lacks":
            self.provider.provide(attempt, message[1], message[2])

    # -- requests of the run

    def cancel(self, attempt: TaskAttempt, *, now: bool) -> None:
        """Ends an attempt; `now` does not wait for outputs of one whose step has ended."""
        event = AttemptEvent.KILL if now else AttemptEvent.CANCEL
        if self._state.handle(attempt, event) is AttemptAction.ABANDON:
            assert attempt.report is not None
            report, attempt.error = attempt.report, None
            ended = report.finished._replace(
                outcome="cancelled", error="cancelled", outputs=(), metrics={}, labels={}, partial=()
            )
            attempt.report = report._replace(finished=ended)
            self._finish(attempt, attempt.report)

    def give_up_waiting(self, infeasible: Sequence[Resources]) -> None:
        """Ends the attempts that wait for a node which no autoscaler will ever add."""
        for attempt in self._state.never_scales_up(infeasible):
            self._state.handle(attempt, AttemptEvent.INFEASIBLE)
            attempt.call.cancel(force=False)
            error = f"no machine has, and the autoscaler can add none with {attempt.task.resources.words()}"
            hint = "ask for less, or let the cluster's autoscaler start such machines"
            self._state.finish(attempt, submission_failure(attempt.task, MachineError(error, hint=hint)))

    # -- how they end

    def task_ended(self, attempt: TaskAttempt, future: Any) -> None:
        """Ray has ended an attempt: there is room again, and `future` has its report if all went well."""
        if attempt.state is AttemptState.FINISHED:
            return
        self._state.release(attempt)
        if attempt.uses_hub or attempt.kill_at:  # it has left messages there, or was sent one
            self._session.hub.forget(attempt.task.attempt)
        try:
            data, contents = future.result()
            report = decode_report(data)
            if report.finished.attempt != attempt.task.attempt:
                raise ValueError("the report of another attempt")
        except BaseException as error:
            action = self._state.handle(attempt, AttemptEvent.NO_REPORT)
            if action is AttemptAction.RESUBMIT:
                self._resubmit(attempt)
            else:
                self._finish_without_report(attempt, error, cancelled=action is AttemptAction.FINISH_CANCELLED)
            return
        retryable, report = self._judge(attempt, report)
        action = self._state.handle(attempt, AttemptEvent.RETRYABLE if retryable else AttemptEvent.REPORTED)
        if action is AttemptAction.RESUBMIT:
            self._resubmit(attempt)
        else:
            self._collect(attempt, report, contents, cancelled=action is AttemptAction.COLLECT_CANCELLED)

    def _judge(self, attempt: TaskAttempt, report: AttemptReport) -> tuple[bool, AttemptReport]:
        """Whether another submission may succeed where this one could not begin; and the report as it counts.

        What is installed on the node is other than the step was planned for, its disk is full, or what it holds is damaged.
        """
        finished, task, pool = report.finished, attempt.task, self._state.pool
        digest = task.environment.digest
        there = self._state.node(report.node) is not None
        if report.refused and there:
            pool.refuse(report.node, digest, finished.error or "it refused")
            others = pool.feasible(task.resources, digest)
            if attempt.reserved is None:
                unbuilt = finished.unprepared
                return (self._another_may_build(report.node, digest, others) if unbuilt else bool(others)), report
            # it can't leave its bundle; its gang as a whole may go elsewhere where there are nodes enough
            if len(others) >= task.action.gang[0]:
                report = report._replace(finished=finished._replace(outcome="lost"))
            return False, report
        damaged = bool(finished.bad_inputs) and not attempt.started and finished.exit_code is None
        if (report.refused and attempt.reserved is not None) or not damaged or attempt.submissions > 1:
            return False, report
        retryable = all(self._is_good(digest) for digest in finished.bad_inputs)
        if retryable:
            pool.forget_contents(report.node)
        return retryable, report

    def _another_may_build(self, node: str, environment: Digest, others: Sequence[Any]) -> bool:
        """Whether another node is asked to build an environment that `node` could not.

        Where none is, it is the environment or the index, which may be repaired before the step is tried again: on any node.
        """
        failed = self._unbuilt.setdefault(environment, set())
        failed.add(node)
        if others and len(failed) < BUILDERS:
            return True
        self._state.pool.accept(failed, environment)
        failed.clear()
        return False

    def _is_good(self, digest: Digest) -> bool:
        """Whether the driver's own copy of a Blob or listing is there and sound."""
        try:
            self._session.own.services.store.open(digest).close()
        except GitmlError:
            return False
        return True

    def _resubmit(self, attempt: TaskAttempt) -> None:
        try:
            self.submitter.submit(attempt.task, attempt)
        except GitmlError as error:
            self._state.finish(attempt, submission_failure(attempt.task, error))

    def _collect(self, attempt: TaskAttempt, report: AttemptReport, contents: Any, *, cancelled: bool) -> None:
        """Takes a report, and has the small contents that came with it kept."""
        finished = report.finished
        if cancelled and finished.outcome == "failed" and finished.exit_code is None:
            finished = finished._replace(outcome="cancelled", error="cancelled", hint=None)
        elif not cancelled and finished.outcome == "cancelled":  # it found the way to its run cut, and ended
            finished = finished._replace(outcome="lost", error="it lost touch with the run")
        attempt.report = report = report._replace(finished=finished)
        if finished.exit_code is not None:
            self._state.handle(attempt, AttemptEvent.STARTED)
        attempt.log.write(report.log_from, contents.pop("log", b""))
        if contents:
            self._writer.put(contents, self._session.events.deferred(self._kept, attempt, report))
        else:
            self._kept(attempt, report, None)

    def _kept(self, attempt: TaskAttempt, report: AttemptReport, error: GitmlError | None) -> None:
        """The small contents are kept, or could not be; the others are to be fetched."""
        if attempt.state is AttemptState.FINISHED:
            return
        made = (*report.finished.outputs, *report.finished.partial)
        roots = roots_of_outputs(made)
        self._state.pool.add_contents(report.node, [*[name for name, _ in report.away], *roots])
        if report.finished.exit_code is not None:
            self._state.pool.add_contents(report.node, roots_of_outputs(attempt.task.stored))
        self._state.pool.add_sizes({stored_name(output.digest, tree=output.is_tree): output.size for output in made})
        error = error or attempt.error
        if report.away and error is None:
            done = self._session.events.deferred(self._collected, attempt)
            self._session.transfers.download(report.node, report.away, roots, done)
        else:
            self._collected(attempt, error)

    def _collected(self, attempt: TaskAttempt, error: GitmlError | None) -> None:
        attempt.error = error
        self._state.handle(attempt, AttemptEvent.COLLECTED)
        self._finish_if_complete(attempt)

    def _finish_if_complete(self, attempt: TaskAttempt) -> None:
        report = attempt.report
        if report is None or not attempt.log_complete:
            return
        if self._state.handle(attempt, AttemptEvent.LOG_COMPLETE) is AttemptAction.FINISH:
            self._finish(attempt, report)

    def _finish(self, attempt: TaskAttempt, report: AttemptReport) -> None:
        finished = report.finished
        bad = tuple(digest for digest in finished.bad_inputs if not self._is_good(digest))
        log = self._keep_log(attempt, finished.log)
        finished = finished._replace(bad_inputs=bad, log=log, machine=report.host)
        if attempt.error is not None and finished.partial:  # how it failed says more than that this was not fetched
            finished = finished._replace(partial=(), warnings=(*finished.warnings, NOT_FETCHED))
        elif attempt.error is not None:
            outcome, error = transfer_failure(attempt, attempt.error)
            finished = finished._replace(
                outcome=outcome, error=error, hint=attempt.error.hint, outputs=(), metrics={}, labels={}
            )
        self._state.finish(attempt, finished)

    def _finish_without_report(self, attempt: TaskAttempt, error: BaseException, *, cancelled: bool) -> None:
        """Ray gave no report: the attempt was cancelled before it began, or is lost."""
        import ray

        outcome, words, hint = "lost", loss_reason(error), None
        if attempt.error is not None:
            (outcome, words), hint = transfer_failure(attempt, attempt.error), attempt.error.hint
        elif cancelled:
            outcome, words = "cancelled", "cancelled"
        elif isinstance(error, ray.exceptions.RayTaskError):
            outcome = "failed"
            hint = "gitml of the same version must be installed on every machine of the cluster"
        log = self._keep_log(attempt, None)
        cost = Cost(time.monotonic() - attempt.submitted) if attempt.started else Cost()
        ended = TaskFinished(attempt.task.attempt, outcome, None, words, hint, (), {}, cost, log, (), attempt.host)
        self._state.finish(attempt, ended)

    def _keep_log(self, attempt: TaskAttempt, reported: LogRef | None) -> LogRef | None:
        attempt.log.close()
        store, written = self._session.own.services.store, reported and reported.written
        return ingest_log(store, attempt.task.log, written) if attempt.log.size else None


class ReportWriter:
    """Keeps the small contents that come with reports, in a thread: the disk takes many together in hardly longer than one.

    It has services of its own, made when the first content comes.
    """

    def __init__(self, make_services: Callable[[], WorkerServices]) -> None:
        self._make = make_services
        self._services: WorkerServices | None = None
        self._waiting: queue.SimpleQueue[_WriteRequest | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="gitml-keep", daemon=True).start()

    def put(self, contents: Mapping[str, bytes], done: Done) -> None:
        """Has contents kept; from any thread. `done` is called when they are: with the error, or None."""
        self._waiting.put((contents, done))

    def close(self) -> None:
        """Ends the thread once it has kept what it was given."""
        self._waiting.put(None)

    def _work(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while not self._waiting.empty():
                batch.append(self._waiting.get())
            some = [item for item in batch if item is not None]
            if some:
                self._keep_all(some)
            if None in batch:
                return

    def _keep_all(self, batch: list[_WriteRequest]) -> None:
        """All together, or each alone when one of them is wrong."""
        error = self._tried({name: content for contents, _ in batch for name, content in contents.items()})
        for contents, done in batch:
            alone = error is not None and len(batch) > 1
            done(self._tried(contents) if alone else error)

    def _tried(self, contents: Mapping[str, bytes]) -> GitmlError | None:
        try:
            self._services = self._services or self._make()
            keep_contents(self._services, contents)
        except GitmlError as error:
            return error
        except Exception as error:  # whatever it is: it must reach the attempt that waits for the contents
            return MachineError(f"it can't be kept: {' '.join(str(error).split())[:200] or type(error).__name__}")
        return None


def keep_contents(services: WorkerServices, contents: Mapping[str, bytes]) -> None:
    """Puts small contents into the driver's Store, in the order given; IntegrityError for one that is not what its name says."""
    store = services.store
    assert isinstance(store, LocalStore)
    new = []
    for name, content in contents.items():
        digest = digest_in(name)
        if digest_of(content) != digest:
            raise IntegrityError(f"other bytes arrived than a machine said, for {digest[:19]}…", hint="run again")
        if not store.holds(digest, len(content)):
            new.append((digest, content))
    for start in range(0, len(new), _BATCH):
        store.publish_contents(new[start : start + _BATCH])
