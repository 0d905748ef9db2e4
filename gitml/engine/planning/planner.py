"""Plans: asks `decide` about every wanted step, in order, with what each decision makes known to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

from gitml.core.kinds.environment_kinds import VENV
from gitml.core.model.digest import Digest
from gitml.core.model.graph import Binding, Graph, GraphStep
from gitml.core.model.guarantees import guarantees, shortfall
from gitml.core.model.resources import Resources
from gitml.core.model.result import NOT_MADE, ActionResult, OutputRef
from gitml.core.parameters.matrix import ALL
from gitml.core.planner.plan import (
    BLOCKED,
    NEEDED,
    NOT_NEEDED,
    PERHAPS,
    REUSE,
    RUN,
    UNKNOWN,
    AbsentInput,
    Decision,
    PartProblem,
    Plan,
    Policy,
    decide,
    forced,
    lacking_guarantee,
    last_steps,
    needed_by,
)
from gitml.engine.execution.executor_kind import NodeRequest
from gitml.engine.execution.executor_kinds import RunTargets, target_name, targets_of
from gitml.engine.planning.action_builder import ActionBuilder
from gitml.engine.planning.dynamic_lists import DynamicLists
from gitml.engine.planning.load import Loaded
from gitml.git.objects.source import CommitSource
from gitml.transfer.availability import Availability
from gitml.workspace import Workspace

Results = Mapping[str, ActionResult | None]
"""The result of each step that is done, None for those still to come."""

if TYPE_CHECKING:
    from gitml.core.planner.directory_part import OutputPart
    from gitml.transfer.lfs_inputs import LfsInputs


class Planner:
    """Decides steps of one Loaded pipeline; `run` keeps asking it as results come in, `plan` asks once."""

    def __init__(
        self,
        ws: Workspace,
        loaded: Loaded,
        policy: Policy,
        jobs: int | None = None,
        on: str | None = None,
        targets: RunTargets | None = None,
    ) -> None:
        self.ws = ws
        ws.stored_manifest = partial(_stored_manifest, ws)
        self.on = on
        self.config = loaded.config
        self.graph = loaded.graph
        self.targets = targets or RunTargets(ws, loaded.config, jobs, on)
        self.availability = Availability(ws)
        self.builder = ActionBuilder(ws, loaded, self.targets, self.availability)
        self._source = loaded.source
        self.policy = policy
        self.index = ws.index
        # steps whose outputs must be had: what is known of one without its bytes does not do
        self.needed: set[str] = set()
        # members that a plan is made without, as if they had failed and that were borne
        self.missing: frozenset[str] = frozenset()
        self._lists = DynamicLists(ws, loaded, self.availability)
        self._wanted: Sequence[str] = ()
        self._last_counts: dict[str, int] | None = None

    @cached_property
    def lfs(self) -> LfsInputs:
        """What steps need of Git LFS; loaded when a step is performed."""
        from gitml.transfer.lfs_inputs import LfsInputs

        return LfsInputs(self.ws, self._source)

    def decide(
        self,
        step: GraphStep,
        results: dict[str, ActionResult | None],
        *,
        foresee: bool = False,
        need: str | None = None,
    ) -> Decision:
        """What becomes of `step` when the steps before it gave `results`; `need` is by default what is in `needed`."""
        if step.pending:
            return self._of_pending(step, foresee=foresee)
        placed = self.builder.placed(step)
        parts = self.builder.parts(placed, results)
        here, pipeline = self.availability, self.graph.pipeline
        need = need or (NEEDED if step.name in self.needed else NOT_NEEDED)

        def decided(need: str) -> Decision:
            return decide(
                *(placed, parts, self.index, here.has, pipeline, self.policy),
                foresee=foresee,
                need=need,
                absence=here.absence,
            )

        decision = decided(need)
        # What went bad here is made again at once, which also shows whether it can be.
        if need != NEEDED and decision.absent and decision.result is not None and here.is_damaged(decision.result):
            decision = decided(NEEDED)
        if decision.kind == RUN and decision.absent:
            decision = self._unless_asked(decision)
        if decision.kind in (RUN, UNKNOWN):
            obstacle = self._obstacle(step, foresee=foresee)
            if obstacle is not None:
                return Decision(BLOCKED, obstacle.message, hint=obstacle.hint)
        return decision

    def _of_pending(self, step: GraphStep, *, foresee: bool) -> Decision:
        """What is known of steps that depend on a list which is not made."""
        if step.problem:
            return Decision(BLOCKED, step.problem)
        if not foresee or step.label != ALL.label:
            return Decision(UNKNOWN, step.pending)
        if self._last_counts is None:
            self._last_counts = self._lists.last_counts(self.graph)
        count = self._last_counts.get(step.base)
        return Decision(UNKNOWN, step.pending if count is None else f"{step.pending} ({count:,} last time)")

    def _unless_asked(self, decision: Decision) -> Decision:
        """Unknown where a result serves if a remote store has what is not here, and this is a command that asks none."""
        result = self.index.result(decision.key) if decision.key is not None else None
        absent = () if result is None else [o for o in result.outputs if o.name in decision.absent]
        if result is None or not absent or not all(output.digest in self.availability.unasked for output in absent):
            return decision
        names = ", ".join(output.name for output in absent[:3])
        reason = f"same as in run {result.run[:8]} if a remote store has {names}, else runs: `gitml run -n` asks"
        return decision._replace(kind=UNKNOWN, reason=reason, result=result, unasked=True)

    def _obstacle(self, step: GraphStep, *, foresee: bool) -> PartProblem | None:
        """What is sure to keep a step from running where it is to; of a cluster a run asks again what a plan remembers."""
        if step.secrets:
            from gitml.engine.planning.secret_values import problem_with_step

            problem = problem_with_step(self.ws, self.graph, step)
            if problem is not None:
                return problem
        target, session = self.targets.of(step)
        return session.problem(target, step, lambda: self.builder.obstacle(step), remembered=foresee)

    def is_current(self, step: GraphStep, decision: Decision, results: Results) -> bool:
        """Whether what was decided is of the inputs that `results` give the step now."""
        assert decision.action is not None
        inputs = self.builder.parts(step, results).inputs
        return tuple([part for part in inputs if not isinstance(part, AbsentInput)]) == decision.action.inputs

    def target(self, step: GraphStep) -> str:
        """The name of the target that a step runs on."""
        return target_name(step, self.on)

    def requested(self, step: GraphStep) -> Resources:
        """What a step requests of a machine of its target, with what the target says for those that do not."""
        target, session = self.targets.of(step)
        return session.request(target, step)

    def refresh_environments(self) -> None:
        """Forgets what was found out of this machine while the repository's steps might not run, and so little was looked at."""
        self.builder.forget_environments()
        self.ws.forget_environments()

    def prepare(self, plan: Plan) -> Plan:
        """Prepares the targets that the plan needs. InputError when one can never run the plan's steps.

        The plan is made again where it was made with what a target had installed before.
        """
        needed: dict[str, dict[str, NodeRequest]] = {}
        for name, decision in plan.decisions.items():
            step = self.graph.steps[name]
            if decision.kind != REUSE:
                needed.setdefault(self.target(step), {})[name] = (self.requested(step), step.settings.gang[0])
        for called, requests in needed.items():
            target = self.config.target(called)
            if self.targets.session(target).prepare(target, requests):
                self.builder.forget_environments()
                plan = self.plan(self._wanted)
        return plan

    def plan(self, wanted: Sequence[str] = (), *, foresee: bool = False) -> Plan:
        """Decisions for the wanted steps and all they need, for every step when none is named; `foresee` as `decide` has it.

        Lists that known results have decide which combinations there are.
        """
        self._wanted = wanted
        while True:
            plan = self._plan(self.names(), foresee=foresee)
            known = {name: one.result for name, one in plan.decisions.items() if one.kind == REUSE or one.absent}
            if not self.grow(known):
                return plan

    def names(self) -> list[str]:
        """The steps of the graph, as it is now, that are wanted, and all they need."""
        return self._selected(self.graph)

    def _selected(self, graph: Graph) -> list[str]:
        return graph.select(self._wanted) if self._wanted else list(graph.steps)

    def grow(self, results: Results) -> bool:
        """Takes in the lists that results have; whether there is something to plan again."""
        if not self.graph.dynamic:
            return False
        lost = set(self._lists.lost)
        grown = self._lists.grown(self.graph, results, self._selected)
        if grown is not None:
            self.graph = grown
            self.needed |= self._asked_for(self.names())
        return grown is not None or not self._lists.lost <= lost

    def _asked_for(self, names: Sequence[str]) -> set[str]:
        """The steps whose outputs the user is to have, and those whose lists nobody has."""
        steps = self.graph.steps
        if self.policy.asked:
            return {name for name in names if self.policy.asks_for(steps[name])} | self._lists.lost
        lists = {source.step for sources in self.graph.dynamic.values() for source in sources}
        return set(last_steps(steps, names)) - lists | self._lists.lost

    def _plan(self, names: Sequence[str], *, foresee: bool) -> Plan:
        targets_of(self.graph, names, self.on, self.config)
        # What only a remote store can tell is taken for granted at first, so that it can be asked for all at once.
        with self.index.snapshot(), self.availability.gathering() as questions:
            decisions = self._decisions(names, foresee=foresee)
        if questions:
            self.availability.ask(questions)
            with self.index.snapshot():
                decisions = self._decisions(names, foresee=foresee)
        while self.asks_for_listings():
            with self.index.snapshot():
                decisions = self._decisions(names, foresee=foresee)
        return Plan(decisions, self.graph, (*self.availability.warnings, *self._not_of_the_commit(decisions)))

    def _not_of_the_commit(self, decisions: Mapping[str, Decision]) -> list[str]:
        """What steps that are to run take from the work tree as it is now, though they are those of another commit.

        And what of it they don't take, as no commit of the repository could have it.
        """
        if not isinstance(self._source, CommitSource):
            what = "has changes that are not committed in it, which steps don't see"
            return [f"submodule {path} {what}: commit them there" for path in self._source.unseen_changes]
        specs = [self.graph.steps[name].settings.environment for name, one in decisions.items() if one.kind != REUSE]
        names = dict.fromkeys([spec.name for spec in specs if spec.kind == VENV])
        commit = self._source.commit[:12]
        return [f"the virtual environment {name} is today's, not that of commit {commit}" for name in names]

    def _decisions(self, names: Sequence[str], *, foresee: bool) -> dict[str, Decision]:
        """First as if nobody needed what can't be had; then what steps that run need of it runs too, and before them."""
        steps = self.graph.steps
        self.needed = self._asked_for(names)
        decisions, results = self._pass(names, foresee=foresee)
        unlisted = {parent for name in names for parent in self.unlisted(steps[name], results)}
        if unlisted:
            self.needed |= unlisted
            decisions, results = self._pass(names, foresee=foresee)
        needed = needed_by(steps, decisions, RUN)
        if needed:
            self.needed |= needed
            decisions, results = self._pass(names, foresee=foresee)
        for name in needed_by(steps, decisions, UNKNOWN):
            decisions[name] = self.decide(steps[name], results, foresee=foresee, need=PERHAPS)
        return decisions

    def _pass(
        self, names: Sequence[str], *, foresee: bool
    ) -> tuple[dict[str, Decision], dict[str, ActionResult | None]]:
        results: dict[str, ActionResult | None] = {}
        decisions: dict[str, Decision] = {}
        for name in names:
            decision = decisions[name] = self.decide(self.graph.steps[name], results, foresee=foresee)
            results[name] = NOT_MADE if name in self.missing and decision.kind != REUSE else decision.result
        return decisions, results

    def asks_for_listings(self) -> bool:
        """Asks for the listings of directories that decisions lacked; whether something new is known of one."""
        looked_into = self.builder.looked_into
        return looked_into is not None and looked_into.ask()

    def unlisted(self, step: GraphStep, results: Results) -> list[str]:
        """The steps that must run again for `step`: what decides its combinations, or a listing of a directory, can't be had."""
        if step.pending:
            listed = [source.step for source in self.graph.dynamic.get(step.base, ())]
            return [name for name in listed if name in self._lists.lost and name not in self.needed]
        looked_into = self.builder.looked_into
        if looked_into is None or not looked_into.lost:
            return []
        parts = {binding.step: binding.port for binding in step.inputs if binding.part}
        made = [(parent, ref) for parent, ref in inputs_made(step, results) if parts.get(parent) == ref.name]
        return [parent for parent, ref in made if ref.digest in looked_into.lost]

    def known_result(self, step: GraphStep, key: Digest) -> ActionResult | None:
        """The result of `key` when all its bytes can be had and the step may reuse it: another process may just have made it."""
        result = self.index.result(key)
        if result is None or lacking_guarantee(step, result) is not None:
            return None
        return result if all(map(self.availability.has, result.outputs)) else None

    def lacking(self, step: GraphStep, decision: Decision, results: Results) -> list[OutputRef | OutputPart]:
        """The inputs of `step` that other steps made and that only a remote store has; those in records are put into the Store.

        Of a directory of which the step takes a part, the part. And what Git LFS pointers among its code and inputs stand for,
        where that is not here.
        """
        pointed = self.lfs.lacking(decision.action) if decision.action is not None else []
        whole = [ref for binding, ref in _bound(step, results) if not binding.part]
        parts = [
            self.builder.directories.lacking(binding, ref) for binding, ref in _bound(step, results) if binding.part
        ]
        return [*self.availability.fetch_inline(whole), *(one for one in parts if one is not None), *pointed]

    def absent(
        self, step: GraphStep, results: Results, lacking: Sequence[OutputRef | OutputPart]
    ) -> list[tuple[str, OutputRef]]:
        """The inputs of `step` that other steps made, that are `lacking` and can't be had, each with the step that did."""
        wanted = {one.digest if isinstance(one, OutputRef) else one.output.digest for one in lacking}
        made = [(parent, ref) for parent, ref in inputs_made(step, results) if ref.digest in wanted]
        return [(parent, ref) for parent, ref in made if not self.availability.has(ref)]

    def stored(self, step: GraphStep, results: Results) -> tuple[OutputRef, ...]:
        """The inputs of `step` that the machines of a cluster may fetch from a remote store by themselves."""
        divided = {
            (binding.step, binding.port) for binding in step.inputs if binding.part
        }  # fetched here, and sent in part
        made = [ref for parent, ref in inputs_made(step, results) if (parent, ref.name) not in divided]
        return tuple([ref for ref in made if self.availability.fetchable_by_workers(ref)])


