"""The environments of a pipeline's steps: what each is, where it is built, why it has its identity, and how two sides differ."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.config.project import LOCAL
from gitml.core.kinds.environment_kinds import ENVIRONMENT_KINDS
from gitml.core.language.diagnostics import SpecError
from gitml.core.model.digest import Digest
from gitml.core.model.environment import Environment, description_or_none, encode_description, kind_in_words
from gitml.core.model.graph import GraphStep
from gitml.core.planner.explain import Change, environment_changes
from gitml.core.planner.plan import Policy
from gitml.core.records.record import Run
from gitml.engine.planning.load import Loaded, load, load_run
from gitml.engine.planning.planner import Planner
from gitml.errors import GitmlError, InputError
from gitml.files import bytes_below
from gitml.history.runs import find_run, names_run
from gitml.store.index.results import performed_actions
from gitml.workspace import Workspace


class PipelineEnvironment(NamedTuple):
    """An environment that `steps` of a pipeline have on `target`; `spec` is what the pipeline says, in normal form.

    `environment` is None where it is not known: then `problem` says why, and `hint` what to do. `place` is the folder that is
    built for it on this machine, None for what is never built, `bytes` what is in it, None while it is not built. `is_here` is
    false for what another machine has.
    """

    spec: str
    kind: str
    steps: tuple[str, ...]
    target: str
    environment: Environment | None = None
    problem: str | None = None
    hint: str | None = None
    built: bool = False
    place: str | None = None
    bytes: int | None = None
    is_here: bool = True

    @property
    def described(self) -> Mapping[str, Any]:
        """The description; empty where it is not known."""
        return self.environment.described() if self.environment is not None else {}

    @property
    def packages(self) -> tuple[str, ...]:
        """``name version`` of each package."""
        return tuple(self.described.get("distributions", ()))


def pipeline_environments(
    ws: Workspace, loaded: Loaded, wanted: Sequence[str] = (), *, measure: bool = False, platform: str = ""
) -> list[PipelineEnvironment]:
    """Each distinct environment of the named steps, or of all, in the order of the steps.

    With `measure` the sizes of those that are built are looked up. With a `platform`, such as ``linux-aarch64``, they are those
    of another machine, as far as locks say. InputError for an unknown step.
    """
    planner = Planner(ws, loaded, Policy())
    found: dict[tuple[Any, ...], PipelineEnvironment] = {}
    for step in _named(loaded, wanted):
        one = _environment_of(planner, step, platform)
        id = (one.spec, one.target, one.environment.digest if one.environment is not None else one.problem)
        known = found.get(id)
        found[id] = one if known is None else known._replace(steps=(*known.steps, step.name))
    return [located(ws, one, measure=measure) for one in found.values()]


def _named(loaded: Loaded, wanted: Sequence[str]) -> list[GraphStep]:
    loaded.graph.select(wanted)
    return [step for step in loaded.graph.steps.values() if not wanted or step.name in wanted or step.base in wanted]


def _environment_of(planner: Planner, step: GraphStep, platform: str) -> PipelineEnvironment:
    builder = planner.builder
    answer = builder.environment_on(step, platform) if platform else builder.environment(step)
    spec = step.settings.environment
    target = planner.target(step)
    one = PipelineEnvironment(str(spec), spec.kind, (step.name,), target, is_here=target == LOCAL and not platform)
    if isinstance(answer, Environment):
        return one._replace(kind=answer.source.spec.kind, environment=answer)
    return one._replace(problem=answer.message, hint=answer.hint)


def located(ws: Workspace, one: PipelineEnvironment, *, measure: bool) -> PipelineEnvironment:
    """With where it lies on this machine, whether it is built there, and how large it is where that is to be `measure`d."""
    if one.environment is None or not one.is_here:
        return one
    built = ws.environments.path_of(one.environment) is not None
    place = ws.environments.place_of(one.environment)
    size = bytes_below(place) if measure and built and place is not None and os.path.isdir(place) else None
    return one._replace(built=built, place=place, bytes=size)


class EnvironmentExplanation(NamedTuple):
    """Why an environment is what it is: what `counts` in its identity, what does not, and how it differs from an earlier one.

    `against` names the run that each difference in `changes` is to; None where no step of it was ever performed.
    """

    found: PipelineEnvironment
    counts: tuple[str, ...]
    ignored: str
    against: str | None
    changes: tuple[Change, ...]


def explain_environments(ws: Workspace, loaded: Loaded, wanted: Sequence[str] = ()) -> list[EnvironmentExplanation]:
    """Explains each distinct environment of the named steps, or of all; InputError for an unknown step."""
    return [_explained(ws, loaded, one) for one in pipeline_environments(ws, loaded, wanted)]


def _explained(ws: Workspace, loaded: Loaded, one: PipelineEnvironment) -> EnvironmentExplanation:
    against, earlier = _earlier(ws, loaded, one.steps)
    changes = _changes(earlier, _Side(one)) if earlier is not None and one.environment is not None else ()
    ignored = ENVIRONMENT_KINDS[one.kind].ignored if one.environment is not None else ""
    return EnvironmentExplanation(one, tuple(_counted(one.described)), ignored, against, changes)


def _counted(described: Mapping[str, Any]) -> Iterable[str]:
    """What counts in the identity, in words."""
    for name, value in described.items():
        if name == "distributions":
            by_content = " and the content" if described.get("contents") or "requirements" in described else ""
            yield f"the version{by_content} of {len(value):,} package{'' if len(value) == 1 else 's'}"
        elif name == "programs" and value:
            yield f"the content of {', '.join(value)}"
        elif name == "repository":
            yield "what it imports from this repository, which counts as code"
        elif name not in ("format", "kind", "contents", "requirements", "programs") and isinstance(value, (str, int)):
            yield f"{name} {value}"


def _earlier(ws: Workspace, loaded: Loaded, steps: Sequence[str]) -> tuple[str | None, _Side | None]:
    """The newest run that performed one of the steps, in words, and its environment as far as it is known."""
    newest: tuple[float, str, str, Digest] | None = None
    for name in steps:
        for key, run, at in performed_actions(ws.index, loaded.graph.pipeline, name, 1):
            if newest is None or at > newest[0]:
                newest = at, run, f"run {run[:8]}", key
    if newest is None:
        failures = [failure for name in steps if (failure := ws.index.failure(loaded.graph.pipeline, name)) is not None]
        if failures:
            newest = 0.0, failures[0].run, f"run {failures[0].run[:8]}, where it failed", failures[0].key
    action = ws.index.action(newest[3]) if newest is not None else None
    if newest is None or action is None:
        return None, None
    return newest[2], _Side(None, action.environment, recorded_description(ws, action.environment, newest[1]))


class _Side(NamedTuple):
    """The environment of a step on one side of a comparison: as it is planned, or (None) as a run's record has it."""

    planned: PipelineEnvironment | None
    recorded: Digest | None = None
    description: Mapping[str, Any] | None = None

    @property
    def identity(self) -> Digest | None:
        """Its digest; None where it is not known."""
        if self.planned is None:
            return self.recorded
        return self.planned.environment.digest if self.planned.environment is not None else None

    @property
    def described(self) -> Mapping[str, Any] | None:
        """Its description; None where it is not known."""
        if self.planned is None:
            return self.description
        return self.planned.described if self.planned.environment is not None else None

    @property
    def words(self) -> str:
        """What it is called by."""
        if self.planned is not None:
            return self.planned.spec
        return kind_in_words(self.description or {}) or "environment"


