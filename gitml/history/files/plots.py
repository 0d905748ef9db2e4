"""The plots of a run: outputs of the kind ``plot``, those whose files are tables as curves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gitml.core.kinds.port_kinds import PORT_KINDS
from gitml.core.language.diagnostics import nearest
from gitml.core.model.result import OutputRef
from gitml.core.records.record import Run
from gitml.core.text.image_header import Picture, picture_of
from gitml.core.text.plot_data import Plot, parse_plot
from gitml.core.text.plot_options import AS_IT_IS, PlotOptions
from gitml.core.text.plot_overlay import Overlay, overlay_of
from gitml.errors import GitmlError, InputError
from gitml.history.files import contents
from gitml.workspace import Workspace

_HEAD = 1 << 16  # bytes by which a picture is known
LARGEST = 16 * 2**20  # bytes of a table that is read to be drawn


class StepPlot(NamedTuple):
    """A plot of a step. `plot` is None where it can't be drawn, and `why` the reason."""

    step: str
    ref: OutputRef
    plot: Plot | None
    why: str = ""
    options: PlotOptions = AS_IT_IS

    @property
    def name(self) -> str:
        """Step and port."""
        return f"{self.step}.{self.ref.name}"


def plots_of(ws: Workspace, run: Run, step: str | None = None) -> list[StepPlot]:
    """The plots of a run, or of one step of it."""
    return [
        _read(ws, name, ref, run.plots.get(f"{_base(name)}.{ref.name}", AS_IT_IS))
        for name, ref in _refs(run)
        if step in (None, name)
    ]


def named_plots(found: Sequence[StepPlot], names: Iterable[str]) -> list[StepPlot]:
    """Those plots that are called so: by port, by step and port, or by the step of all combinations and port.

    All of them where there are no names; InputError for a name that none has.
    """
    wanted = list(names)
    for name in wanted:
        if not any(name in _names_of(plot) for plot in found):
            known = [plot.name for plot in found]
            raise InputError(f"no plot {name[:80]!r}{nearest(name, known)}", hint="`gitml show` lists the outputs")
    return [plot for plot in found if not wanted or _names_of(plot) & set(wanted)]


class PlotGroup(NamedTuple):
    """What one plot is in one or several runs, each with what its run is called: tables as an overlay, and the others."""

    name: str
    plots: tuple[tuple[str, StepPlot], ...]
    overlay: Overlay | None
    pictures: tuple[tuple[str, StepPlot], ...]
    notes: tuple[str, ...]


def grouped(ws: Workspace, found: Sequence[tuple[str, StepPlot]]) -> list[PlotGroup]:
    """Plots of runs by name, in order; of each what can be drawn, what are pictures, and why others are neither."""
    groups = []
    for name in dict.fromkeys(plot.name for _, plot in found):
        mine = [(label, plot) for label, plot in found if plot.name == name]
        tables = [(label, plot.plot) for label, plot in mine if plot.plot is not None]
        overlay = overlay_of(name, tables) if tables else None
        pictures, notes = [], []
        for label, plot in mine:
            if plot.plot is not None:
                continue
            if picture_in(ws, plot) is not None:
                pictures.append((label, plot))
            else:
                notes.append(f"{label} {plot.why}".strip())
        notes += [f"{label} is drawn otherwise" for label in (overlay.left_out if overlay else ())]
        groups.append(PlotGroup(name, tuple(mine), overlay, tuple(pictures), tuple(notes)))
    return groups


def picture_in(ws: Workspace, plot: StepPlot) -> Picture | None:
    """The picture that a plot is; None for what is no picture, or is not here."""
    if plot.ref.size > LARGEST:
        return None
    try:
        return picture_of(contents.piece(ws, plot.ref.digest, 0, _HEAD))
    except (GitmlError, OSError):
        return None


def has_plot(run: Run, name: str) -> bool:
    """Whether a plot of the run is called so."""
    return any(name in _names(step, ref) for step, ref in _refs(run))


def _names_of(plot: StepPlot) -> set[str]:
    return _names(plot.step, plot.ref)


def _names(step: str, ref: OutputRef) -> set[str]:
    return {ref.name, f"{step}.{ref.name}", step, _base(step), f"{_base(step)}.{ref.name}"}


def _refs(run: Run) -> list[tuple[str, OutputRef]]:
    return [
        (step.name, ref)
        for step in run.steps
        for ref in step.outputs
        if ref.kind in PORT_KINDS and PORT_KINDS[ref.kind].is_drawn
    ]


def _base(step: str) -> str:
    return step.partition("[")[0]


def _read(ws: Workspace, step: str, ref: OutputRef, options: PlotOptions) -> StepPlot:
    if ref.size > LARGEST:
        return StepPlot(step, ref, None, "too large to be drawn", options)
    try:
        content = contents.read(ws, ref.digest)
        plot = parse_plot(content, options)
    except GitmlError as error:
        hint = f": {error.hint}" if isinstance(error, InputError) and error.hint else ""
        return StepPlot(step, ref, None, f"{error.message}{hint}", options)
    if plot is None and content[:_HEAD].lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return StepPlot(step, ref, None, "a page of HTML: `gitml checkout` writes it", options)
    return StepPlot(step, ref, plot, "" if plot is not None else "no table of numbers", options)
