"""One step of a run in full: what its Action was, where its inputs come from, what environment it had."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from gitml.core.action import Action, ActionInput
from gitml.core.digest import Digest
from gitml.core.record import Run, StepRun
from gitml.core.result import OutputRef
from gitml.errors import GitmlError
from gitml.history import contents
from gitml.workspace import Workspace


class Input(NamedTuple):
    """An input of an Action. `size` in bytes and `made_by` (a step of the run) where they are known."""

    item: ActionInput
    size: int | None
    made_by: str | None

    @property
    def content_id(self) -> str:
        """The Git id or the Digest, without what stands before it."""
        return self.item.content.rsplit(":", 1)[-1]


class Output(NamedTuple):
    """An output, where the step wrote it (None: not recorded), and whether its bytes are on this machine."""

    ref: OutputRef
    mount: str | None
    here: bool


class Detail(NamedTuple):
    """A step of a run: its Action where one is recorded, and what belongs to it."""

    step: StepRun
    action: Action | None
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    environment: Mapping[str, Any] | None


def detail(ws: Workspace, run: Run, step: StepRun) -> Detail:
    """What is known of a step of a run."""
    action = ws.index.action(step.key) if step.key is not None else None
    made: dict[str, tuple[str, int]] = {
        output.digest: (other.name, output.size) for other in run.steps for output in other.outputs
    }
    inputs = tuple(_input(ws, item, made) for item in action.inputs) if action is not None else ()
    mounts = {output.name: output.mount for output in action.outputs} if action is not None else {}
    outputs = tuple(Output(ref, mounts.get(ref.name), _is_here(ws, ref)) for ref in step.outputs)
    return Detail(step, action, inputs, outputs, _environment(ws, action.environment) if action is not None else None)


def _input(ws: Workspace, item: ActionInput, made: Mapping[str, tuple[str, int]]) -> Input:
    known = made.get(item.content)
    if known is not None:
        return Input(item, known[1], known[0])
    if item.content.startswith("git:") and item.kind != "directory":
        header = ws.objects.header(item.content.rsplit(":", 1)[1])
        return Input(item, header.size if header is not None else None, None)
    return Input(item, None, None)


def _is_here(ws: Workspace, ref: OutputRef) -> bool:
    try:
        return contents.is_here(ws, ref.digest, ref.size, tree=ref.is_tree)
    except GitmlError:
        return False  # damaged counts as gone; fsck tells


def _environment(ws: Workspace, digest: Digest) -> Mapping[str, Any] | None:
    kept = ws.index.environment(digest)
    if kept is None:
        return None
    try:
        found = json.loads(kept)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
