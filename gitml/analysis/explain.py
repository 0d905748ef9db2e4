"""`explain`: what differs between a step now and the nearest result recorded for it, or between two commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gitml.analysis.environments import recorded_description
from gitml.core.model.action import Action
from gitml.core.model.digest import Digest
from gitml.core.model.environment import ON_HOST, Environment, description_or_none
from gitml.core.planner.explain import Change, CodeChange, changed_code
from gitml.core.planner.plan import (
    REUSE,
    Decision,
    PartProblem,
    PendingInput,
    Policy,
    Unconfirmed,
    known_changes,
    open_action,
)
from gitml.engine.planning.load import NO_PROMPT, Loaded, SecretPrompt, load
from gitml.engine.planning.planner import Planner
from gitml.errors import InputError
from gitml.git.command import git
from gitml.store.index.results import performed_actions
from gitml.workspace import Workspace

NEAREST_OF = 20  # how many recorded results of a step are looked through for the nearest


class Explanation(NamedTuple):
    """Why a step is decided as it is. `against` says what it was compared with; no changes and a reuse means: the same.

    `waits_for` are the steps whose outputs would have to be made before more can be said; `code` are the files that changed.
    `remark` says how a change of what the machine has installed need not have counted.
    """

    step: str
    decision: Decision
    against: str | None
    changes: list[Change]
    waits_for: tuple[str, ...] = ()
    code: Sequence[CodeChange] = ()
    remark: str | None = None


def explain(
    ws: Workspace,
    step: str,
    pipeline: str | None = None,
    revisions: str | None = None,
    given: Sequence[tuple[str, str]] = (),
    prompt: SecretPrompt = NO_PROMPT,
) -> list[Explanation]:
    """Explains a step (each of its combinations), at ``A..B`` from A to B, at ``REV`` there, else as the files are now."""
    if revisions and ".." in revisions:
        before_rev, _, after_rev = revisions.partition("..")
        before = _Side(ws, load(ws, pipeline, before_rev or "HEAD", given, prompt=prompt))
        after = _Side(ws, load(ws, pipeline, after_rev or "HEAD", given, prompt=prompt))
        return [_between(ws, name, before, after, before_rev or "HEAD") for name in after.named(step)]
    side = _Side(ws, load(ws, pipeline, revisions, given, prompt=prompt))
    return [_from_nearest(ws, name, side) for name in side.named(step)]


class _Side:
    """One pipeline at one commit, planned."""

    def __init__(self, ws: Workspace, loaded: Loaded) -> None:
        self.planner = Planner(ws, loaded, Policy())
        self.plan = self.planner.plan(foresee=True)
        self.graph = self.plan.graph
        self.results = {n: d.result for n, d in self.plan.decisions.items()}

    def named(self, step: str) -> list[str]:
        self.graph.select([step])
        named = [s.name for s in self.graph.steps.values() if step in (s.name, s.base)]
        base = step.partition("[")[0]
        return named or [s.name for s in self.graph.steps.values() if s.base == base and s.pending]

    def is_unasked(self, name: str) -> bool:
        """Whether the step's environment is not known to a command that only looks."""
        return isinstance(self.planner.builder.environment(self.graph.steps[name]), Unconfirmed)

    def action(self, name: str) -> tuple[Action, tuple[str, ...]]:
        """The step's Action, with ``?`` for the content of inputs that are not made yet, and the steps those come from."""
        step = self.graph.steps[name]
        if step.notebook and not isinstance(self.planner.builder.parts(step, self.results).code, PartProblem):
            self.planner.builder.write_notebook(step)  # so that it can be compared line by line
        decision = self.plan.decisions[name]
        if decision.action is not None:
            return decision.action, ()
        parts = self.planner.builder.parts(step, self.results)
        for piece in (*parts.inputs, parts.code, parts.environment):
            if isinstance(piece, PartProblem):
                raise InputError(f"step {name!r} can't run: {piece.message}", hint=piece.hint)
        waits = dict.fromkeys(part.step for part in parts.inputs if isinstance(part, PendingInput))
        return open_action(self.planner.builder.placed(step), parts), tuple(waits)


