"""Where the inputs of a step lie in its sandbox, and that none lies on another or in an output of the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gitml.core.kinds.port_kinds import is_directory
from gitml.core.language.validate import overlap
from gitml.core.model import paths
from gitml.core.model.action import ActionOutput
from gitml.core.model.graph import OUT, Binding, GraphStep
from gitml.core.model.step_settings import TOP
from gitml.core.text.path_pattern import is_pattern


def parts_of(outputs: Sequence[ActionOutput], part: str) -> list[ActionOutput]:
    """Outputs as what is meant of them: at its own path below theirs, or what matches a pattern, which has their layout.

    ValueError for one that is no directory.
    """
    for output in outputs:
        if not is_directory(output.kind):
            raise ValueError(f"output {output.name!r} is a {output.kind}, and only a directory has parts: /{part}")
    if is_pattern(part):
        return list(outputs)
    return [output._replace(mount=f"{output.mount}/{part}") for output in outputs]


def own_places(outputs: Sequence[ActionOutput]) -> list[str] | None:
    """The places of outputs where each has a path of its own and none lies in another; else None."""
    places = [output.mount for output in outputs]
    if any(place.startswith(OUT + "/") for place in places):
        return None
    taken = set(places)
    apart = len(taken) == len(places) and not any(above in taken for place in places for above in _above(place))
    return places if apart else None


def collision(bindings: Iterable[Binding]) -> str | None:
    """What to say of the first two inputs of a step of which one would lie on or in the other; None when there are none.

    Files of the commit that lie where they lie there agree with one another.
    """
    placed: dict[str, Binding] = {}
    for binding in bindings:
        other = placed.setdefault(binding.mount, binding)
        if other is not binding and not (_as_committed(binding) and _as_committed(other)):
            return f"inputs {other.name!r} and {binding.name!r} both lie at {binding.mount!r}: give one another path"
    for binding in placed.values():
        for above in _above(binding.mount):
            outer = placed.get(above)
            if outer is not None and not (_as_committed(binding) and _as_committed(outer)):
                inner = f"{binding.name!r} ({binding.mount})"
                return f"input {inner} lies in the input {outer.name!r} ({outer.mount}): give one another path"
    return None


def misplaced_cache(step: GraphStep) -> str | None:
    """What to say of the first cache whose place is not its own in the sandbox of the step; None when there is none."""
    for cache in step.settings.caches:
        if not cache.path:
            continue
        places = [
            *((f"output {output.name!r}", output.mount) for output in step.outputs),
            *((f"input {binding.name!r}", binding.mount) for binding in step.inputs),
            *((("the notebook", step.notebook),) if step.notebook else ()),
        ]
        for what, place in places:
            if place in ("", ".") or paths.overlaps(cache.path, place):
                return f"cache {cache.name!r} ({cache.path}) overlaps {what} ({place}): give it another path"
        workdir = step.settings.workdir
        if workdir != TOP and (workdir == cache.path or workdir.startswith(f"{cache.path}/")):
            return f"the command runs in {workdir}, which is the cache {cache.name!r} or in it: give it another path"
    return None


def _as_committed(binding: Binding) -> bool:
    return binding.path is not None and binding.mount == binding.path


def _above(path: str) -> Iterable[str]:
    """The folders that a path lies in."""
    return (path[:index] for index, char in enumerate(path) if char == "/")


def shared_output(steps: Mapping[str, GraphStep]) -> tuple[str, str] | None:
    """The step of the file, and what to say, where values make one path of two that are written differently; else None.

    One path of several combinations of a step is none: checked out, each lies in a folder named by its label.
    """
    owners: dict[str, str] = {}  # path -> the step that makes it, the first combination
    for whole in (True, False):
        for step in steps.values():
            own = {output.mount for output in step.outputs}  # metrics may lie in a directory of the same step
            for path in dict.fromkeys(output.mount for output in step.outputs):
                if path.startswith(OUT + "/"):
                    continue
                if whole:
                    other = owners.setdefault(path, step.name)
                    other = step.name if steps[other].base == step.base else other
                else:
                    other = next((owners[at] for at in _above(path) if at in owners and at not in own), step.name)
                if other != step.name:
                    return step.base, f"{other!r} and {step.name!r} both make {path!r}"
    return None


def output_in_input(steps: Mapping[str, GraphStep], inputs: Mapping[str, str]) -> tuple[str, str] | None:
    """Likewise of an output and an input of the commit, of the pipeline or of a step, that are or lie in one another.

    As `validate` checks it, with the values in place, for the outputs of modules and the inputs of steps too.
    """
    places = {path: name for name, path in inputs.items()}
    for step in steps.values():
        for binding in step.inputs:
            if binding.path is not None:
                places.setdefault(binding.path, binding.name)
    within: dict[str, str] = {}  # a folder -> the path of an input below it
    for path in places:
        for folder in _above(path):
            within.setdefault(folder, path)
    for step in steps.values():
        for output in step.outputs:
            if output.mount.startswith(OUT + "/"):
                continue
            for met in (output.mount, within.get(output.mount), *_above(output.mount)):
                if met is not None and met in places:
                    return step.base, overlap(step.name, output.name, output.mount, places[met], met)
    return None
