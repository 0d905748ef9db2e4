"""Plan: what will become of each step, and why. `decide` is the one place where that is settled.

`plan`, `explain` and `run` all ask `decide`, so they can't disagree. It is pure: what it must know comes in as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gitml.core.model.action import Action, ActionInput, CodeFile, StepCommit
from gitml.core.model.digest import Digest
from gitml.core.model.environment import description_or_none
from gitml.core.model.graph import Graph, GraphStep
from gitml.core.model.guarantees import shortfall
from gitml.core.model.protocols import ActionCache
from gitml.core.model.result import ActionResult, OutputRef
from gitml.core.planner.step_words import words_with
from gitml.core.secrets.seals import reuse_note

if TYPE_CHECKING:
    from gitml.core.planner.explain import Change

REUSE, RUN, UNKNOWN, BLOCKED = "reuse", "run", "unknown", "blocked"
UNMADE = "?"


class PendingInput(NamedTuple):
    """An input that is not made yet: output `port` of the step `step`."""

    step: str
    port: str


class AbsentInput(NamedTuple):
    """An input that is not there: the step that could make it left it out, or `failed`, which is borne."""

    step: str
    port: str
    failed: bool = False


class UnlistedInput(NamedTuple):
    """An input that is a part of a directory whose listing is not here: what the part is, is not known yet."""

    step: str
    port: str


class PartProblem(NamedTuple):
    """Why a part of the Action can't be computed, and how to fix it."""

    message: str
    hint: str | None = None


class Unconfirmed(NamedTuple):
    """Why a part of the Action is not known to who only looks, and what finds it out."""

    message: str
    hint: str | None = None


FoundInput = ActionInput | PendingInput | AbsentInput | UnlistedInput | PartProblem
"""The content of an input, or what is known of it so far."""


class ActionParts(NamedTuple):
    """The content of a step's Action: each part, or the Problem that keeps it from being known."""

    inputs: Sequence[FoundInput]
    code: tuple[CodeFile, ...] | PartProblem
    environment: Digest | PartProblem | Unconfirmed
    described: Mapping[
        str, Mapping[str, Any]
    ] = {}  # the descriptions of environment and module, to show how they differ from others
    repository: StepCommit | PartProblem | None = None


class Decision(NamedTuple):
    """What becomes of a step: `kind` is reuse, run, unknown or blocked. `action` and `key` are there once inputs are known.

    `result` is what is known of it: of a step that is reused, or that runs only if what it made is needed. `absent` are the
    outputs of a known result whose bytes can't be had. Of an unknown one `unasked` says that a run would ask, and then know.
    """

    kind: str
    reason: str
    action: Action | None = None
    key: Digest | None = None
    result: ActionResult | None = None
    hint: str | None = None
    absent: tuple[str, ...] = ()
    unasked: bool = False


class Policy(NamedTuple):
    """`forced` steps run whatever is known; `reuse` False runs every step. What the steps `asked` for make must be had.

    Both may name one combination of a matrix, or the step for all of them.
    """

    forced: frozenset[str] = frozenset()
    reuse: bool = True
    asked: frozenset[str] = frozenset()

    def asks_for(self, step: GraphStep) -> bool:
        """Whether a step is among those that are asked for."""
        return step.name in self.asked or step.base in self.asked


ALWAYS_REUSE = Policy()

NEEDED, PERHAPS, NOT_NEEDED = "needed", "perhaps", "not needed"
"""Whether the bytes of what a step makes must be available: to the user who asked for them, or to a step that runs."""


class Plan(NamedTuple):
    """Decisions by step of the `graph`, each after those it waits for; `warnings` name what was not found out, or is not the
    commit's."""

    decisions: Mapping[str, Decision]
    graph: Graph
    warnings: tuple[str, ...] = ()

    def runs_something(self) -> bool:
        """Whether a step would or may run."""
        return any(decision.kind != REUSE for decision in self.decisions.values())

    def blocked(self) -> dict[str, Decision]:
        """The steps that can't be run."""
        return {name: decision for name, decision in self.decisions.items() if decision.kind == BLOCKED}


