"""Attempts at the steps of a run: each is started, reported, repeated where the step allows, and ends in an outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gitml.core.config.project import LOCAL
from gitml.core.model.action import CONFIG, Action
from gitml.core.model.digest import Digest
from gitml.core.model.environment import Environment, encode_description
from gitml.core.model.events import Emit, Note, StepOutput, StepPrepares, StepRetried, StepStarted, numbered
from gitml.core.model.graph import GraphStep
from gitml.core.model.guarantees import guarantees
from gitml.core.model.protocols import (
    Source,
    Task,
    TaskEvent,
    TaskFinished,
    TaskOutput,
    TaskPrepares,
    TaskStarted,
)
from gitml.core.model.result import ActionResult, Cost, OutputRef
from gitml.core.model.stop_signal import StopSignal
from gitml.core.planner.plan import Decision, Plan
from gitml.core.planner.repository_layout import config_in_repository, in_repository
from gitml.core.records.record import MACHINE, Attempt, Run, StepRun
from gitml.engine.execution.executor_kinds import Executors
from gitml.engine.execution.failed_attempt import Failed
from gitml.engine.execution.failure_hints import command_hint, hint_for
from gitml.engine.journal.journal import Journal
from gitml.engine.planning.load import Loaded
from gitml.engine.planning.planner import Planner
from gitml.engine.planning.request import RunRequest
from gitml.redaction import redacted
from gitml.store.index.results import put_action, put_unrecorded
from gitml.workspace import Workspace

LOSSES = 2
"""How often a step is made again whose machine was lost, beyond its own retries: that is no fault of the step."""


class Assignment(NamedTuple):
    """A run that is to be performed: its plan, where its events go, and how it is stopped."""

    ws: Workspace
    loaded: Loaded
    planner: Planner
    plan: Plan
    run: Run
    request: RunRequest
    emit: Emit
    stop: StopSignal

    @property
    def numbers(self) -> dict[str, int]:
        """The number of each step in the folder of the run, as it begins."""
        return numbered(list(self.plan.decisions), {})


class ActiveAttempt(NamedTuple):
    """An attempt at a step that is under way. Times are in seconds."""

    step: GraphStep
    decision: Decision
    number: int
    started: float
    attempts: tuple[Attempt, ...]
    target: str
    stored: tuple[OutputRef, ...]
    preparing: float = 0.0  # since when something is made before the step can start, 0 when nothing is
    prepared: float = 0.0  # seconds that this took, of all attempts


class StepEnded(NamedTuple):
    """A step that ended, and its result when it succeeded."""

    step: StepRun
    result: ActionResult | None


class InputsMissing(NamedTuple):
    """A step that could not begin, as its executor could not fetch inputs from a remote store by itself."""

    step: GraphStep
    decision: Decision


class RetryDue(NamedTuple):
    """A step that is to be tried once more, when there is room: a lost machine takes its room with it."""

    step: GraphStep


AttemptResult = StepEnded | InputsMissing | RetryDue


class Attempts:
    """Those of one run. What was performed is in `actions` and `environments`, for its record."""

    def __init__(self, task: Assignment, executors: Executors, journal: Journal) -> None:
        self.ws = task.ws
        self.run = task.run.id
        self.request = task.request
        self.planner = task.planner
        self.source = task.loaded.files
        self.executors = executors
        self.journal = journal
        self.numbers = task.numbers
        self.emit = task.emit
        self.actions: dict[Digest, bytes] = {}
        self.environments: dict[Digest, Environment] = {}
        self._active: dict[str, ActiveAttempt] = {}  # by attempt
        self._lacking: dict[str, ActiveAttempt] = {}  # by step: the next attempt, once its inputs are here
        self.again: dict[str, ActiveAttempt] = {}  # by step: the next attempt, once there is room
        self._noted: set[str] = set()
        self._left: set[tuple[str, tuple[str, ...]]] = set()

    def __bool__(self) -> bool:
        return bool(self._active)

    def steps(self) -> set[str]:
        """The names of the steps that are being made, or tried once more."""
        return {active.step.name for active in self._active.values()} | self.again.keys()

    def keys(self) -> Iterator[Digest]:
        """The keys of the Actions that are being performed."""
        for active in (*self._active.values(), *self.again.values()):
            assert active.decision.key is not None
            yield active.decision.key

    def performer_of(self, key: Digest) -> str:
        """The step of this run that performs the Action with this key; empty when none does."""
        active = (*self._active.values(), *self.again.values())
        return next((one.step.name for one in active if one.decision.key == key), "")

    def start(self, step: GraphStep, decision: Decision, stored: tuple[OutputRef, ...] = ()) -> None:
        """Makes the first attempt at a step, or the next of one that is to be tried again or lacked inputs.

        Its executor may fetch `stored` from remote stores by itself.
        """
        active = self.again.pop(step.name, None) or self._lacking.pop(step.name, None)
        if active is None:
            active = ActiveAttempt(step, decision, 1, 0.0, (), self.planner.target(step), ())
        # decided anew, maybe, since the last attempt: what it lacked could not be had and was made again
        self._attempt(active._replace(decision=decision, started=self.ws.now(), stored=stored))

    def cancel(self, *, now: bool) -> None:
        """Asks all of them to end; `now` without being asked nicely first."""
        for attempt in self._active:
            self.executors.cancel(attempt, now=now)

    def abandon(self, why: str) -> list[StepRun]:
        """The outcomes of all of them when what performs them is lost."""
        return [self._unfinished(active, "failed", why) for active in (*self._active.values(), *self.again.values())]

    def fail(self, name: str, *, stopped: bool) -> StepEnded:
        """The outcome of a step that was to be tried again, and is not."""
        active = self.again.pop(name)
        error = active.attempts[-1].error if active.attempts else None
        if stopped:
            return StepEnded(self._unfinished(active, "cancelled", error), None)
        if self.executors.capabilities(active.target).elastic:
            error = "; ".join(filter(None, (error, self._nowhere(active.step))))
        return StepEnded(self._unfinished(active, "failed", error), None)

    def unplaced(self, step: GraphStep, decision: Decision) -> StepEnded:
        """The outcome of a step that was never tried, as the machines that could have taken it are gone."""
        active = ActiveAttempt(step, decision, 1, self.ws.now(), (), self.planner.target(step), ())
        return StepEnded(self._unfinished(active, "failed", self._nowhere(step)), None)

    def _nowhere(self, step: GraphStep) -> str:
        requested = self.planner.requested(step).words()
        return f"no machine that is left of target {self.planner.target(step)} can take it: it asks for {requested}"

    def handle(self, event: TaskEvent, *, stopped: bool) -> AttemptResult | None:
        """Emits what an event of an executor reports; returns what follows when it ends an attempt.

        Nothing is tried again once `stopped`.
        """
        active = self._active.get(event.attempt)
        if active is None:
            return None
        if isinstance(event, TaskPrepares):
            self._active[event.attempt] = active._replace(preparing=active.preparing or self.ws.now())
            self.emit(StepPrepares(active.step.name, event.what))
            return None
        if active.preparing and not isinstance(event, TaskOutput):
            took = self.ws.now() - active.preparing
            active = active._replace(preparing=0.0, prepared=active.prepared + took)
            self._active[event.attempt] = active
        if isinstance(event, TaskStarted):
            return None
        if isinstance(event, TaskOutput):
            self.emit(StepOutput(active.step.name, event.line))
            return None
        return self._finished(active, event, stopped=stopped)

    def _unfinished(self, active: ActiveAttempt, outcome: str, error: str | None) -> StepRun:
        return StepRun(
            active.step.name,
            outcome,
            active.decision.reason,
            self.ws.now() - (active.attempts[0].started if active.attempts else active.started),
            active.decision.key,
            attempts=active.attempts,
            cost=Cost(sum(attempt.cost.wall for attempt in active.attempts)),
            error=error and redacted(error),
        )

    def _attempt(self, active: ActiveAttempt) -> None:
        step, decision = active.step, active.decision
        assert decision.action is not None
        assert decision.key is not None
        environment = self.planner.builder.by_digest[decision.action.environment]
        name = f"{self.numbers[step.name]}-{active.number}"
        self.actions[decision.key] = decision.action.preimage()
        self.environments[environment.digest] = environment
        self._active[name] = active
        self.journal.note_start(step.name, active.number, decision.reason, self.ws.now())
        self.emit(StepStarted(step.name, decision.reason, active.number))
        log = self.journal.log_path(name)
        requested = self.planner.requested(step)
        shares = self.executors.capabilities(active.target).shares_machine
        lent = {} if shares else passed_on(decision.action, self.ws.environ)
        how = self.planner.builder.placed(step).settings
        task = Task(
            *(name, decision.action, environment, requested, how.timeout, how.strict, log, lent, active.stored),
            network=how.network,
            caches=how.caches,
            caches_of=self.caches_of if how.caches else "",
        )
        if step.notebook:
            self.planner.builder.write_notebook(step)
        if decision.action.secrets:
            from gitml.engine.planning.secret_values import values_for

            task = task._replace(secrets=values_for(self.ws, decision.action.secrets))
        for item in decision.action.inputs:
            if item.kind == CONFIG:
                self.ws.store.put(self.planner.graph.texts[item.content].encode("utf-8", "surrogateescape"))
        if any(binding.part for binding in step.inputs):
            self.planner.builder.directories.keep(decision.action)
        self.executors.submit(active.target, task)

    def _finished(self, active: ActiveAttempt, event: TaskFinished, *, stopped: bool) -> AttemptResult:
        step = active.step
        del self._active[event.attempt]
        for note in event.notes:
            if note not in self._noted:
                self._noted.add(note)
                self.emit(Note("warning", note))
        for warning in event.warnings:
            self.emit(Note("warning", f"step {step.name}: {warning}"))
        if event.left and (step.base, event.left) not in self._left:  # once for all combinations of a matrix
            self._left.add((step.base, event.left))
            names = " and ".join(filter(None, (", ".join(event.left[:-1]), event.left[-1])))
            self.emit(Note("note", f"step {step.name} made {names}, which is no output: it goes with the sandbox"))
        if event.lacking and not stopped:
            self._lacking[step.name] = active._replace(number=active.number + 1)
            return InputsMissing(step, active.decision)
        if event.outcome == "cancelled" and not stopped:  # by nobody here: no reason to call the run a success
            event = event._replace(outcome="lost", error="it was cancelled from elsewhere")
        error = event.error
        if error is not None:
            hint = (
                self._command_hint(active, event)
                or self._cause(active, event)
                or event.hint
                or self._hint(active, event)
            )
            error = f"{error} ({hint})" if hint else error
        target = "" if active.target == LOCAL else active.target
        ended = Attempt(
            *(event.attempt, event.outcome, active.started, event.cost, event.exit_code, error, event.log),
            target=target,
            machine=event.machine,
            partial=event.partial,
            unprepared=event.unprepared,
        )
        attempts = (*active.attempts, ended)
        for digest in event.bad_inputs:
            self.emit(
                Note("warning", f"stored object {digest[:19]} was damaged; it was set aside and will be made again")
            )
        elastic = self.executors.capabilities(active.target).elastic
        lost = sum(1 for attempt in attempts if attempt.outcome == "lost") if elastic else 0
        again = event.outcome in ("failed", "timeout", "lost", MACHINE) and len(
            attempts
        ) <= step.settings.retries + min(lost, LOSSES)
        if again and event.retry and not stopped and not event.bad_inputs:
            self.emit(StepRetried(step.name, error or event.outcome))
            self.again[step.name] = active._replace(number=active.number + 1, attempts=attempts)
            return RetryDue(step)
        return self._made(active, event, attempts, error)

    def _command_hint(self, active: ActiveAttempt, event: TaskFinished) -> str | None:
        """The hint for a step whose program is missing, where that is a command of the project's own package."""
        action = active.decision.action
        if not event.missing or action is None or event.missing != active.step.argv[:1]:
            return None
        return command_hint(*self._failed(active.step, action, event), event.missing[0])

    def _cause(self, active: ActiveAttempt, event: TaskFinished) -> str | None:
        """The hint for a step that missed something, reported that, and ended as if all were well, without its outputs."""
        return self._hint(active, event) if event.exit_code == 0 else None

    def _hint(self, active: ActiveAttempt, event: TaskFinished) -> str | None:
        action = active.decision.action
        if not event.missing or action is None:
            return None
        return hint_for(*self._failed(active.step, action, event))

    def _failed(self, step: GraphStep, action: Action, event: TaskFinished) -> tuple[Source, Failed]:
        """What is to be known of a failed attempt, and the files that its paths count from."""
        graph = self.planner.graph
        error = event.error or ""
        if not action.project:
            return self.source, Failed(step, action, event.missing, graph.steps, graph.config, error)
        steps = {name: in_repository(other, action.project) for name, other in graph.steps.items()}
        config = config_in_repository(graph, action.project).config
        failed = Failed(steps[step.name], action, event.missing, steps, config, error)
        return self.planner.builder.repository.source, failed

    def _made(
        self, active: ActiveAttempt, event: TaskFinished, attempts: tuple[Attempt, ...], error: str | None
    ) -> StepEnded:
        step, decision = active.step, active.decision
        assert decision.key is not None
        assert decision.action is not None
        cost = Cost(
            sum(a.cost.wall for a in attempts),
            sum(a.cost.cpu for a in attempts),
            max(a.cost.peak_memory for a in attempts),
        )
        outcome = {"done": "executed", "cancelled": "cancelled"}.get(event.outcome, "failed")
        seconds = max(0.0, self.ws.now() - attempts[0].started - active.prepared)
        record = StepRun(
            *(step.name, outcome, decision.reason, seconds, decision.key, event.outputs, event.metrics),
            attempts=attempts,
            cost=cost,
            error=error,
            guarantees=self._guarantees(step) if outcome == "executed" else {},
            labels=event.labels,
            parts=self._parts(step, decision.action),
        )
        environment = self.environments[decision.action.environment]
        self.ws.index.put_environment(environment.digest, encode_description(environment.described()))
        if outcome == "failed" or record.partial():
            put_action(self.ws.index, decision.key, self.actions[decision.key])
        if outcome != "executed":
            return StepEnded(record, None)
        return StepEnded(
            record,
            ActionResult(event.outputs, event.metrics, cost, self.run, self.ws.now(), record.guarantees, record.labels),
        )

    def _parts(self, step: GraphStep, action: Action) -> Mapping[str, str]:
        """Of what a step took in as parts of directories, the directories."""
        if not any(binding.part for binding in step.inputs):
            return {}
        return self.planner.builder.directories.wholes(action)

    @property
    def caches_of(self) -> str:
        """What the repository's caches are called on each machine; empty where steps begin with empty ones."""
        if self.request.empty_caches:
            return ""
        return self.ws.caches_name if self.request.caches is None else self.request.caches

    def _guarantees(self, step: GraphStep) -> dict[str, str]:
        how = step.settings
        caches = () if self.request.empty_caches else how.caches
        return guarantees(strict=how.strict, network=how.network, caches=caches)

    def publish(self, made: StepEnded) -> None:
        """Lets other runs reuse what a step made. The journal comes first: they count on the record of this run."""
        if made.result is not None and made.step.key is not None:
            key, pipeline = made.step.key, self.planner.graph.pipeline
            put_unrecorded(self.ws.index, key, made.result, self.actions[key], pipeline, made.step.name)


def passed_on(action: Action, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that an Action passes through from the machine, as they are set where gitml was called."""
    return {name: environ[name] for name, value in action.env if value is None and name in environ}