def _from_nearest(ws: Workspace, name: str, side: _Side) -> Explanation:
    decision = side.plan.decisions[name]
    if decision.kind == REUSE:
        assert decision.result is not None
        return Explanation(name, decision, f"run {decision.result.run[:8]}", [])
    if side.graph.steps[name].pending:
        return Explanation(name, decision, None, [], side.graph.steps[name].parents)
    if side.is_unasked(name):
        return Explanation(name, decision, None, [])
    action, waits = side.action(name)
    known = [
        (key, run, f"run {run[:8]}")
        for key, run, _ in performed_actions(ws.index, side.graph.pipeline, name, NEAREST_OF)
    ]
    failure = ws.index.failure(side.graph.pipeline, name)
    if failure is not None and not known:
        known = [(failure.key, failure.run, f"run {failure.run[:8]}, where it failed")]
    for key, run, _ in known:
        if (recorded := ws.index.action(key)) is not None and recorded.environment != action.environment:
            recorded_description(ws, recorded.environment, run)  # which is known from then on
    made_by = side.planner.builder.placed(side.graph.steps[name]).made_by()
    found = [
        (known_changes(recorded, action, _descriptions(ws, side, recorded, action), made_by), words, recorded)
        for key, _, words in known
        if (recorded := ws.index.action(key)) is not None
    ]
    if not found:
        return Explanation(name, decision, None, [], waits)
    changes, words, recorded = min(found, key=lambda one: len(one[0]))
    return Explanation(
        name, decision, words, changes, waits, changed_code(recorded, action), _cost_of_host(side, name, changes)
    )


def _between(ws: Workspace, name: str, before: _Side, after: _Side, rev: str) -> Explanation:
    decision = after.plan.decisions[name]
    if name not in before.graph.steps:
        return Explanation(name, decision, f"{rev}, which has no step of this name", [])
    if before.graph.steps[name].pending or after.graph.steps[name].pending:
        return Explanation(name, decision, rev, [], after.graph.steps[name].parents)
    if before.is_unasked(name) or after.is_unasked(name):
        return Explanation(name, decision, None, [])
    old, old_waits = before.action(name)
    new, new_waits = after.action(name)
    sides = {**_descriptions(ws, before, old, new), **_descriptions(ws, after, old, new)}
    waits = tuple(dict.fromkeys(old_waits + new_waits))
    changes = known_changes(old, new, sides, after.planner.builder.placed(after.graph.steps[name]).made_by())
    remark = _cost_of_host(after, name, changes)
    return Explanation(name, decision, rev, changes, waits, changed_code(old, new), remark)


def _cost_of_host(side: _Side, name: str, changes: Sequence[Change]) -> str | None:
    """What it costs that all that a machine has installed counts; None where no package differs, or not all of it counts."""
    if side.graph.steps[name].settings.environment != ON_HOST or not any(one.kind == "package" for one in changes):
        return None
    environment = side.planner.builder.environment(side.graph.steps[name])
    if not isinstance(environment, Environment):
        return None
    number = len(environment.description.get("distributions", ()))
    return (
        f"environment host: {number:,} distributions count, and a change of any runs the step again;"
        " name those that the step uses: environment: {host: [numpy, …]}"
    )


def diff_of(ws: Workspace, change: CodeChange) -> list[str]:
    """How a file of code changed, line by line, as ``git diff`` writes it."""
    ids = (change.before, change.after)
    files = ws.objects.files
    if any(files.header(oid) is None for oid in ids):  # of a notebook, once Git has removed what no commit has
        return [f"--- a/{change.path}", f"+++ b/{change.path}", "one of the two is not in the repository any more"]
    plain = ("--no-color", "--no-ext-diff", "--no-textconv", "--end-of-options")
    lines = git(files.location, "diff", *plain, *ids).decode("utf-8", "replace").splitlines()
    body = next((at for at, line in enumerate(lines) if line.startswith(("@@", "Binary files"))), len(lines))
    if lines[body:] and lines[body].startswith("Binary"):
        return [f"--- {change.path}", "binary files differ"]
    return [f"--- a/{change.path}", f"+++ b/{change.path}", *lines[body:]]


def _descriptions(ws: Workspace, side: _Side, *actions: Action) -> Mapping[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for action in actions:
        digest: Digest = action.environment
        here = side.planner.builder.by_digest.get(digest)
        description = here.described() if here else description_or_none(ws.index.environment(digest))
        if description is not None:
            found[digest] = description
        called = action.module and (side.planner.builder.modules.get(action.module) or ws.index.module(action.module))
        if action.module and called:
            found[action.module] = called
    return found
