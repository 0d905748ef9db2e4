"""The plots of a run: outputs of the kind ``plot``, those whose files are tables as curves."""

from __future__ import annotations

from typing import NamedTuple

from gitml.core.kinds.port_kinds import PORT_KINDS
from gitml.core.model.result import OutputRef
from gitml.core.records.record import Run
from gitml.core.text.plot_data import Plot, parse_plot
from gitml.errors import GitmlError
from gitml.history.files import contents
from gitml.workspace import Workspace

LARGEST = 16 * 2**20  # bytes of a table that is read to be drawn


class StepPlot(NamedTuple):
    """A plot of a step. `plot` is None where it can't be drawn, and `why` the reason."""

    step: str
    ref: OutputRef
    plot: Plot | None
    why: str = ""

    @property
    def name(self) -> str:
        """Step and port."""
        return f"{self.step}.{self.ref.name}"


def plots_of(ws: Workspace, run: Run, step: str | None = None) -> list[StepPlot]:
    """The plots of a run, or of one step of it."""
    return [
        _read(ws, item.name, ref)
        for item in run.steps
        if step in (None, item.name)
        for ref in item.outputs
        if ref.kind in PORT_KINDS and PORT_KINDS[ref.kind].is_drawn
    ]


def _read(ws: Workspace, step: str, ref: OutputRef) -> StepPlot:
    if ref.size > LARGEST:
        return StepPlot(step, ref, None, "too large to be drawn")
    try:
        plot = parse_plot(contents.read(ws, ref.digest))
    except GitmlError as error:
        return StepPlot(step, ref, None, error.message)
    return StepPlot(step, ref, plot, "" if plot is not None else "no table of numbers")
