"""Pipeline: what a pipeline file says, checked and typed, with nothing resolved against a commit yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gitml.core.action import Scalar
from gitml.core.config import HOST
from gitml.core.expression import Template
from gitml.core.params import Param
from gitml.core.resources import Resources

class Port(NamedTuple):
    """An output port. `path` is where the file belongs in the repository's layout; empty: below ``.gitml/out``."""

    name: str
    kind: str
    path: Template = ()


class Place(NamedTuple):
    """Where something stands in its file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step as written. `words` is the command: one Template a word, or with `shell` the one script."""

    name: str
    place: Place
    words: tuple[Template, ...]
    shell: str | None = None
    outputs: tuple[Port, ...] = ()
    after: tuple[str, ...] = ()
    code: tuple[Template, ...] = ()
    env: tuple[tuple[str, Template | None], ...] = ()
    environment: str = HOST
    retries: int = 0
    timeout: float | None = None
    reuse: bool = True
    strict: bool = False
    resources: Resources = field(default_factory=Resources)
    matrix: tuple[tuple[str, tuple[Scalar, ...]], ...] = ()
    help: str = ""

    def port(self, name: str) -> Port | None:
        """The output port of that name."""
        for port in self.outputs:
            if port.name == name:
                return port
        return None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline file. `inputs` maps a name to a path in the commit (a Template over params)."""

    name: str
    path: str
    params: Mapping[str, Param]
    inputs: Mapping[str, Template]
    steps: Mapping[str, Step]
    help: str = ""
    experiment: str | None = None
