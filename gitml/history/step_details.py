"""One step of a run in full: what its Action was, where its inputs come from, what environment it had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gitml.core.model.action import Action, ActionInput
from gitml.core.model.digest import Digest
from gitml.core.model.environment import description_or_none
from gitml.core.model.graph import Binding
from gitml.core.model.result import OutputRef
from gitml.core.records.record import Run, StepRun
from gitml.errors import GitmlError
from gitml.history.files import contents
from gitml.workspace import Workspace


class DetailedInput(NamedTuple):
    """An input of an Action. `size` in bytes where it is known; `made_by` are the steps of the run that it came from.

    `made_by` is empty for a file of the commit, and has several names only where the pipeline can't be read and several
    earlier steps of the run made the same bytes.
    """

    item: ActionInput
    size: int | None
    made_by: tuple[str, ...] = ()

    @property
    def content_id(self) -> str:
        """The Git id or the Digest, without what stands before it."""
        return self.item.content.rsplit(":", 1)[-1]


class DetailedOutput(NamedTuple):
    """An output, where the step wrote it (None: not recorded), and whether its bytes are on this machine."""

    ref: OutputRef
    mount: str | None
    here: bool


class StepDetails(NamedTuple):
    """A step of a run: its Action where one is recorded, and what belongs to it."""

    step: StepRun
    action: Action | None
    inputs: tuple[DetailedInput, ...]
    outputs: tuple[DetailedOutput, ...]
    environment: Mapping[str, Any] | None


def step_details(ws: Workspace, run: Run, step: StepRun, bindings: Iterable[Binding] | None = None) -> StepDetails:
    """What is known of a step of a run; `bindings` are those of the step in the run's Graph, None where it can't be read."""
    action = ws.index.action(step.key) if step.key is not None else None
    sources = _Sources(run, step, bindings, action)
    inputs = tuple(_input(ws, item, sources) for item in action.inputs) if action is not None else ()
    mounts = {output.name: output.mount for output in action.outputs} if action is not None else {}
    outputs = tuple(DetailedOutput(ref, mounts.get(ref.name), _is_here(ws, ref)) for ref in step.outputs)
    environment = description_or_none(ws.index.environment(action.environment)) if action is not None else None
    return StepDetails(step, action, inputs, outputs, environment)


class _Sources:
    """Which step an input came from. Several steps of a run may make the same bytes, so the Graph decides, not the Digest."""

    def __init__(self, run: Run, step: StepRun, bindings: Iterable[Binding] | None, action: Action | None) -> None:
        self._action = action
        self._bound = None if bindings is None else {binding.mount: binding.step for binding in bindings}
        self._sizes = {output.digest: output.size for other in run.steps for output in other.outputs}
        self._earlier: dict[str, list[str]] = {}
        for other in run.steps:  # in the order of the plan: each after all that it needs
            if other.name == step.name:
                break
            for output in other.outputs:
                self._earlier.setdefault(output.digest, []).append(other.name)

    def size(self, item: ActionInput) -> int | None:
        return self._sizes.get(Digest(item.content))

    def steps(self, item: ActionInput) -> tuple[str, ...]:
        mount = item.mount if self._action is None else self._action.counted_from_project(item.mount)
        if self._bound is not None and mount in self._bound:
            source = self._bound[mount]
            return () if source is None else (source,)
        return tuple(dict.fromkeys(self._earlier.get(item.content, ())))


def _input(ws: Workspace, item: ActionInput, sources: _Sources) -> DetailedInput:
    if item.content.startswith("git:"):
        header = ws.objects.files.header(item.content.rsplit(":", 1)[1]) if item.kind != "directory" else None
        return DetailedInput(item, header.size if header is not None else None)
    return DetailedInput(item, sources.size(item), sources.steps(item))


def _is_here(ws: Workspace, ref: OutputRef) -> bool:
    try:
        return contents.is_here(ws, ref.digest, ref.size, tree=ref.is_tree)
    except GitmlError:
        return False  # damaged counts as gone; fsck tells
