"""Performing a plan: ready steps within the resources there are, longest expected path first, until all have an outcome.

The scheduler knows the Graph and no processes; the executor knows processes and no Graph; what becomes of a step is asked of the
Planner again whenever its inputs have become known.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gitml.core.action import Action
from gitml.core.digest import Digest
from gitml.core.environment import Environment, encode_description
from gitml.core.events import Note, StepFetches, StepFinished, StepOutput, StepRetried, StepStarted, StepWaits
from gitml.core.graph import GraphStep
from gitml.core.plan import BLOCKED, REUSE, UNKNOWN, Decision, Plan
from gitml.core.protocols import Task, TaskEvent, TaskFinished, TaskOutput, TaskStarted
from gitml.core.record import Attempt, Run, StepRun, step_as_json
from gitml.core.result import ActionResult, Cost
from gitml.errors import InputError
from gitml.flow.executors import Executors, is_local
from gitml.flow.hints import hint_for
from gitml.flow.inputs import MOST, Arrival, InputFetches
from gitml.flow.journal import Journal
from gitml.flow.load import Loaded
from gitml.flow.planning import Planner
from gitml.flow.ready import ReadySteps, Wish, wish_of
from gitml.flow.request import Emit, RunRequest, step_of_result
from gitml.flow.stop import StopSignal
from gitml.store.locks import Locks
from gitml.workspace import Workspace

POLL = 0.1  # seconds between looks at the stop signal and at what other processes finished
PATIENCE = 30.0  # seconds for a machine of a cluster that can take a step to come back
LOSSES = (
    2  # how often a step is made again whose machine was lost, beyond its own retries: that is no fault of the step
)
DONE = ("executed", "reused")


class Assignment(NamedTuple):
    """A run that is to be performed: what was planned of it, for whom it is told, and how it may be stopped."""

    ws: Workspace
    loaded: Loaded
    planner: Planner
    plan: Plan
    run: Run
    request: RunRequest
    emit: Emit
    stop: StopSignal


class Active(NamedTuple):
    """A step that an attempt is being made for."""

    step: GraphStep
    decision: Decision
    number: int
    started: float
    attempts: tuple[Attempt, ...]
    target: str


class Scheduler:
    """One run of a plan. Its outcomes and what it performed are in `done`, `actions` and `environments`."""

    def __init__(self, task: Assignment, executors: Executors, journal: Journal, indices: Mapping[str, int]) -> None:
        self.ws = task.ws
        self.graph = task.loaded.graph
        self.source = task.loaded.source
        self.planner = task.planner
        self.plan = plan = task.plan
        self.run = task.run
        self.request = task.request
        self.emit = task.emit
        self.stop = task.stop
        self.executors = executors
        self.journal = journal
        self.indices = indices
        self.names = list(plan.decisions)
        wanted = set(self.names)
        self.children = {n: [c for c in cs if c in wanted] for n, cs in self.graph.children().items() if n in wanted}
        self.missing = {name: len(self.graph.steps[name].parents) for name in self.names}
        self.priority = self.longest_paths()
        self.done: dict[str, StepRun] = {}
        self.results: dict[str, ActionResult | None] = {}
        self.ready = ReadySteps(self.priority, indices)  # reused steps never enter it
        self.stuck = 0.0  # since when nothing runs and nothing fits
        self.waiting: dict[str, Decision] = {}  # another gitml performs the same Action
        self.fetches = InputFetches(task.ws)  # inputs are being brought from a remote store
        self.supplied: set[str] = set()  # their inputs were brought, and their Action's lock is held
        self.active: dict[str, Active] = {}  # by attempt
        self.stopped = 0  # the stop level already acted on
        self.failed = False
        self.actions: dict[Digest, bytes] = {}
        self.environments: dict[Digest, Environment] = {}

    def longest_paths(self) -> dict[str, float]:
        """For each step the seconds expected from its start to the end of all that waits for it."""
        expected = self.ws.index.expected_seconds(self.graph.pipeline)
        longest: dict[str, float] = {}
        for name in reversed(self.names):
            own = 0.0 if self.plan.decisions[name].kind == REUSE else expected.get(name, 1.0)
            longest[name] = own + max((longest[child] for child in self.children[name]), default=0.0)
        return longest

    # -- the loop

    def work(self) -> list[StepRun]:
        """Runs until every step has an outcome; gives them in the plan's order."""
        for name in [name for name in self.names if self.missing[name] == 0]:
            if name not in self.done:
                self.arrive(name)
        while len(self.done) < len(self.names):
            self.heed_stop()
            self.look_at_waiting()
            for arrival in self.fetches.arrivals(self.emit):
                self.supply(arrival)
            self.submit_ready()
            if len(self.done) == len(self.names):
                break
            idle = not self.active and not self.waiting and not self.fetches
            if self.ready and idle:
                self.wait_for_room()
            for event in self.executors.wait(0.0 if idle else POLL):
                self.on_event(event)
        return [self.done[name] for name in self.names]

    def give_up(self, why: str) -> list[StepRun]:
        """Ends the run at once, as what performs it is lost; gives the outcome of every step."""
        self.failed = True
        for active in list(self.active.values()):
            name, decision = active.step.name, active.decision
            seconds = self.ws.now() - active.started
            cost = Cost(sum(attempt.cost.wall for attempt in active.attempts))
            self.settle(
                StepRun(
                    *(name, "failed", decision.reason, seconds, decision.key),
                    attempts=active.attempts,
                    cost=cost,
                    error=why,
                )
            )
        for name in self.names:
            if name not in self.done:
                self.skip(name)
        return [self.done[name] for name in self.names]

    def release(self) -> None:
        """Frees the Actions of steps that are still being made, when something went wrong on the way."""
        self.end_fetches()
        for active in self.active.values():
            assert active.decision.key is not None
            self.ws.locks.unlock(Locks.slot_for(active.decision.key))

    def status(self) -> str:
        """How the run as a whole ended."""
        if self.stopped or (self.failed and self.stop.level):  # who asked to stop may have told the steps too
            return "cancelled"
        return "failed" if self.failed else "succeeded"

    def arrive(self, name: str) -> None:
        """All parents of a step are done well: decides it. Reuse cascades with a list, as chains can be long."""
        todo = [name]
        while todo:
            name = todo.pop()
            step = self.graph.steps[name]
            decision = self.plan.decisions[name]
            if decision.action is None:  # an input was not known when the plan was made
                decision = self.planner.decide(step, self.results)
            if decision.kind == REUSE:
                assert decision.result is not None
                todo.extend(self.settle(step_of_result(name, "reused", decision.reason, decision, decision.result)))
            elif decision.kind == BLOCKED:
                self.failed = True
                todo.extend(self.settle(StepRun(name, "failed", decision.reason, 0.0, error=decision.reason)))
            else:
                self.decided(name, decision)

    def decided(self, name: str, decision: Decision) -> None:
        if self.stopped or (self.failed and not self.request.keep_going):
            self.skip(name)
            return
        self.waiting.pop(name, None)
        self.plan.decisions[name] = decision  # type: ignore[index]
        self.line_up(name)

    def line_up(self, name: str) -> None:
        """The step begins when there is room for it."""
        step = self.graph.steps[name]
        wish = wish_of(self.planner.target(step), self.planner.asked(step), step.gang[0], name in self.supplied)
        self.ready.push(wish, name)

    def settle(self, step: StepRun, result: ActionResult | None = None) -> list[str]:
        """Notes an outcome; gives the steps that can be decided now. What waits for a failure is skipped."""
        self.done[step.name] = step
        self.journal.note(json.dumps(step_as_json(step)))
        self.emit(StepFinished(step))
        if step.outcome not in DONE:
            for child in self.children[step.name]:
                if child not in self.done:
                    self.skip(child, step.name)
            return []
        self.results[step.name] = result or self.as_result(step)
        arrived = []
        for child in self.children[step.name]:
            self.missing[child] -= 1
            if self.missing[child] == 0 and child not in self.done:
                arrived.append(child)
        return arrived

    def settle_and_go_on(self, step: StepRun, result: ActionResult | None = None) -> None:
        for name in self.settle(step, result):
            self.arrive(name)

    def as_result(self, step: StepRun) -> ActionResult:
        return ActionResult(
            step.outputs, step.metrics, step.saved or step.cost, step.origin or self.run.id, self.run.started
        )

    def skip(self, name: str, because: str | None = None) -> None:
        """Marks a step, and what waits for it, as not run."""
        stack = [(name, because)]
        while stack:
            name, because = stack.pop()
            if name in self.done:
                continue
            outcome = "cancelled" if self.stopped else "skipped"
            reason = f"needs {because}, which did not succeed" if because else "the run was ended before it"
            step = StepRun(name, outcome, reason, 0.0)
            self.done[name] = step
            self.journal.note(json.dumps(step_as_json(step)))
            self.emit(StepFinished(step))
            stack.extend((child, name) for child in self.children[name])

    # -- starting

    def submit_ready(self) -> None:
        """Begins what there is room for."""
        while (name := self.ready.take(self.can_begin)) is not None:
            if name not in self.done:
                self.stuck = 0.0
                self.begin(self.graph.steps[name], self.plan.decisions[name])

    def can_begin(self, wish: Wish, name: str) -> bool:
        """Whether there is room for a step, which may be one that was settled meanwhile."""
        if name in self.done:
            return True
        asked = self.planner.asked(self.graph.steps[name])
        return self.executors.takes(wish.target, asked, wish.nodes) and (wish.supplied or len(self.fetches) < MOST)

    def wait_for_room(self) -> None:
        """Nothing runs, and what is ready fits nowhere: a machine of a cluster may come back. InputError when none does."""
        wish, name = self.ready.first()
        self.stuck = self.stuck or self.ws.now()
        if is_local(wish.target) or self.ws.now() - self.stuck > PATIENCE:
            raise InputError(
                f"step {name!r} fits nowhere", where=f"target {wish.target}", hint="ask for less resources"
            )
        time.sleep(POLL)

    def begin(self, step: GraphStep, decision: Decision) -> None:
        """Takes the Action's lock and starts its first attempt; waits or reuses when another process was first."""
        assert decision.key is not None
        if step.name in self.supplied:
            self.supplied.remove(step.name)
            self.first_attempt(step, decision)
            return
        if not self.ws.locks.try_lock(Locks.slot_for(decision.key)):
            self.waiting[step.name] = decision
            self.emit(StepWaits(step.name))
            return
        if not self.insists(step):
            known = self.planner.known_result(decision.key)
            if known is not None:
                self.ws.locks.unlock(Locks.slot_for(decision.key))
                self.settle_and_go_on(self.made_elsewhere(step, decision, known), known)
                return
        try:
            lacking = self.planner.lacking(step, decision, self.results)
        except BaseException:
            self.ws.locks.unlock(Locks.slot_for(decision.key))
            raise
        if lacking:
            self.emit(StepFetches(step.name, sum(output.size for output in lacking)))
            self.fetches.start(step.name, decision, lacking)
            return
        self.first_attempt(step, decision)

    def supply(self, arrival: Arrival) -> None:
        """The inputs of a step were brought, so that it can start; or they can't be had, and are made again."""
        name, decision = arrival.name, arrival.decision
        assert decision.key is not None
        if arrival.error is not None:
            self.ws.locks.unlock(Locks.slot_for(decision.key))
            raise arrival.error
        if arrival.lost.isdisjoint(self.made_for(name)):
            if arrival.lost:  # content of Git LFS: the step will say what it lacks
                self.emit(Note("warning", f"content of Git LFS can't be brought: {'; '.join(arrival.problems)}"))
            self.supplied.add(name)
            self.line_up(name)
            return
        self.ws.locks.unlock(Locks.slot_for(decision.key))
        self.make_again(name, arrival)

    def made_for(self, name: str) -> Iterator[Digest]:
        """What other steps made of the inputs of a step."""
        for binding in self.graph.steps[name].inputs:
            result = self.results.get(binding.step) if binding.step is not None else None
            output = result.output(binding.port) if result is not None else None
            if output is not None:
                yield output.digest

    def make_again(self, name: str, arrival: Arrival) -> None:
        """Has the steps run whose reused outputs `name` needs and no remote store could bring after all."""
        again = []
        for binding in self.graph.steps[name].inputs:
            parent = binding.step
            result = self.results.get(parent) if parent is not None else None
            output = result.output(binding.port) if result is not None else None
            if parent is None or output is None or output.digest not in arrival.lost:
                continue
            self.planner.availability.lost(output)
            why = "; ".join(arrival.problems) or "no remote has it any more"
            self.emit(Note("warning", f"{parent}.{output.name} can't be brought here, so {parent} runs again: {why}"))
            if parent in self.done:
                del self.done[parent], self.results[parent]
                again.append(parent)
                for child in self.children[parent]:
                    if self.missing[child] > 0:  # it has not come to its turn, and waits for this one anew
                        self.missing[child] += 1
        self.missing[name] = sum(parent not in self.done for parent in self.graph.steps[name].parents)
        for step in (name, *again):
            unknown = self.plan.decisions[step]._replace(kind=UNKNOWN, action=None, key=None, result=None)
            self.plan.decisions[step] = unknown  # type: ignore[index]
        for parent in again:
            self.arrive(parent)

    def end_fetches(self) -> None:
        """Stops bringing inputs, and frees the Actions of the steps that waited for them."""
        keys = [fetch.decision.key for fetch in self.fetches.cancel()]
        keys += [self.plan.decisions[name].key for name in self.supplied]
        self.supplied.clear()
        for key in keys:
            assert key is not None
            self.ws.locks.unlock(Locks.slot_for(key))

    def insists(self, step: GraphStep) -> bool:
        """Whether the step must be performed though a result is known."""
        policy = self.planner.policy
        return not policy.reuse or step.name in policy.forced or not step.reuse

    def made_elsewhere(self, step: GraphStep, decision: Decision, known: ActionResult) -> StepRun:
        reason = f"same as in run {known.run[:8]}, made meanwhile"
        return step_of_result(step.name, "reused", reason, decision, known)

    def first_attempt(self, step: GraphStep, decision: Decision) -> None:
        self.attempt(Active(step, decision, 1, self.ws.now(), (), self.planner.target(step)))

    def attempt(self, active: Active) -> None:
        step, decision = active.step, active.decision
        assert decision.action is not None
        assert decision.key is not None
        environment = self.planner.finder.by_digest[decision.action.environment]
        name = f"{self.indices[step.name]}-{active.number}"
        self.actions[decision.key] = decision.action.preimage()
        self.environments[environment.digest] = environment
        self.active[name] = active
        self.journal.note_start(step.name, active.number, decision.reason, self.ws.now())
        self.emit(StepStarted(step.name, decision.reason, active.number))
        log = self.journal.log_path(name)
        asked = self.planner.asked(step)
        lent = {} if is_local(active.target) else passed_on(decision.action, self.ws.environ)
        task = Task(name, decision.action, environment, asked, step.timeout, step.strict, log, lent)
        self.executors.submit(active.target, task)

    # -- what happens

    def on_event(self, event: TaskEvent) -> None:
        active = self.active.get(event.attempt)
        if active is None or isinstance(event, TaskStarted):
            return
        if isinstance(event, TaskOutput):
            self.emit(StepOutput(active.step.name, event.line))
        else:
            self.finished(active, event)

    def finished(self, active: Active, event: TaskFinished) -> None:
        step = active.step
        del self.active[event.attempt]
        if event.outcome == "cancelled" and not self.stopped:  # by nobody here: no reason to call the run a success
            event = event._replace(outcome="lost", error="it was cancelled from elsewhere")
        error = event.error
        if error is not None:
            hint = event.hint or hint_for(self.source, step, self.ws.store, event.log)
            error = f"{error} ({hint})" if hint else error
        target = "" if is_local(active.target) else active.target
        ended = Attempt(
            *(event.attempt, event.outcome, active.started, event.cost, event.exit_code, error, event.log),
            target=target,
            machine=event.machine,
        )
        attempts = (*active.attempts, ended)
        for digest in event.bad_inputs:
            self.emit(
                Note("warning", f"stored object {digest[:19]} was damaged; it was set aside and will be made again")
            )
        lost = 0 if is_local(active.target) else sum(1 for attempt in attempts if attempt.outcome == "lost")
        again = event.outcome in ("failed", "timeout", "lost") and active.number <= step.retries + min(lost, LOSSES)
        if again and not self.stopped and not event.bad_inputs:
            self.emit(StepRetried(step.name, error or event.outcome))
            self.attempt(active._replace(number=active.number + 1, started=self.ws.now(), attempts=attempts))
            return
        self.conclude(active, event, attempts, error)

    def conclude(self, active: Active, event: TaskFinished, attempts: tuple[Attempt, ...], error: str | None) -> None:
        step, decision = active.step, active.decision
        assert decision.key is not None
        assert decision.action is not None
        cost = Cost(
            sum(a.cost.wall for a in attempts),
            sum(a.cost.cpu for a in attempts),
            max(a.cost.peak_memory for a in attempts),
        )
        outcome = {"done": "executed", "cancelled": "cancelled"}.get(event.outcome, "failed")
        seconds = self.ws.now() - attempts[0].started
        record = StepRun(
            step.name,
            outcome,
            decision.reason,
            seconds,
            decision.key,
            event.outputs,
            event.metrics,
            attempts,
            cost,
            error=error,
        )
        result = None
        if outcome == "executed":
            result = ActionResult(event.outputs, event.metrics, cost, self.run.id, self.ws.now())
            preimage = self.actions[decision.key]
            self.ws.index.put_result(decision.key, result, preimage, self.graph.pipeline, step.name)
            environment = self.environments[decision.action.environment]
            self.ws.index.put_environment(environment.digest, encode_description(environment.description))
        self.ws.locks.unlock(Locks.slot_for(decision.key))
        if outcome == "failed":
            self.failed = True
        self.settle_and_go_on(record, result)
        if self.failed and not self.request.keep_going:
            self.skip_the_rest()

    def skip_the_rest(self) -> None:
        """After a failure nothing new starts; what runs is let finish."""
        self.end_fetches()
        running = {active.step.name for active in self.active.values()}
        for name in self.names:
            if name not in self.done and name not in running:
                self.skip(name)
        self.ready.clear()
        self.waiting.clear()

    def look_at_waiting(self) -> None:
        """Steps that another process performs: reuse what it made, or take over when it is gone."""
        for name, decision in list(self.waiting.items()):
            assert decision.key is not None
            if self.ws.locks.try_lock(Locks.slot_for(decision.key)):
                self.ws.locks.unlock(Locks.slot_for(decision.key))
                self.decided(name, decision)

    def heed_stop(self) -> None:
        if self.stop.level <= self.stopped:
            return
        self.stopped = self.stop.level
        for attempt in self.active:
            self.executors.cancel(attempt, now=self.stopped > 1)
        self.skip_the_rest()


def passed_on(action: Action, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that an Action passes through from the machine, as they are set where gitml was called."""
    return {name: environ[name] for name, value in action.env if value is None and name in environ}
