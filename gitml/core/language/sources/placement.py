"""Where the inputs of a step lie in its sandbox, and that none lies on another or in an output of the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gitml.core.model.action import ActionOutput
from gitml.core.model.graph import OUT, Binding


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


def _as_committed(binding: Binding) -> bool:
    return binding.path is not None and binding.mount == binding.path


def _above(path: str) -> Iterable[str]:
    """The folders that a path lies in."""
    return (path[:index] for index, char in enumerate(path) if char == "/")


class CommitPlaces:
    """The inputs that come from the commit, by path, to find those that an output would lie in or on."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._within: dict[str, str] = {}  # a folder -> the path of an input below it
        for path in names:
            for folder in _above(path):
                self._within.setdefault(folder, path)

    def met_by(self, output: str) -> tuple[str, str] | None:
        """Name and path of an input that a clean path is the same as, lies in, or holds."""
        for path in (output, self._within.get(output), *_above(output)):
            if path is not None and path in self._names:
                return self._names[path], path
        return None
