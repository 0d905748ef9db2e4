"""Graph: a Pipeline with its parameters bound and matrices spread out; everything of a step's Action but the content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gitml.core.config.project import HOST
from gitml.core.language.diagnostics import nearest
from gitml.core.model.action import ALONE, ActionOutput, Scalar
from gitml.core.model.guarantees import FULL, Network
from gitml.core.model.resources import ONE_CPU, Resources
from gitml.errors import InputError


class Binding(NamedTuple):
    """What fills one input: a path of the commit, or the output `port` of the step `step` (its name in the Graph).

    `kind` is file or directory where a module asks for one of them, else empty.
    """

    name: str
    mount: str
    path: str | None
    step: str | None = None
    port: str = ""
    kind: str = ""


class GraphStep(NamedTuple):
    """One step to be decided and perhaps performed. `name` is unique (``train`` or ``train[svm]``), `base` as in the file.

    `module` is the Git id of the tree of the module that it uses; its code and environment are there. `target` is where the
    pipeline wants it to run, empty when it does not say; `gang` is (nodes, processes on each). `secrets` are the secret
    parameters that it uses, with their seals.
    """

    name: str
    base: str
    label: str
    argv: tuple[str, ...]
    shell: str | None
    params: tuple[tuple[str, Scalar], ...]
    inputs: tuple[Binding, ...]
    outputs: tuple[ActionOutput, ...]
    env: tuple[tuple[str, str | None], ...]
    code: tuple[str, ...]
    parents: tuple[str, ...]
    environment: str = HOST
    reuse: bool = True
    strict: bool = False
    retries: int = 0
    timeout: float | None = None
    resources: Resources = ONE_CPU
    module: str | None = None
    target: str = ""
    gang: tuple[int, int] = ALONE
    network: Network = FULL
    secrets: tuple[tuple[str, str], ...] = ()


class Graph(NamedTuple):
    """Steps by name, each after all it waits for."""

    pipeline: str
    path: str
    experiment: str
    params: Mapping[str, Scalar]
    steps: Mapping[str, GraphStep]

    def select(self, wanted: Iterable[str]) -> list[str]:
        """The named steps (``train`` means all its combinations) and all they need, in order; InputError for unknown."""
        names: set[str] = set()
        stack: list[str] = []
        for name in wanted:
            found = [step.name for step in self.steps.values() if name in (step.name, step.base)]
            if not found:
                known = dict.fromkeys([*(step.base for step in self.steps.values()), *self.steps])
                raise InputError(f"no step {name!r} in pipeline {self.pipeline!r}{nearest(name, known)}")
            stack.extend(found)
        while stack:
            name = stack.pop()
            if name not in names:
                names.add(name)
                stack.extend(self.steps[name].parents)
        return [name for name in self.steps if name in names]
