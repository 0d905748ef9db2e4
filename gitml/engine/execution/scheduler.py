"""Performing a plan: ready steps within the resources there are, longest expected path first, until all have an outcome.

The scheduler knows the Graph and no processes; the executor knows processes and no Graph; what becomes of a step is asked of the
Planner again whenever its inputs have become known.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitml.core.model.events import Emit, Note, StepFinished, StepWaits
from gitml.core.model.graph import GraphStep
from gitml.core.model.protocols import TaskEvent
from gitml.core.model.result import ActionResult
from gitml.core.model.stop_signal import StopSignal
from gitml.core.planner.plan import BLOCKED, REUSE, UNKNOWN, Decision, Plan, forced
from gitml.core.records.record import Run, StepRun, step_as_json
from gitml.engine.execution.attempts import Attempts, InputsMissing, RetryDue, StepEnded
from gitml.engine.execution.executors import Executors
from gitml.engine.execution.input_prefetch import InputPrefetch, PrefetchResult
from gitml.engine.execution.outcomes import Outcomes
from gitml.engine.execution.ready_steps import ReadySteps, ResourceRequest, resource_request
from gitml.engine.journal.journal import Journal
from gitml.engine.planning.load import Loaded
from gitml.engine.planning.planner import Planner, inputs_made
from gitml.engine.planning.request import RunRequest, step_of_result
from gitml.errors import InputError
from gitml.store.index.results import expected_seconds
from gitml.store.local.locks import Locks
from gitml.workspace import Workspace

POLL = 0.1  # seconds between looks at the stop signal and at what other processes finished
PATIENCE = 30.0  # seconds for a machine of a cluster that can take a step to come back


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


class Scheduler:
    """One run of a plan: decides, begins and settles its steps until all have an outcome."""

    def __init__(self, task: Assignment, executors: Executors, journal: Journal, indices: Mapping[str, int]) -> None:
        self.ws = task.ws
        self.graph = task.loaded.graph
        self.planner = task.planner
        self.decisions = dict(
            task.plan.decisions
        )  # as they are now: inputs that were not known when it was planned are
        self.run = task.run
        self.request = task.request
        self.emit = task.emit
        self.stop = task.stop
        self.executors = executors
        self.names = list(self.decisions)
        self.journal = journal
        parents = {name: self.graph.steps[name].parents for name in self.names}
        self.outcomes = Outcomes(parents, self.as_result, self.tell)
        self.attempts = Attempts(
            task.ws,
            task.run.id,
            task.planner,
            task.loaded.files,
            executors,
            journal,
            indices,
            task.emit,
        )
        self.priority = self.longest_paths()
        self.ready = ReadySteps(self.priority, indices)  # reused steps never enter it
        self.stuck = 0.0  # since when nothing runs and nothing fits
        self.waiting: dict[str, Decision] = {}  # another gitml, or another step, performs the same Action
        self.prefetch = InputPrefetch(task.ws, task.planner, executors, task.emit)
        self.stopped = 0  # the stop level already acted on
        self.failed = False
        self.remade = False  # whether a step that was reused had to be made again, as its outputs could not be had

    def longest_paths(self) -> dict[str, float]:
        """For each step the seconds expected from its start to the end of all that waits for it."""
        expected = expected_seconds(self.ws.index, self.graph.pipeline)
        longest: dict[str, float] = {}
        for name in reversed(self.names):
            own = 0.0 if self.decisions[name].kind == REUSE else expected.get(name, 1.0)
            longest[name] = own + max((longest[child] for child in self.outcomes.children(name)), default=0.0)
        return longest

    # -- the loop

    def work(self) -> list[StepRun]:
        """Runs until every step has an outcome; gives them in the plan's order."""
        for name in self.outcomes.first():
            if name not in self.outcomes.done:
                self.arrive(name)
        while not self.outcomes.complete:
            self.handle_stop()
            self.look_at_waiting()
            for result in self.prefetch.results():
                self.supply(result)
            self.submit_ready()
            if self.outcomes.complete:
                break
            idle = not self.attempts and not self.prefetch and not self.others_work()
            if self.ready and idle:
                self.wait_for_room()
            for event in self.executors.wait(0.0 if idle else POLL):
                self.on_event(event)
        return self.outcomes.in_order()

    def others_work(self) -> bool:
        """Whether another process makes what a step waits for. One may wait for a step of this run that itself finds no room."""
        slots = [Locks.slot_for(decision.key) for decision in self.waiting.values() if decision.key is not None]
        return any(self.ws.locks.holder(slot) != os.getpid() for slot in slots)

    def give_up(self, why: str) -> list[StepRun]:
        """Ends the run at once, as what performs it is lost; gives the outcome of every step."""
        self.failed = True
        for step in self.attempts.abandon(why):
            self.outcomes.settle(step)
        for name in self.names:
            self.outcomes.skip(name)
        return self.outcomes.in_order()

    def release(self) -> None:
        """Frees the Actions of steps that are still being made, when something went wrong on the way."""
        self.prefetch.cancel()
        for key in self.attempts.keys():  # noqa: SIM118 - it is no mapping
            self.ws.locks.unlock(Locks.slot_for(key))

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
            decision = self.decisions[name]
            # An input was not known when the plan was made, or whether anything needs what it makes.
            if decision.action is None or decision.kind == UNKNOWN:
                decision = self.planner.decide(step, self.outcomes.results)
            if decision.kind == REUSE:
                assert decision.result is not None
                todo.extend(
                    self.outcomes.settle(step_of_result(name, "reused", decision.reason, decision, decision.result))
                )
            elif decision.kind == BLOCKED:
                self.failed = True
                todo.extend(self.outcomes.settle(StepRun(name, "failed", decision.reason, 0.0, error=decision.reason)))
            else:
                self.decided(name, decision)

    def decided(self, name: str, decision: Decision) -> None:
        if self.stopped or (self.failed and not self.request.keep_going):
            self.outcomes.skip(name)
            return
        self.waiting.pop(name, None)
        self.decisions[name] = decision
        self.line_up(name)

    def line_up(self, name: str) -> None:
        """The step begins when there is room for it."""
        step, action = self.graph.steps[name], self.decisions[name].action
        assert action is not None
        prepared = name in self.prefetch or name in self.attempts.again
        target, asked = self.planner.target(step), self.planner.asked(step)
        self.ready.push(resource_request(target, asked, step.settings.gang[0], action.environment, prepared), name)

    def settle_and_go_on(self, step: StepRun, result: ActionResult) -> None:
        for name in self.outcomes.settle(step, result):
            self.arrive(name)

    def tell(self, step: StepRun) -> None:
        """An outcome became known."""
        self.journal.note(json.dumps(step_as_json(step)))
        self.journal.keep(step.seconds)
        self.emit(StepFinished(step))

    def as_result(self, step: StepRun) -> ActionResult:
        return ActionResult(
            *(step.outputs, step.metrics, step.saved or step.cost, step.origin or self.run.id, self.run.started),
            guarantees=step.guarantees,
        )

    # -- starting

    def submit_ready(self) -> None:
        """Begins what there is room for."""
        while (name := self.ready.take(self.can_begin)) is not None:
            if name not in self.outcomes.done:
                self.stuck = 0.0
                self.begin(self.graph.steps[name], self.decisions[name])

    def can_begin(self, request: ResourceRequest, name: str) -> bool:
        """Whether there is room for a step, which may be one that was settled meanwhile."""
        if name in self.outcomes.done:
            return True
        asked = self.planner.asked(self.graph.steps[name])
        room = self.executors.takes(request.target, asked, request.nodes, request.environment)
        return room and (request.prepared or self.prefetch.has_room)

    def wait_for_room(self) -> None:
        """Nothing runs, and what is ready fits nowhere: a machine of a cluster may come back.

        When none does, the step failed; InputError for one that this machine never had room for.
        """
        request, name = self.ready.first()
        elastic = self.executors.capabilities(request.target).elastic
        if not elastic and name not in self.attempts.again:
            raise InputError(
                f"step {name!r} fits nowhere", where=f"target {request.target}", hint="ask for less resources"
            )
        if not self.stuck:
            self.stuck = self.ws.now()
            if elastic:
                text = f"step {name!r} waits up to {PATIENCE:g} s: no machine that is left of target {request.target} can take it"
                self.emit(Note("warning", text))
        if elastic and self.ws.now() - self.stuck <= PATIENCE:
            time.sleep(POLL)
        elif name in self.attempts.again:
            self.conclude(self.attempts.fail(name, stopped=self.stopped > 0))
        else:
            self.prefetch.take(name)
            self.conclude(self.attempts.unplaced(self.graph.steps[name], self.decisions[name]))

    def begin(self, step: GraphStep, decision: Decision) -> None:
        """Takes the Action's lock and starts its first attempt; waits or reuses when another process was first."""
        assert decision.key is not None
        if step.name in self.attempts.again:
            self.attempt(step, decision)
            return
        supplied = self.prefetch.take(step.name)
        if self.is_out_of_date(step, decision):
            self.decide_anew(step.name, decision, locked=supplied)
            return
        if supplied:
            self.attempt(step, decision)
            return
        if not self.ws.locks.try_lock(Locks.slot_for(decision.key)):
            self.waiting[step.name] = decision
            self.emit(StepWaits(step.name, self.attempts.performer_of(decision.key)))
            return
        if not forced(step, self.planner.policy):
            known = self.planner.known_result(step, decision.key)
            if known is not None:
                self.ws.locks.unlock(Locks.slot_for(decision.key))
                self.settle_and_go_on(self.made_elsewhere(step, decision, known), known)
                return
        try:
            lacking = self.planner.lacking(step, decision, self.outcomes.results)
            absent = self.planner.absent(step, self.outcomes.results) if lacking else []
        except BaseException:
            self.ws.locks.unlock(Locks.slot_for(decision.key))
            raise
        if absent:
            self.ws.locks.unlock(Locks.slot_for(decision.key))
            absence = self.planner.availability.absence()
            for parent, output in absent:
                text = f"{step.name} needs {parent}.{output.name}, which {absence}: {parent} runs again"
                self.emit(Note("note", text))
            self.remake([parent for parent, _ in absent], step.name)
            return
        if lacking and not self.prefetch.is_left_to_executor(step, lacking, self.outcomes.results):
            self.prefetch.start(step.name, decision, lacking)
            return
        self.attempt(step, decision)

    def attempt(self, step: GraphStep, decision: Decision) -> None:
        """Has the step performed; a machine of a cluster is told what it may bring from remote stores by itself."""
        self.attempts.begin(step, decision, self.prefetch.for_executor(step, self.outcomes.results))

    def supply(self, result: PrefetchResult) -> None:
        """The inputs of a step were brought, so that it can start; or they can't be had, and are made again."""
        name, decision = result.name, result.decision
        assert decision.key is not None
        if result.error is not None:
            self.ws.locks.unlock(Locks.slot_for(decision.key))
            raise result.error
        if self.is_out_of_date(self.graph.steps[name], decision):
            self.decide_anew(name, decision, locked=True)
            return
        made = inputs_made(self.graph.steps[name], self.outcomes.results)
        if result.lost.isdisjoint(output.digest for _, output in made):
            if result.lost:  # content of Git LFS: the step will say what it lacks
                self.emit(Note("warning", f"content of Git LFS can't be brought: {'; '.join(result.problems)}"))
            self.prefetch.mark_ready(name, decision)
            self.line_up(name)
            return
        self.ws.locks.unlock(Locks.slot_for(decision.key))
        self.make_again(name, result)

    def make_again(self, name: str, result: PrefetchResult) -> None:
        """Has the steps run whose reused outputs `name` needs and no remote store could bring after all."""
        lost = []
        for parent, output in inputs_made(self.graph.steps[name], self.outcomes.results):
            if output.digest not in result.lost:
                continue
            self.planner.availability.lost(output)
            why = "; ".join(result.problems) or "no remote has it any more"
            self.emit(Note("warning", f"{parent}.{output.name} can't be brought here, so {parent} runs again: {why}"))
            lost.append(parent)
        self.remake(lost, name)

    def remake(self, parents: Sequence[str], name: str) -> None:
        """Has steps that were reused run after all, and then `name`, which needs what they make."""
        self.remade = True
        self.planner.needed.update(parents)
        again = self.outcomes.take_back(name, parents)
        for step in (name, *again):
            self.forget_decision(step)
        for parent in again:
            self.arrive(parent)

    def is_out_of_date(self, step: GraphStep, decision: Decision) -> bool:
        """Whether a step whose outputs it needs was made again since this was decided, or is being made again."""
        return self.remade and not self.planner.is_current(step, decision, self.outcomes.results)

    def decide_anew(self, name: str, decision: Decision, *, locked: bool) -> None:
        """A step that was decided comes to its turn again: what it needs was made again since, or is being made."""
        if locked:
            assert decision.key is not None
            self.ws.locks.unlock(Locks.slot_for(decision.key))
        self.forget_decision(name)
        self.outcomes.take_back(name, ())
        if self.outcomes.waits_for_none(name):
            self.arrive(name)

    def forget_decision(self, name: str) -> None:
        """What becomes of a step is not known any more."""
        unknown = self.decisions[name]._replace(kind=UNKNOWN, action=None, key=None, result=None)
        self.decisions[name] = unknown

    def made_elsewhere(self, step: GraphStep, decision: Decision, known: ActionResult) -> StepRun:
        reason = f"same as in run {known.run[:8]}, made meanwhile"
        return step_of_result(step.name, "reused", reason, decision, known)

    # -- what happens

    def on_event(self, event: TaskEvent) -> None:
        """What an executor tells; a step that came to its end is settled."""
        told = self.attempts.take(event, stopped=self.stopped > 0)
        if isinstance(told, StepEnded):
            self.conclude(told)
        elif isinstance(told, RetryDue):
            self.line_up(told.step.name)
        elif isinstance(told, InputsMissing):
            self.prefetch.stop_leaving_to_executors()
            self.bring_lacking(told.step, told.decision)

    def bring_lacking(self, step: GraphStep, decision: Decision) -> None:
        """A machine could not bring inputs by itself: they come here first."""
        if self.is_out_of_date(step, decision):
            self.decide_anew(step.name, decision, locked=True)
            return
        lacking = self.planner.lacking(step, decision, self.outcomes.results)
        if lacking:
            self.prefetch.start(step.name, decision, lacking)
        else:
            self.prefetch.mark_ready(step.name, decision)
            self.line_up(step.name)

    def conclude(self, made: StepEnded) -> None:
        """A step came to its end."""
        self.end(made)
        if self.failed and not self.request.keep_going:
            self.skip_the_rest()

    def end(self, made: StepEnded) -> None:
        """Settles the outcome of a step and frees its Action."""
        assert made.step.key is not None
        if made.step.outcome == "failed":
            self.failed = True
        arrived = self.outcomes.settle(made.step, made.result)
        self.attempts.publish(made)
        self.ws.locks.unlock(Locks.slot_for(made.step.key))
        for name in arrived:
            self.arrive(name)

    def skip_the_rest(self) -> None:
        """After a failure nothing new starts; what runs is let finish."""
        self.prefetch.cancel()
        for name in list(self.attempts.again) if self.stopped else ():
            self.end(self.attempts.fail(name, stopped=True))
        running = self.attempts.steps()
        for name in self.names:
            if name not in running:
                self.outcomes.skip(name)
        self.ready.clear()
        self.waiting.clear()
        for name in self.attempts.again:
            self.line_up(name)

    def look_at_waiting(self) -> None:
        """Steps that another process performs: reuse what it made, or take over when it is gone."""
        for name, decision in list(self.waiting.items()):
            assert decision.key is not None
            if self.ws.locks.try_lock(Locks.slot_for(decision.key)):
                self.ws.locks.unlock(Locks.slot_for(decision.key))
                self.decided(name, decision)

    def handle_stop(self) -> None:
        if self.stop.level <= self.stopped:
            return
        self.stopped = self.stop.level
        self.outcomes.stopped = True
        self.attempts.cancel(now=self.stopped > 1)
        self.skip_the_rest()