def decide(
    step: GraphStep,
    parts: ActionParts,
    cached: ActionCache,
    available: Callable[[OutputRef], bool],
    pipeline: str,
    policy: Policy = ALWAYS_REUSE,
    *,
    foresee: bool = False,
    need: str = NEEDED,
    absence: Callable[[], str] = lambda: "is not here",
) -> Decision:
    """What becomes of `step`, given the content of its parts and what is known.

    `available` returns whether an output's bytes can be had without running, and `absence` why they can't. A result whose
    bytes can't be had is as good as any while nothing needs them, and counts for nothing once something does.
    With `foresee` the reason of a step that waits also names what has changed in it already: for people, as it takes a while.
    """
    for part in (*parts.inputs, parts.code, parts.environment, parts.repository):
        if isinstance(part, PartProblem):
            return Decision(BLOCKED, part.message, hint=part.hint)
    must = forced(step, policy)
    if isinstance(parts.environment, Unconfirmed):
        return Decision(UNKNOWN, parts.environment.message, hint=parts.environment.hint, unasked=True)
    pending = [part for part in parts.inputs if isinstance(part, PendingInput)]
    if pending:
        if must:
            return Decision(RUN, must)
        waits = f"waits for {_listed(list(dict.fromkeys(part.step for part in pending)))}"
        after = open_action(step, parts) if foresee else None
        changed = _changed(after, parts.described, cached, pipeline, step) if after else None
        return Decision(
            UNKNOWN, f"{waits}, and {changed}" if changed else f"{waits}: runs unless the same bytes come out"
        )
    unlisted = next((part for part in parts.inputs if isinstance(part, UnlistedInput)), None)
    if unlisted is not None:
        if must:
            return Decision(RUN, must)
        what = f"{unlisted.step}.{unlisted.port}"
        return Decision(UNKNOWN, f"only a remote store has the listing of {what}: `gitml run -n` asks", unasked=True)
    action = action_of(step, parts)
    key = action.key()
    without = _without(parts.inputs)
    if must:
        return Decision(RUN, must + without, action, key)
    result = cached.result(key)
    only_here = f"; {reuse_note(name for name, _ in step.secrets)}" if step.secrets else ""
    if result is None:
        why = _why(action, key, parts.described, cached, pipeline, step)
        return Decision(RUN, why + only_here + without, action, key)
    lacks = lacking_guarantee(step, result)
    if lacks is not None:
        return Decision(RUN, lacks + without, action, key)
    absent = tuple([output.name for output in result.outputs if not available(output)])
    if absent and need != NOT_NEEDED:
        why = f"output {absent[0]} of run {result.run[:8]} {absence()}"
        if need == NEEDED:
            return Decision(RUN, why + without, action, key, absent=absent)
        return Decision(UNKNOWN, f"{why}: runs if a step needs it", action, key, result, absent=absent)
    return Decision(REUSE, f"same as in run {result.run[:8]}{only_here}{without}", action, key, result, absent=absent)


def _without(inputs: Sequence[FoundInput]) -> str:
    """What to add to the reason of a step that lacks members which did not succeed."""
    failed = dict.fromkeys([part.step for part in inputs if isinstance(part, AbsentInput) and part.failed])
    return f"; without {_listed(list(failed))}, which did not succeed" if failed else ""


def lacking_guarantee(step: GraphStep, result: ActionResult) -> str | None:
    """Why a step does not reuse a result of its own Action: it asks for a guarantee under which that was not made."""
    how = step.settings
    lacks = shortfall(result.guarantees, strict=how.strict, network=how.network, caches=how.caches)
    return None if lacks is None else f"run {result.run[:8]} made it {lacks}"


def last_steps(steps: Mapping[str, GraphStep], names: Iterable[str]) -> frozenset[str]:
    """Those of `names` whose outputs no other of them takes in: what they make is what a run is for.

    What a pending step will take in is not known: all that it waits for counts.
    """
    left = dict.fromkeys(names)
    for name in tuple(left):
        for binding in steps[name].inputs:
            if binding.step is not None:
                left.pop(binding.step, None)
        for parent in steps[name].parents if steps[name].pending else ():
            left.pop(parent, None)
    return frozenset(left)


def needed_by(steps: Mapping[str, GraphStep], decisions: Mapping[str, Decision], kind: str) -> set[str]:
    """The reused steps whose absent outputs are taken in by steps that are decided `kind`; and by these, as they run then."""
    absent = {name: set(d.absent) for name, d in decisions.items() if d.kind == REUSE and d.absent}
    found: set[str] = set()
    if not absent:
        return found
    todo = [name for name, decision in decisions.items() if decision.kind == kind]
    while todo:
        step = steps[todo.pop()]
        taken = [
            binding.step for binding in step.inputs if binding.step and binding.port in absent.get(binding.step, ())
        ]
        taken += [parent for parent in step.parents if step.pending and parent in absent]
        for parent in taken:
            if parent not in found:
                found.add(parent)
                todo.append(parent)
    return found


