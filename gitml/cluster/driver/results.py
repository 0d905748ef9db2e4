"""Receiving what comes of attempts: what they say by the hub, their reports, what they made; and making events of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from gitml.cluster.connect.machines import words_of
from gitml.cluster.content.content_ids import roots_of_outputs, stored_name
from gitml.cluster.content.messages import AttemptReport, decode_report
from gitml.cluster.content.report_writer import ReportWriter
from gitml.cluster.driver.attempt import TaskAttempt, loss_reason, submission_failure, transfer_failure
from gitml.cluster.driver.content_provider import ContentProvider
from gitml.cluster.driver.session import Session
from gitml.cluster.driver.submitter import LARGE, Submitter
from gitml.core.model.digest import Digest
from gitml.core.model.protocols import TaskFinished, TaskOutput, TaskPrepares
from gitml.core.model.resources import Resources
from gitml.core.model.result import Cost
from gitml.core.records.record import LogRef
from gitml.errors import GitmlError

HEAR = 5.0  # seconds that the driver waits at the hub
HUB_AGAIN = 1.0  # seconds until a new hub is tried again where the head does not answer
BUILDERS = 3  # machines that are asked for an environment that can't be built
NOT_BROUGHT = "what it made of its outputs could not be fetched from its machine, and is not kept"
SILENT = 40.0  # seconds without a word after which a machine counts as lost


class ResultHandler:
    """Hears of the attempts of a session. An attempt is finished when its log and all that it made are in the driver's Store."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.sender = Submitter(session, self.ended)
        self._provider = ContentProvider(session)
        self._keeping = ReportWriter(session.home.make, session.home.keep)
        self._unbuilt: dict[Digest, set[str]] = {}  # environments, and the machines that could not build them
        self._hear()

    def close(self) -> None:
        """Hears no more."""
        self._keeping.close()

    # -- what they say while they go on

    def _hear(self) -> None:
        session = self._session
        heard = session.hub.receive.remote(HEAR).future()
        heard.add_done_callback(lambda future: session.event_queue.tell(lambda: self._heard(future)))

    def _heard(self, future: Any) -> None:
        session = self._session
        if session.closed and not session.attempts:
            return
        try:
            said, silent = future.result()
        except Exception:
            self._hub_is_lost()
            return
        self._hear()
        for name, seconds in silent:
            if seconds > SILENT and name in session.attempts:
                session.attempts[name].doom(0.0)
        for name, item in said:
            attempt = session.attempts.get(name)
            if attempt is not None:
                self._said(attempt, item)

    def _hub_is_lost(self) -> None:
        """Its machine is gone, or it was killed: attempts that need it will end; a new one serves the next."""
        session = self._session
        if session.closed:
            return
        try:
            session.cluster.machines()
        except GitmlError:  # the head is lost with it, maybe; to begin a hub would wait for the head for ever
            later = threading.Timer(HUB_AGAIN, lambda: session.event_queue.tell(self._hub_is_lost))
            later.daemon = True
            later.start()
            return
        session.open_hub()
        self._hear()
        for attempt in list(session.attempts.values()):
            attempt.cut_off = True
            self._conclude_if_whole(attempt)

    def _said(self, attempt: TaskAttempt, item: Any) -> None:
        session, kind = self._session, item[0]
        attempt.spoke = True
        if kind == "on":
            if attempt.report is None:  # else its machine counts as free again already
                session.is_on(attempt, item[1])
            attempt.host = item[2]
        elif kind == "started":
            session.started(attempt)
        elif kind == "prepares":
            session.events.append(TaskPrepares(attempt.task.attempt, item[1]))
        elif kind == "line":
            session.events.append(TaskOutput(attempt.task.attempt, item[1]))
        elif kind == "log":
            attempt.log.write(item[1], item[2])
            self._conclude_if_whole(attempt)
        elif kind == "lacks":
            self._provider.provide(attempt, item[1], item[2])

    # -- how they end

    def ended(self, attempt: TaskAttempt, future: Any) -> None:
        """Ray is done with an attempt: there is room again, and a report if all went well."""
        session = self._session
        if not session.is_current(attempt):
            return
        session.freed = True
        seconds = time.monotonic() - attempt.begun
        session.autoscaling.waiting.pop(attempt.task.attempt, None)
        session.node_pool.give_back(attempt.node, attempt.task.resources, attempt.ahead, seconds)
        attempt.ahead = False
        if attempt.spoke:
            session.hub.forget.remote(attempt.task.attempt)
        if attempt.moves and not attempt.cancelled:
            self._send_again(attempt)
            return
        try:
            data, contents = future.result()
        except BaseException as error:
            self._failed(attempt, error)
            return
        try:
            report = decode_report(data)
            if report.finished.attempt != attempt.task.attempt:
                raise ValueError("the report of another attempt")
        except ValueError as error:
            self._failed(attempt, error)
            return
        report = self._in_its_gang(attempt, report)
        if self._goes_again(attempt, report):
            return
        attempt.report, attempt.away = report, True
        if report.finished.exit_code is not None:
            session.started(attempt)
        attempt.log.write(report.log_from, contents.pop("log", b""))
        if contents:
            kept = contents
            self._keeping.put(kept, lambda error: session.event_queue.tell(lambda: self._kept(attempt, report, error)))
        else:
            self._kept(attempt, report, None)

    def _in_its_gang(self, attempt: TaskAttempt, report: AttemptReport) -> AttemptReport:
        """A refusal of one of a gang is a loss, not a failure, where there are machines enough without the one that refused."""
        node_state, task = self._session.node_state(report.node), attempt.task
        if attempt.reserved is None or not report.refused or node_state is None:
            return report
        node_state.refuses[task.environment.digest] = report.finished.error or "it refused"
        others = self._session.node_pool.feasible(task.resources, task.environment.digest)
        if len(others) < task.action.gang[0]:
            return report
        return report._replace(finished=report.finished._replace(outcome="lost"))

    def give_up_waiting(self, infeasible: Sequence[Resources]) -> None:
        """Ends the attempts that wait for a machine which no autoscaler will ever add."""
        session = self._session
        session.autoscaling.refuse(infeasible)
        for name, asked in list(session.autoscaling.waiting.items()):
            if session.autoscaling.serves(asked):
                continue
            del session.autoscaling.waiting[name]
            attempt = session.attempts[name]
            attempt.call.cancel(force=False)
            error = f"no machine has, and the autoscaler can add none with {words_of(asked)}"
            hint = "ask for less, or let the cluster's autoscaler start such machines"
            session.finish(attempt, TaskFinished(name, "failed", None, error, hint, (), {}, Cost(), None))

    def _goes_again(self, attempt: TaskAttempt, report: AttemptReport) -> bool:
        """Submits an attempt once more that its machine could not begin, if that helps; whether it does."""
        session, task = self._session, attempt.task
        node_state = session.node_state(report.node)
        bad = report.finished.bad_inputs
        if report.refused and attempt.reserved is not None:
            return False  # it can't leave the place that is kept for it; its gang as a whole may go elsewhere
        if report.refused and node_state is not None:
            # what is installed there is other than the step was planned for, or its disk is full: another may do
            digest = task.environment.digest
            node_state.refuses[digest] = report.finished.error or "it refused"
            again = bool(session.node_pool.feasible(task.resources, digest))
            if report.finished.unprepared:
                again = self._another_may_build(digest, report.node, among_others=again)
        else:
            damaged = bool(bad) and not attempt.started and report.finished.exit_code is None
            again = damaged and not attempt.again and all(session.is_good(digest) for digest in bad)
            if again and node_state is not None:
                node_state.holds.clear()
        if again and not attempt.cancelled:
            self._send_again(attempt)
            return True
        return False

    def _another_may_build(self, environment: Digest, node: str, *, among_others: bool) -> bool:
        """Whether another machine is asked to build an environment that `node` could not.

        Where none is, it is the environment or the index, which may be mended before the step is tried again: on any machine.
        """
        failed = self._unbuilt.setdefault(environment, set())
        failed.add(node)
        if among_others and len(failed) < BUILDERS:
            return True
        for other in failed:
            node_state = self._session.node_state(other)
            if node_state is not None:
                node_state.refuses.pop(environment, None)
        failed.clear()
        return False

    def _send_again(self, attempt: TaskAttempt) -> None:
        """Submits an attempt once more."""
        try:
            self.sender.send(attempt.task, attempt)
        except GitmlError as error:
            self._session.finish(attempt, submission_failure(attempt.task, error))

    def abandon(self, attempt: TaskAttempt) -> None:
        """Ends an attempt whose step has ended: what it made is not waited for."""
        assert attempt.report is not None
        attempt.cancelled, attempt.away, attempt.cut_off, attempt.why = 2, False, True, None
        ended = attempt.report.finished._replace(
            outcome="cancelled", error="cancelled", outputs=(), metrics={}, partial=()
        )
        attempt.report = attempt.report._replace(finished=ended)
        self._conclude_if_whole(attempt)

    def _kept(self, attempt: TaskAttempt, report: AttemptReport, error: GitmlError | None) -> None:
        """The small contents that came with a report are kept, or could not be; the others are to be brought home."""
        session = self._session
        if not session.is_current(attempt):
            return
        node_state = session.node_state(report.node)
        made = (*report.finished.outputs, *report.finished.partial)
        if node_state is not None:
            node_state.holds.update(name for name, _ in report.away)
            node_state.holds.update(roots_of_outputs(made))
            if report.finished.exit_code is not None:
                node_state.holds.update(roots_of_outputs(attempt.task.stored))
        for output in made:
            if output.size >= LARGE:
                session.sizes[stored_name(output.digest, tree=output.is_tree)] = output.size
        attempt.why = error or attempt.why
        if report.away and attempt.why is None:
            done = self._at_home
            told = session.event_queue.tell
            roots = roots_of_outputs(made)
            session.transfers.download(
                report.node, report.away, roots, lambda error: told(lambda: done(attempt, error))
            )
        else:
            self._at_home(attempt, attempt.why)

    def _at_home(self, attempt: TaskAttempt, error: GitmlError | None) -> None:
        attempt.away = False
        attempt.why = error
        self._conclude_if_whole(attempt)

    def _conclude_if_whole(self, attempt: TaskAttempt) -> None:
        session, report = self._session, attempt.report
        if report is None or attempt.away or not session.is_current(attempt):
            return
        finished = report.finished
        if finished.log is not None and attempt.log.size < finished.log.size and not attempt.cut_off:
            return  # the rest is on its way by the hub
        bad = tuple(digest for digest in finished.bad_inputs if not session.is_good(digest))
        log = self._keep_log(attempt, finished.log)
        finished = finished._replace(bad_inputs=bad, log=log, machine=report.host)
        if attempt.why is not None and finished.partial:  # how it failed says more than that this did not come
            finished = finished._replace(partial=(), warnings=(*finished.warnings, NOT_BROUGHT))
        elif attempt.why is not None:
            outcome, error = transfer_failure(attempt, attempt.why)
            finished = finished._replace(outcome=outcome, error=error, hint=attempt.why.hint, outputs=(), metrics={})
        elif attempt.cancelled and finished.outcome == "failed" and finished.exit_code is None:
            finished = finished._replace(outcome="cancelled", error="cancelled", hint=None)
        session.finish(attempt, finished)

    def _failed(self, attempt: TaskAttempt, error: BaseException) -> None:
        """The Ray task gave no report: it was cancelled before it began, or lost."""
        import ray

        session, task = self._session, attempt.task
        outcome, said, hint = "lost", loss_reason(error), None
        if attempt.why is not None:
            (outcome, said), hint = transfer_failure(attempt, attempt.why), attempt.why.hint
        elif attempt.cancelled:
            outcome, said = "cancelled", "cancelled"
        elif isinstance(error, ray.exceptions.RayTaskError):
            outcome = "failed"
            hint = "gitml of the same version must be installed on every machine of the cluster"
        log = self._keep_log(attempt, None)
        cost = Cost(time.monotonic() - attempt.begun) if attempt.started else Cost()
        ended = TaskFinished(task.attempt, outcome, None, said, hint, (), {}, cost, log, (), attempt.host)
        session.finish(attempt, ended)

    def _keep_log(self, attempt: TaskAttempt, told: LogRef | None) -> LogRef | None:
        attempt.log.close()
        if not attempt.log.size:
            return None
        try:
            digest, size = self._session.home.services.store.ingest_file(attempt.task.log)
        except (OSError, GitmlError):
            return None
        return LogRef(digest, size, told.written if told is not None else size)