def _changes(before: _Side, after: _Side) -> tuple[Change, ...]:
    if before.identity == after.identity:
        return ()
    old, new = before.described, after.described
    if old is None or new is None:
        shown = [None if side.identity is None else side.identity[7:19] for side in (before, after)]
        return (Change("environment", "", *shown),)
    return tuple(environment_changes(old, new))


class EnvironmentDifference(NamedTuple):
    """How the environment of `steps` differs: what each side has (None: no such step), its identity, and the `changes`.

    `problem` says why a side is not known, where one is not.
    """

    steps: tuple[str, ...]
    before: str | None
    after: str | None
    before_identity: Digest | None
    after_identity: Digest | None
    changes: tuple[Change, ...]
    problem: str | None = None

    @property
    def differs(self) -> bool:
        """Whether the sides are not the same, as far as is known."""
        return self.before_identity != self.after_identity


def diff_environments(
    ws: Workspace, before: str, after: str | None, pipeline: str | None = None
) -> list[EnvironmentDifference]:
    """The environments of each step on two sides: runs by their ids, revisions, or (None) the files as they are now.

    Of a run it is what the steps had where they ran; of all others what they would have on this machine. InputError for a side
    that is neither, and for runs of two pipelines.
    """
    one, name = _side(ws, before, pipeline)
    two, _ = _side(ws, after, pipeline or name)
    found: dict[tuple[Any, ...], EnvironmentDifference] = {}
    for step in dict.fromkeys([*two, *one]):
        item = _difference(step, one.get(step), two.get(step))
        id = item._replace(steps=())
        known = found.get(id)
        found[id] = item if known is None else known._replace(steps=(*known.steps, step))
    return list(found.values())


