"""The outputs of a run of the work tree, or of its commit, put where the pipeline says: ``run --checkout``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from gitml.core.model.digest import Digest
from gitml.core.model.graph import OUT, Graph, GraphStep
from gitml.core.model.result import OutputRef
from gitml.core.records.record import Run, StepRun
from gitml.errors import InputError
from gitml.git.revisions import resolve_commit
from gitml.history.files.selector import SelectedOutput, Selection
from gitml.workspace import Workspace

_OPTION = "--checkout"
NOT_MADE = Digest("")
"""Stands for the digest of an output that is yet to be made."""


def refuse_checkout(ws: Workspace, graph: Graph, commit: str | None) -> None:
    """InputError where a run of `commit` (None: of the work tree) has no output for the work tree, or is of another commit."""
    if ws.location.worktree is None:
        raise InputError("a bare repository has no work tree", where=_OPTION, hint="gitml checkout RUN DEST")
    if commit is not None:
        head = resolve_commit(ws.objects, ws.location, "HEAD")
        if commit != head:
            what = f"this runs commit {commit[:12]}, and the work tree is at {head[:12]}"
            raise InputError(
                what, where=_OPTION, hint="git switch to it first, or gitml checkout RUN DEST after the run"
            )
    if not any(_ports(graph, step) for step in graph.steps.values()):
        raise InputError(
            f"no output of pipeline {graph.pipeline!r} has a path",
            where=_OPTION,
            hint="give one a path: in the pipeline",
        )


def placed_outputs(graph: Graph, run: Run) -> Selection:
    """The outputs of a run that belong into the work tree, each with its place."""
    found = []
    apart = _fixed(graph)
    for made in run.steps:
        step = graph.steps.get(made.name)
        if step is None:
            continue
        mounts = _ports(graph, step)
        for ref in made.outputs:
            if ref.name in mounts:
                output = SelectedOutput(run, made, ref, mounts[ref.name])
                found.append(output.apart() if (step.base, mounts[ref.name]) in apart else output)
    return Selection(run, tuple(found), None, None)


def expected_outputs(graph: Graph, planned: Mapping[str, Sequence[OutputRef] | None]) -> Selection:
    """The same of `planned` steps before the run: their outputs as far as these are known, else with an empty digest."""
    steps = []
    for name, refs in planned.items():
        if refs is None:
            refs = [OutputRef(output.name, output.kind, NOT_MADE, 0) for output in graph.steps[name].outputs]
        steps.append(StepRun(name, "skipped", "", 0.0, outputs=tuple(refs)))
    run = Run("0" * 16, graph.pipeline, graph.path, "", "running", "", 0.0, 0.0, "", "", "", steps=tuple(steps))
    return placed_outputs(graph, run)


def _ports(graph: Graph, step: GraphStep) -> dict[str, str]:
    """The outputs of a step that belong into the work tree, with their paths of the project."""
    wanted = frozenset(graph.checkout)
    return {
        output.name: output.mount
        for output in step.outputs
        if not output.mount.startswith(OUT + "/") and (not wanted or (step.base, output.name) in wanted)
    }


def _fixed(graph: Graph) -> set[tuple[str, str]]:
    """(step's base, path) of outputs that several combinations of a matrix write at one path.

    Where a list decides how many there are, also of one: the next run may have more.
    """
    counts = Counter((step.base, output.mount) for step in graph.steps.values() for output in step.outputs)
    return {place for place, count in counts.items() if count > 1 or place[0] in graph.dynamic}