def _stored_manifest(ws: Workspace, digest: str) -> bytes | None:
    """The manifest or index of an image that a remote store has."""
    from gitml.transfer.images import manifest_reader

    return manifest_reader(ws)(digest)


def inputs_made(step: GraphStep, results: Results) -> list[tuple[str, OutputRef]]:
    """The inputs of `step` that other steps made, as far as `results` has them, each with the step that did."""
    return [(binding.step or "", ref) for binding, ref in _bound(step, results)]


def _bound(step: GraphStep, results: Results) -> list[tuple[Binding, OutputRef]]:
    made = [(binding, results.get(binding.step), binding.port) for binding in step.inputs if binding.step is not None]
    return [
        (binding, ref)
        for binding, result, port in made
        if result is not None and (ref := result.output(port)) is not None
    ]


def make_plan(
    ws: Workspace, loaded: Loaded, wanted: Sequence[str] = (), policy: Policy | None = None, on: str | None = None
) -> Plan:
    """The Plan for the wanted steps and all they need; for every step when none is named."""
    policy = policy or Policy()
    return _without_twins(Planner(ws, loaded, policy, on=on).plan(wanted, foresee=True), policy)


def _without_twins(plan: Plan, policy: Policy) -> Plan:
    """The plan where of steps with one Action only the first runs: a run makes a result once, unless both are forced to run."""
    first: dict[Digest, str] = {}
    graph = plan.graph
    decisions = dict(plan.decisions)
    for name, decision in plan.decisions.items():
        if decision.kind == RUN and decision.key is not None and not forced(graph.steps[name], policy):
            twin = first.setdefault(decision.key, name)
            one, other = graph.steps[name], graph.steps[twin]
            how, asked = other.settings, one.settings
            made = guarantees(strict=how.strict, network=how.network, caches=how.caches)
            if shortfall(made, strict=asked.strict, network=asked.network, caches=asked.caches) is not None:
                first[decision.key] = name  # what the other makes is not made as this one asks
            elif twin != name:
                decisions[name] = decision._replace(kind=UNKNOWN, reason=f"the same as {twin}: one of the two runs")
    return plan._replace(decisions=decisions)


def policy_for(loaded: Loaded, wanted: Sequence[str], *, force: bool, reuse: bool) -> Policy:
    """`--force` runs the named steps again, or all when none is named; without `reuse` every step runs."""
    asked = frozenset(wanted)
    every = frozenset([step.base for step in loaded.graph.steps.values()] if force and not wanted else ())
    return Policy((asked or every) if force else frozenset(), reuse, asked)
