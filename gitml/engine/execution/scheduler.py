"""The scheduler of a run: starts ready steps as resources allow, longest expected path first, until all have an outcome.

The scheduler knows the Graph and no processes; the executor knows processes and no Graph; what becomes of a step is asked of the
Planner again whenever its inputs have become known.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence

from gitml.core.model.events import Note, StepFinished, StepsKnown, StepWaits, numbered
from gitml.core.model.graph import GraphStep
from gitml.core.model.protocols import TaskEvent
from gitml.core.model.result import NOT_MADE, ActionResult
from gitml.core.planner.plan import BLOCKED, REUSE, UNKNOWN, Decision, forced
from gitml.core.records.member_errors import MemberErrors
from gitml.core.records.record import StepRun, step_as_json
from gitml.engine.execution.attempts import Assignment, Attempts, InputsMissing, RetryDue, StepEnded
from gitml.engine.execution.executor_kinds import Executors
from gitml.engine.execution.input_prefetch import InputPrefetch, PrefetchResult
from gitml.engine.execution.member_failures import MemberFailures
from gitml.engine.execution.outcomes import Outcomes
from gitml.engine.execution.ready_steps import ReadySteps, ResourceRequest
from gitml.engine.journal.journal import Journal
from gitml.engine.planning.planner import inputs_made
from gitml.engine.planning.request import reused_step
from gitml.errors import InputError
from gitml.store.index.results import expected_seconds
from gitml.store.local.locks import Locks

POLL = 0.1  # seconds between looks at the stop signal and at what other processes finished
PATIENCE = 30.0  # seconds for a machine of a cluster that can take a step to come back


class Scheduler:
    """One run of a plan: decides, begins and settles its steps until all have an outcome."""

    def __init__(self, task: Assignment, executors: Executors, journal: Journal) -> None:
        self.ws = task.ws
        self.graph = task.plan.graph
        self.planner = task.planner
        # as they are now: inputs that were not known when it was planned are
        self.decisions = dict(task.plan.decisions)
        self.run = task.run
        self.request = task.request
        self.emit = task.emit
        self.stop = task.stop
        self.executors = executors
        self.names = list(self.decisions)
        self.journal = journal
        parents = {name: self.graph.steps[name].parents for name in self.names}
        members = MemberFailures(self.graph.steps[name] for name in self.names)
        self.outcomes = Outcomes(parents, self.as_result, self.report, members)
        self.attempts = Attempts(task, executors, journal)
        self.expected = expected_seconds(self.ws.index, self.graph.pipeline)
        self.ready = ReadySteps(self.longest_paths(), task.numbers)  # reused steps never enter it
        self.stuck = 0.0  # since when nothing runs and nothing fits
        self.waiting: dict[str, Decision] = {}  # another gitml, or another step, performs the same Action
        self.prefetch = InputPrefetch(task.ws, task.planner, executors, task.emit)
        self.stopped = 0  # the stop level already acted on
        self.failed = False
        self.reran = False  # whether a step that was reused had to be made again, as its outputs could not be had

    def longest_paths(self) -> dict[str, float]:
        """For each step the seconds expected from its start to the end of all that waits for it."""
        longest: dict[str, float] = {}
        for name in reversed(self.names):
            own = 0.0 if self.decisions[name].kind == REUSE else self.expected.get(name, 1.0)
            longest[name] = own + max((longest[child] for child in self.outcomes.children(name)), default=0.0)
        return longest

    # -- the loop

    def work(self) -> list[StepRun]:
        """Runs until every step has an outcome; gives them in the plan's order."""
        for name in self.outcomes.first():
            if name not in self.outcomes.done:
                self.decide_next(name)
        while not self.outcomes.complete:
            self.handle_stop()
            self.poll_waiting()
            for result in self.prefetch.results():
                self.handle_prefetched(result)
            self.submit_ready()
            if self.outcomes.complete:
                break
            idle = not self.attempts and not self.prefetch and not self.others_work()
            if self.ready and idle:
                self.wait_for_room()
            for event in self.executors.wait(0.0 if idle else POLL):
                self.handle_event(event)
        return self.outcomes.in_order()

    def others_work(self) -> bool:
        """Whether another process makes what a step waits for. One may wait for a step of this run that itself finds no room."""
        return any(self.ws.locks.holder(_slot(decision)) != os.getpid() for decision in self.waiting.values())

    def abort(self, why: str) -> list[StepRun]:
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
        # a signal that stops the run may have reached the steps too
        failed = self.failed or bool(self.errors())
        if self.stopped or (failed and self.stop.level):
            return "cancelled"
        return "succeeded" if self.outcomes.succeeded() and not self.failed else "failed"

    def errors(self) -> dict[str, MemberErrors]:
        """What became of the steps that bear failures of members and had some, by name."""
        return self.outcomes.members.errors()

    def decide_next(self, name: str) -> None:
        """Decides a step whose parents all succeeded. Reuse cascades with a list, as chains can be long."""
        todo = [name]
        while todo:
            name = todo.pop()
            step = self.graph.steps[name]
            decision = self.decisions[name]
            # An input was not known when the plan was made, or whether anything needs what it makes.
            if decision.action is None or decision.kind == UNKNOWN:
                decision = self.planner.decide(step, self.outcomes.results)
                while decision.action is None and self.planner.asks_for_listings():
                    decision = self.planner.decide(step, self.outcomes.results)
                if decision.action is None and (parents := self.planner.unlisted(step, self.outcomes.results)):
                    self.rerun(parents, name)
                    continue
                if step.pending and decision.kind == UNKNOWN:
                    decision = Decision(BLOCKED, "the list that decides its combinations can't be read")
            if decision.kind == REUSE:
                todo.extend(self.settle(reused_step(name, decision)))
            elif decision.kind == BLOCKED:
                todo.extend(self.settle(StepRun(name, "failed", decision.reason, 0.0, error=decision.reason)))
            else:
                self.proceed(name, decision)

    def proceed(self, name: str, decision: Decision) -> None:
        """A step is to run: it is enqueued, or skipped when nothing more starts."""
        if self.stopped or (self.failed and not self.request.keep_going):
            self.outcomes.skip(name)
            return
        self.waiting.pop(name, None)
        self.decisions[name] = decision
        self.enqueue(name)

    def enqueue(self, name: str) -> None:
        """The step begins when there is room for it."""
        step, action = self.graph.steps[name], self.decisions[name].action
        assert action is not None
        prepared = name in self.prefetch or name in self.attempts.again
        asked = repr(self.planner.requested(step))
        target, nodes = self.planner.target(step), step.settings.gang[0]
        self.ready.push(ResourceRequest(target, asked, nodes, action.environment, prepared), name)

    def report(self, step: StepRun) -> None:
        """An outcome became known."""
        self.journal.note(json.dumps(step_as_json(step)))
        self.journal.keep(step.seconds)
        self.emit(StepFinished(step))
        self.failed = self.failed or self.outcomes.members.fails(step.name, step.outcome)

    def as_result(self, step: StepRun) -> ActionResult:
        return ActionResult(
            *(step.outputs, step.metrics, step.saved or step.cost, step.origin or self.run.id, self.run.started),
            guarantees=step.guarantees,
            labels=step.labels,
        )

    # -- starting

    def submit_ready(self) -> None:
        """Begins what there is room for."""
        while (name := self.ready.take(self.can_start)) is not None:
            if name not in self.outcomes.done:
                self.stuck = 0.0
                self.start_step(self.graph.steps[name], self.decisions[name])

    def can_start(self, request: ResourceRequest, name: str) -> bool:
        """Whether there is room for a step, which may be one that was settled meanwhile."""
        if name in self.outcomes.done:
            return True
        requested = self.planner.requested(self.graph.steps[name])
        room = self.executors.takes(request.target, requested, request.nodes, request.environment)
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

    def start_step(self, step: GraphStep, decision: Decision) -> None:
        """Takes the Action's lock and starts its first attempt; waits or reuses when another process was first."""
        assert decision.key is not None
        if step.name in self.attempts.again:
            self.attempt(step, decision)
            return
        supplied = self.prefetch.take(step.name)
        if self.decides_again(step, decision, locked=supplied):
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
                self.unlock(decision)
                reason = f"same as in run {known.run[:8]}, made meanwhile"
                reused = reused_step(step.name, decision._replace(reason=reason, result=known))
                for name in self.settle(reused, known):
                    self.decide_next(name)
                return
        try:
            lacking = self.planner.lacking(step, decision, self.outcomes.results)
            absent = self.planner.absent(step, self.outcomes.results, lacking) if lacking else []
        except BaseException:
            self.unlock(decision)
            raise
        if absent:
            self.unlock(decision)
            absence = self.planner.availability.absence()
            for parent, output in absent:
                text = f"{step.name} needs {parent}.{output.name}, which {absence}: {parent} runs again"
                self.emit(Note("note", text))
            self.rerun([parent for parent, _ in absent], step.name)
            return
        if lacking and self.prefetch.is_left_to_executor(step, lacking, self.outcomes.results):
            lacking = []
        image = self.prefetch.lacked_image(step, decision)
        if lacking or image is not None:
            self.prefetch.start(step.name, decision, lacking, image)
            return
        self.attempt(step, decision)

    def attempt(self, step: GraphStep, decision: Decision) -> None:
        """Submits the next attempt at the step, with the inputs that its executor may fetch from remote stores by itself."""
        self.attempts.start(step, decision, self.prefetch.for_executor(step, self.outcomes.results))

    def handle_prefetched(self, result: PrefetchResult) -> None:
        """The inputs of a step were fetched and it can start; or no store has them, and the steps that made them run again."""
        name, decision = result.name, result.decision
        if result.error is not None:
            self.unlock(decision)
            raise result.error
        if self.decides_again(self.graph.steps[name], decision, locked=True):
            return
        made = inputs_made(self.graph.steps[name], self.outcomes.results)
        if result.lost.isdisjoint(output.digest for _, output in made):
            if result.lost:  # content of Git LFS: the step will say what it lacks
                self.emit(Note("warning", f"content of Git LFS can't be downloaded: {'; '.join(result.problems)}"))
            self.prefetch.mark_ready(name, decision)
            self.enqueue(name)
            return
        self.unlock(decision)
        self.rerun_lost(name, result)

    def rerun_lost(self, name: str, result: PrefetchResult) -> None:
        """Runs the steps again whose reused outputs `name` needs and no remote store could provide after all."""
        lost = []
        for parent, output in inputs_made(self.graph.steps[name], self.outcomes.results):
            if output.digest not in result.lost:
                continue
            self.planner.availability.lost(output)
            why = "; ".join(result.problems) or "no remote has it any more"
            self.emit(
                Note("warning", f"{parent}.{output.name} can't be downloaded here, so {parent} runs again: {why}")
            )
            lost.append(parent)
        self.rerun(lost, name)

    def rerun(self, parents: Sequence[str], name: str) -> None:
        """Runs steps that were reused, and then `name`, which needs what they make."""
        self.reran = True
        self.planner.needed.update(parents)
        again = self.outcomes.take_back(name, parents)
        for step in (name, *again):
            self.forget_decision(step)
        for parent in again:
            self.decide_next(parent)

    def decides_again(self, step: GraphStep, decision: Decision, *, locked: bool) -> bool:
        """Decides a step again if another whose outputs it needs ran again since, or is running; whether that was so."""
        if not self.reran or self.planner.is_current(step, decision, self.outcomes.results):
            return False
        if locked:
            self.unlock(decision)
        self.forget_decision(step.name)
        self.outcomes.take_back(step.name, ())
        if self.outcomes.waits_for_none(step.name):
            self.decide_next(step.name)
        return True

    def forget_decision(self, name: str) -> None:
        """What becomes of a step is not known any more."""
        self.decisions[name] = self.decisions[name]._replace(kind=UNKNOWN, action=None, key=None, result=None)

    def unlock(self, decision: Decision) -> None:
        """Frees the decision's Action for other processes."""
        self.ws.locks.unlock(_slot(decision))

    # -- what happens

    def handle_event(self, event: TaskEvent) -> None:
        """Handles an event of an executor; a step that ended is settled."""
        outcome = self.attempts.handle(event, stopped=self.stopped > 0)
        if isinstance(outcome, StepEnded):
            self.conclude(outcome)
        elif isinstance(outcome, RetryDue):
            self.enqueue(outcome.step.name)
        elif isinstance(outcome, InputsMissing):
            self.prefetch.stop_leaving_to_executors()
            self.prefetch_missing(outcome.step, outcome.decision)

    def prefetch_missing(self, step: GraphStep, decision: Decision) -> None:
        """An executor could not fetch inputs by itself: they are fetched here first."""
        if self.decides_again(step, decision, locked=True):
            return
        lacking = self.planner.lacking(step, decision, self.outcomes.results)
        if lacking:
            self.prefetch.start(step.name, decision, lacking)
        else:
            self.prefetch.mark_ready(step.name, decision)
            self.enqueue(step.name)

    def conclude(self, made: StepEnded) -> None:
        """A step ended: after a failure nothing more starts, unless the run is to keep going."""
        self.end(made)
        if self.failed and not self.request.keep_going:
            self.skip_remaining()

    def end(self, made: StepEnded) -> None:
        """Settles the outcome of a step and frees its Action."""
        assert made.step.key is not None
        arrived = self.settle(made.step, made.result)
        self.attempts.publish(made)
        self.ws.locks.unlock(Locks.slot_for(made.step.key))
        for name in arrived:
            self.decide_next(name)

    def settle(self, step: StepRun, result: ActionResult | None = None) -> list[str]:
        """Notes an outcome; gives the steps that can be decided now. The graph grows where the step made a list for a matrix."""
        arrived = self.outcomes.settle(step, result)
        made = self.outcomes.results.get(step.name)
        if made is not None and made is not NOT_MADE and self.planner.grow({step.name: made}):
            arrived += self.rearrange()
        return [name for name in dict.fromkeys(arrived) if name in self.decisions]

    def rearrange(self) -> list[str]:
        """Takes in which steps there are now; gives those that can be decided."""
        before = self.graph.steps
        self.graph = self.planner.graph
        names = self.planner.names()
        # what began with a list that another one took the place of is in the run all the same
        begun = [name for name in self.names if name not in self.graph.steps and not before[name].pending]
        begun = [name for name in begun if name in self.outcomes.done or name in self.attempts.steps()]
        if begun:
            self.graph = self.graph._replace(steps={**self.graph.steps, **{name: before[name] for name in begun}})
            names += begun
        self.decisions = {
            name: self.decisions[name] if before.get(name) == self.graph.steps[name] else Decision(UNKNOWN, "")
            for name in names
        }
        self.names = names
        members = self.outcomes.members.among(self.graph.steps[name] for name in names)
        arrived = self.outcomes.rearrange({name: self.graph.steps[name].parents for name in names}, members)
        self.attempts.numbers = numbered(names, self.attempts.numbers)
        self.journal.write_steps(self.attempts.numbers)
        self.ready.rank(self.longest_paths(), self.attempts.numbers)
        self.emit(StepsKnown(tuple(names)))
        return arrived

    def skip_remaining(self) -> None:
        """Skips every step that has not begun; those that run may finish."""
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
            self.enqueue(name)

    def poll_waiting(self) -> None:
        """Takes up steps whose Action another process performed: its result is reused, or they run when it is gone."""
        for name, decision in list(self.waiting.items()):
            if self.ws.locks.try_lock(_slot(decision)):
                self.unlock(decision)
                self.proceed(name, decision)

    def handle_stop(self) -> None:
        """Acts on a stop signal that was raised since the last look."""
        if self.stop.level <= self.stopped:
            return
        self.stopped = self.stop.level
        self.outcomes.stopped = True
        self.attempts.cancel(now=self.stopped > 1)
        self.skip_remaining()


def _slot(decision: Decision) -> int:
    """The lock of the decision's Action."""
    assert decision.key is not None
    return Locks.slot_for(decision.key)