def action_of(step: GraphStep, parts: ActionParts) -> Action:
    """The Action of a step whose parts are all known."""
    assert not isinstance(parts.code, PartProblem)
    assert not isinstance(parts.environment, (PartProblem, Unconfirmed))
    assert not isinstance(parts.repository, PartProblem)
    return Action(
        argv=words_with(step, *_missing(parts.inputs)),
        shell=step.shell,
        params=step.params,
        code=parts.code,
        inputs=tuple([part for part in parts.inputs if type(part) is ActionInput]),
        outputs=step.outputs,
        env=step.env,
        environment=parts.environment,
        module=f"git:{step.module}" if step.module else None,
        settings=step.settings.keyed(),
        secrets=step.secrets,
        repository=parts.repository,
        project=step.project,
    )


def _missing(inputs: Sequence[FoundInput]) -> tuple[frozenset[int], frozenset[int]]:
    """The numbers of the inputs that are absent, and of those among them whose step failed."""
    absent = {number: part for number, part in enumerate(inputs) if isinstance(part, AbsentInput)}
    return frozenset(absent), frozenset([number for number, part in absent.items() if part.failed])


def open_action(step: GraphStep, parts: ActionParts) -> Action:
    """The Action of a step, with `UNMADE` for the content of inputs that are not made yet."""
    inputs = [
        ActionInput(binding.name, binding.mount, UNMADE, UNMADE)
        if isinstance(part, (PendingInput, UnlistedInput))
        else part
        for binding, part in zip(step.inputs, parts.inputs, strict=True)
    ]
    return action_of(step, parts._replace(inputs=inputs))


def known_changes(
    before: Action,
    after: Action,
    described: Mapping[str, Mapping[str, Any]] | None = None,
    made_by: Mapping[str, str] | None = None,
) -> list[Change]:
    """What differs, without inputs that are not made yet: whether those do is not known. Arguments as of `changes_between`."""
    from gitml.core.planner.explain import changes_between  # only what runs is explained

    changes = changes_between(before, after, described, made_by)
    return [
        change
        for change in changes
        if change.kind != "input"
        or UNMADE not in (change.before, change.after)
        or None in (change.before, change.after)
    ]


def forced(step: GraphStep, policy: Policy) -> str | None:
    """Why a step runs whatever is known; None for one that needn't."""
    if not policy.reuse:
        return "reuse is off for this run"
    if step.name in policy.forced or step.base in policy.forced:
        return "forced"
    if not step.settings.reuse:
        return "the step says reuse: false"
    return None


def _why(
    action: Action,
    key: Digest,
    described: Mapping[str, Mapping[str, Any]],
    cached: ActionCache,
    pipeline: str,
    step: GraphStep,
) -> str:
    """Why what is not known runs."""
    failure = cached.failure(pipeline, step.name)
    if failure is not None and failure.key == key:
        return f"failed in run {failure.run[:8]}"
    return _changed(action, described, cached, pipeline, step) or "its result is not known any more"


def _changed(
    action: Action, described: Mapping[str, Mapping[str, Any]], cached: ActionCache, pipeline: str, step: GraphStep
) -> str | None:
    """What differs from the nearest Action that succeeded: the one with the fewest changes, of equals the newest.

    Of a step that never did, what differs from the one that failed. None where nothing differs, as far as that is known.
    """
    from gitml.core.planner.explain import summary_of

    since = ""
    nearest: Action | None = None
    fewest = 0
    for known in cached.recent_actions(pipeline, step.name):
        count = len(known_changes(known, action))
        if nearest is None or count < fewest:
            nearest, fewest = known, count
        if not count:
            return None
    if nearest is None:
        failure = cached.failure(pipeline, step.name)
        if failure is None:
            return "never ran"
        since = f" since it failed in run {failure.run[:8]}"
        nearest = cached.action(failure.key)
        if nearest is None:
            return "not tried again" + since
    descriptions = dict(described)
    if nearest.environment not in descriptions:
        description = description_or_none(cached.environment(nearest.environment))
        if description is not None:
            descriptions[nearest.environment] = description
    module = nearest.module
    if module is not None and module not in descriptions and (called := cached.module(module)) is not None:
        descriptions[module] = called
    changes = known_changes(nearest, action, descriptions, step.made_by())
    if not changes:
        return since.removeprefix(" since it ") or None
    return summary_of(changes) + since


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"
