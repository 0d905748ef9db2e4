"""A failed attempt as hints see it: what its step has, and which other step makes what it missed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from gitml.core.model.action import Action
from gitml.core.model.graph import GraphStep


class Failed(NamedTuple):
    """A failed attempt: the step, what it was performed as, what it missed (see `TaskFinished.missing`).

    And of its pipeline the other steps, each after all it waits for, and the paths of the config files. `error` is what it
    died of.
    """

    step: GraphStep
    action: Action
    missing: Sequence[str]
    steps: Mapping[str, GraphStep] = {}
    config: Collection[str] = ()
    error: str = ""

    def has_code(self, path: str) -> bool:
        """Whether the step's code has a path, itself or in a folder that lies in its code."""
        return any(path == file.path or path.startswith(file.path + "/") for file in self.action.code)

    def has_input(self, path: str) -> bool:
        """Likewise for its inputs."""
        return any(path == item.mount or path.startswith(item.mount + "/") for item in self.action.inputs)

    def maker_of(self, path: str) -> tuple[str, str] | None:
        """Another step and its output at whose place a path lies; none that waits for the failed step."""
        waits = {self.step.name}
        for other in self.steps.values():
            if waits.intersection(other.parents):
                waits.add(other.name)
            if other.name in waits:
                continue
            for output in other.outputs:
                if path == output.mount or path.startswith(output.mount + "/"):
                    return other.name, output.name
        return None