def _difference(step: str, before: _Side | None, after: _Side | None) -> EnvironmentDifference:
    sides = [side for side in (before, after) if side is not None]
    problem = next((side.planned.problem for side in sides if side.planned is not None and side.planned.problem), None)
    changes = _changes(before, after) if before is not None and after is not None and problem is None else ()
    return EnvironmentDifference(
        (step,),
        before.words if before is not None else None,
        after.words if after is not None else None,
        before.identity if before is not None else None,
        after.identity if after is not None else None,
        changes,
        problem,
    )


def _side(ws: Workspace, text: str | None, pipeline: str | None) -> tuple[dict[str, _Side], str]:
    """The environment of each step, and the name of the pipeline."""
    if text is not None and names_run(ws, text):
        run = find_run(ws, text).run
        if pipeline is not None and run.pipeline != pipeline:
            raise InputError(f"run {run.id[:8]} is of pipeline {run.pipeline!r}, not of {pipeline!r}")
        return _recorded(ws, run), run.pipeline
    try:
        loaded = load(ws, pipeline, text)
    except SpecError as error:
        if text is None:
            raise
        raise SpecError([one._replace(path=f"{text}:{one.path}") for one in error.diagnostics]) from error
    found = pipeline_environments(ws, loaded)
    return {step: _Side(one) for one in found for step in one.steps}, loaded.graph.pipeline


def _recorded(ws: Workspace, run: Run) -> dict[str, _Side]:
    """The environment that each step of a run had."""
    actions = {step.name: ws.index.action(step.key) for step in run.steps if step.key is not None}
    digests = {name: action.environment for name, action in actions.items() if action is not None}
    known = {digest: description_or_none(ws.index.environment(digest)) for digest in digests.values()}
    if any(described is not None and "distributions" not in described for described in known.values()):
        known.update(_named_at(ws, run))
    return {name: _Side(None, digest, known[digest]) for name, digest in digests.items()}


def recorded_description(ws: Workspace, digest: Digest, run: str) -> Mapping[str, Any] | None:
    """The description of an environment that a step had in the run of this id; None where none is known.

    A record names the packages of a requirements file by a digest alone: they are looked up in the run's commit, once.
    """
    described = description_or_none(ws.index.environment(digest))
    if described is None or "requirements" not in described or "distributions" in described:
        return described
    try:
        found = _named_at(ws, find_run(ws, run).run).get(digest)
    except GitmlError:  # a run that is not here whole
        return described
    if found is None:  # which another machine would have
        return described
    ws.index.put_environment(digest, encode_description(found))
    return found


def _named_at(ws: Workspace, run: Run) -> dict[Digest, Mapping[str, Any]]:
    """The environments of a run with their packages, which a record may name by a digest alone: as its commit has them."""
    try:
        found = pipeline_environments(ws, load_run(ws, run))
    except GitmlError:
        return {}
    return {one.environment.digest: one.described for one in found if one.environment is not None}
