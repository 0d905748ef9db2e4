"""Naming outputs of a run, or what its failed steps left of them: ``RUN``, ``RUN:STEP``, ``RUN:STEP.PORT``."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import NamedTuple

from gitml.core.language.diagnostics import nearest
from gitml.core.model.graph import OUT
from gitml.core.model.paths import problem_with_output
from gitml.core.model.result import OutputRef
from gitml.core.records.record import Run, StepRun
from gitml.errors import InputError
from gitml.history.runs import find_run
from gitml.workspace import Workspace


class SelectedOutput(NamedTuple):
    """One output of a step in a run. `mount` is where the step wrote it, None when no record has that.

    `folder` keeps apart what combinations of a matrix wrote at one place: it lies between that and its folder.
    """

    run: Run
    step: StepRun
    ref: OutputRef
    mount: str | None
    folder: str = ""

    @property
    def file_name(self) -> str:
        """The last name of where it was written, else the port's."""
        if self.mount is None or problem_with_output(self.mount) is not None:
            return self.ref.name
        return posixpath.basename(self.mount)

    @property
    def place(self) -> str | None:
        """The path that the pipeline gives it in the repository; None when it gives none."""
        if self.mount is None or self.mount.startswith(OUT + "/"):
            return None
        above, name = posixpath.split(self.mount)
        return posixpath.join(above, self.folder, name)

    def apart(self) -> SelectedOutput:
        """The same, in a folder named by the combination of its step."""
        return self._replace(folder=folder_name(self.step.name.partition("[")[2].removesuffix("]")))


def folder_name(name: str) -> str:
    """The name of a step, or of a combination, as that of one folder."""
    name = name.replace("/", "_").replace("\0", "_")
    return f"_{name}" if name in (".", "..") else name


class Selection(NamedTuple):
    """Outputs asked for; `step` and `port` when one was named; `failed` when they are what failed attempts left."""

    run: Run
    outputs: tuple[SelectedOutput, ...]
    step: str | None
    port: str | None
    failed: bool = False


def select(ws: Workspace, text: str, *, failed: bool = False) -> Selection:
    """The outputs that `text` names, or what `failed` attempts left of them.

    InputError for an unknown run, step or port, and where there are none.
    """
    name, colon, rest = text.partition(":")
    run = find_run(ws, name).run
    if not colon:
        found = [output for step in run.steps for output in outputs_of(ws, run, step, failed=failed)]
        if not found:
            what = "no failed attempt of run {} left outputs" if failed else "run {} made no outputs"
            hint = _what_is_left(run.steps) or f"gitml show {run.id[:8]}"
            raise InputError(what.format(run.id[:8]), hint=hint)
        return Selection(run, tuple(found), None, None, failed)
    steps, port = _steps(run, rest)
    outputs = [output for step in steps for output in outputs_of(ws, run, step, failed=failed)]
    left = None if failed else _what_is_left(steps)
    if port is not None:
        ports = dict.fromkeys(output.ref.name for output in outputs)
        outputs = [output for output in outputs if output.ref.name == port]
        if not outputs:
            what = f"step {steps[0].name!r} of run {run.id[:8]}"
            if failed:
                raise InputError(f"no failed attempt of {what} left an output {port!r}{nearest(port, ports)}")
            raise InputError(f"{what} has no output {port!r}{nearest(port, ports)}", hint=left)
    if not outputs:
        outcome = steps[0].outcome
        if failed:
            raise InputError(f"no failed attempt of step {rest!r} of run {run.id[:8]} left outputs: it was {outcome}")
        raise InputError(f"step {rest!r} of run {run.id[:8]} has no outputs: it was {outcome}", hint=left)
    return Selection(run, tuple(outputs), rest if port is None else rest.rpartition(".")[0], port, failed)


def _what_is_left(steps: Sequence[StepRun]) -> str | None:
    """How to have what failed attempts of steps left, None when they left nothing."""
    return "what its failed attempts left of them: --failed" if any(step.partial() for step in steps) else None


def outputs_of(ws: Workspace, run: Run, step: StepRun, *, failed: bool = False) -> list[SelectedOutput]:
    """The outputs of one step, or what its failed attempts left of them."""
    refs = tuple(step.partial().values()) if failed else step.outputs
    if not refs:
        return []
    action = ws.index.action(step.key) if step.key is not None else None
    outputs = action.outputs if action is not None else ()
    mounts = {output.name: action.counted_from_project(output.mount) for output in outputs if action is not None}
    return [SelectedOutput(run, step, ref, mounts.get(ref.name)) for ref in refs]


def _steps(run: Run, text: str) -> tuple[list[StepRun], str | None]:
    """The steps named (a name without its label means all combinations) and the port, if one is."""
    named = _named(run, text)
    if named:
        return named, None
    name, dot, port = text.rpartition(".")
    named = _named(run, name) if dot else []
    if named:
        return named, port
    known = [step.name for step in run.steps]
    raise InputError(f"run {run.id[:8]} has no step {(name or text)!r}{nearest(name or text, known)}")


def _named(run: Run, name: str) -> list[StepRun]:
    return [step for step in run.steps if name in (step.name, step.name.partition("[")[0])]
