"""Pipeline: what a pipeline file says, checked and typed, with nothing resolved against a commit yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from gitml.core.language.expression import Template
from gitml.core.language.params import Param
from gitml.core.language.yaml_document import Node
from gitml.core.model.action import Scalar
from gitml.core.model.step_settings import USUAL, StepSettings
from gitml.core.parameters.config_file import ConfigFile
from gitml.core.parameters.matrix import Matrix
from gitml.core.parameters.value_path import Path


class Port(NamedTuple):
    """An output port. `path` is where the file belongs in the repository's layout; empty: below ``.gitml/out``.

    `options` are those of `ActionOutput`; `shown` are those that change only how it is shown. With a `pattern` it is what matches
    one of these when the step has ended.
    """

    name: str
    kind: str
    path: Template = ()
    options: tuple[tuple[str, Any], ...] = ()
    shown: tuple[tuple[str, Any], ...] = ()
    pattern: tuple[Template, ...] = ()


class StepInput(NamedTuple):
    """An input that a step, or the pipeline, declares by itself.

    `source` is one expression of what a step made, with a path in it or a pattern behind it, or of an input of the pipeline, or a
    path of the commit.

    `path` is where it lies in the sandbox; empty: at the path that the source has. One that is optional may be missing.
    """

    name: str
    source: Template
    path: Template = ()
    optional: bool = False


class NotebookUse(NamedTuple):
    """What the notebook of a step is given, by name: values, and Templates that stand for some."""

    params: tuple[tuple[str, Scalar | Template], ...] = ()


class Use(NamedTuple):
    """The use of a module: `module` as written (``name@requirement``), what its inputs are bound to, its parameters' values.

    `own_resources`: the step asks for resources itself, else the module does.
    """

    module: str
    inputs: tuple[tuple[str, Template], ...]
    params: tuple[tuple[str, Scalar | Template], ...]
    own_resources: bool = False


class NamedOutput(NamedTuple):
    """An output of a step that the pipeline names as ``STEP.PORT``, at its place in the file."""

    step: str
    port: str
    place: Node


class ModuleInput(NamedTuple):
    """An input port of a module; one that is optional may be left unbound."""

    name: str
    kind: str
    optional: bool = False
    help: str = ""


class ModuleSpec(NamedTuple):
    """A module as its `module.yaml` describes it. Paths are relative to the module's folder, expressions are the module's own.

    `words` is the command: one Template a word, or with `shell` the one script, over inputs, outputs and params. Of the
    `settings` it has environment and resources, and the laxest sandbox and network under which it may be used.
    """

    name: str
    words: tuple[Template, ...]
    shell: str | None = None
    inputs: Mapping[str, ModuleInput] = {}
    outputs: tuple[Port, ...] = ()
    params: Mapping[str, Param] = {}
    code: tuple[Template, ...] = ()
    env: tuple[tuple[str, Template | None], ...] = ()
    settings: StepSettings = USUAL
    version: str | None = None
    description: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()


class ResolvedModule(NamedTuple):
    """A module that a use means: the Git id of the tree that holds it, and what it says."""

    content: str
    spec: ModuleSpec


@dataclass(frozen=True, slots=True)
class Step:
    """One step as written. `words` is the command: one Template a word, or with `shell` the one script.

    `place` is its name in the file. A step that uses a module has a `use` and neither command nor outputs of its own. `reads`
    are the parameters, or parts of them, that its program reads by itself; with ``*`` among them, all that config files hold.
    One that executes a `notebook` has the words of `core.kinds.notebook_kind`.
    """

    name: str
    place: Node
    words: tuple[Template, ...]
    shell: str | None = None
    outputs: tuple[Port, ...] = ()
    inputs: tuple[StepInput, ...] = ()
    after: tuple[str, ...] = ()
    code: tuple[Template, ...] = ()
    env: tuple[tuple[str, Template | None], ...] = ()
    settings: StepSettings = USUAL
    matrix: Matrix | None = None
    help: str = ""
    use: Use | None = None
    reads: tuple[Path, ...] = ()
    notebook: NotebookUse | None = None

    def port(self, name: str) -> Port | None:
        """The output port of that name."""
        return next((port for port in self.outputs if port.name == name), None)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline file. `inputs` are paths in the commit by name; one that is optional need not be there.

    `checkout` are the outputs that a run puts into the work tree where it is asked to; empty: all that have a path. `config` are
    its config files.
    """

    name: str
    path: str
    params: Mapping[str, Param]
    inputs: Mapping[str, StepInput]
    steps: Mapping[str, Step]
    help: str = ""
    experiment: str | None = None
    checkout: tuple[NamedOutput, ...] = ()
    config: tuple[ConfigFile, ...] = ()
