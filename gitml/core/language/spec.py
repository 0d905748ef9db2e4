"""Pipeline: what a pipeline file says, checked and typed, with nothing resolved against a commit yet."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gitml.core.language.expression import Template
from gitml.core.language.params import Param, text_of
from gitml.core.model.action import Scalar
from gitml.core.model.guarantees import Network
from gitml.core.model.resources import Resources
from gitml.core.model.step_settings import USUAL, StepSettings

Axes = tuple[tuple[str, tuple[Scalar, ...]], ...]
"""The axes of a matrix by name, each with its values."""


class Port(NamedTuple):
    """An output port. `path` is where the file belongs in the repository's layout; empty: below ``.gitml/out``."""

    name: str
    kind: str
    path: Template = ()


class Position(NamedTuple):
    """Where something stands in its file; both count from 1."""

    line: int
    column: int


class Use(NamedTuple):
    """The use of a module: `module` as written (``name@requirement``), what its inputs are bound to, its parameters' values.

    `own_resources`: the step asks for resources itself, else the module does.
    """

    module: str
    inputs: tuple[tuple[str, Template], ...]
    params: tuple[tuple[str, Scalar | Template], ...]
    own_resources: bool = False


class InputPort(Protocol):
    """An input port of a module."""

    @property
    def kind(self) -> str:
        """One of PORT_KINDS."""

    @property
    def optional(self) -> bool:
        """Whether it may be left unbound."""


class Module(Protocol):
    """What a pipeline must know of a module. Paths and expressions are the module's own."""

    @property
    def words(self) -> tuple[Template, ...]:
        """The command: one Template a word, or with `shell` the one script."""

    @property
    def shell(self) -> str | None:
        """As of a step."""

    @property
    def inputs(self) -> Mapping[str, InputPort]:
        """Input ports by name."""

    @property
    def outputs(self) -> tuple[Port, ...]:
        """Output ports."""

    @property
    def params(self) -> Mapping[str, Param]:
        """Parameters by name."""

    @property
    def env(self) -> tuple[tuple[str, Template | None], ...]:
        """Declared environment variables."""

    @property
    def environment(self) -> str:
        """``host`` or a requirements file in the module."""

    @property
    def resources(self) -> Resources:
        """What it asks of a machine."""

    @property
    def strict(self) -> bool:
        """Whether it wants a strict sandbox wherever it is used."""

    @property
    def network(self) -> Network:
        """The most of the network that it sees wherever it is used."""


class ResolvedModule(NamedTuple):
    """A module that a use means: the Git id of the tree that holds it, and what it says."""

    content: str
    spec: Module


@dataclass(frozen=True, slots=True)
class Step:
    """One step as written. `words` is the command: one Template a word, or with `shell` the one script.

    `kind` is its key in STEP_KINDS. A step that uses a module has a `use` and neither command nor outputs of its own.
    """

    name: str
    place: Position
    words: tuple[Template, ...]
    shell: str | None = None
    outputs: tuple[Port, ...] = ()
    after: tuple[str, ...] = ()
    code: tuple[Template, ...] = ()
    env: tuple[tuple[str, Template | None], ...] = ()
    settings: StepSettings = USUAL
    matrix: Axes = ()
    help: str = ""
    use: Use | None = None
    kind: str = "run"

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


def combinations(axes: Axes) -> list[tuple[Scalar, ...]]:
    """Every choice of one value an axis, the last axis changing fastest; ``[()]`` without axes."""
    return list(itertools.product(*(values for _, values in axes)))


def label_of(values: Sequence[Scalar]) -> str:
    """The name of a combination within its step: ``svm`` or ``svm,0.1``."""
    return ",".join(text_of(value) for value in values)
