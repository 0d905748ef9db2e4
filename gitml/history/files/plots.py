"""The plots of a run: outputs of the kind ``plot``, those whose files are tables as curves, and directories of pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gitml.core.kinds.port_kinds import PORT_KINDS
from gitml.core.language.diagnostics import nearest
from gitml.core.model.result import OutputRef
from gitml.core.records.record import Run
from gitml.core.text.image_header import Picture, picture_of
from gitml.core.text.plot_data import Plot, parse_plot
from gitml.core.text.plot_options import AS_IT_IS, IMAGES, PlotOptions
from gitml.core.text.plot_overlay import Overlay, overlay_of
from gitml.errors import GitmlError, InputError
from gitml.history.files import contents
from gitml.workspace import Workspace

_HEAD = 1 << 16  # bytes by which a picture is known
LARGEST = 16 * 2**20  # bytes of a table that is read to be drawn
_MOST = 200  # pictures of a directory that are shown
_MOST_BYTES = 64 * 2**20  # and how large they are together
_MOST_LOOKED_AT = 5_000  # files of a directory
_DEEPEST = 20  # folders in folders


class StepPlot(NamedTuple):
    """A plot of a step. `plot` is None where it can't be drawn, and `why` the reason.

    Of a picture in a directory `ref` is that of the picture, and `file` its path in the directory.
    """

    step: str
    ref: OutputRef
    plot: Plot | None
    why: str = ""
    options: PlotOptions = AS_IT_IS
    file: str = ""

    @property
    def name(self) -> str:
        """Step and port."""
        return f"{self.step}.{self.ref.name}"

    @property
    def group(self) -> str:
        """What is shown together: pictures of all combinations of a step, where they are meant to be, else one plot."""
        is_picture = self.options.template == IMAGES and self.plot is None
        return f"{_base(self.step)}.{self.ref.name}" if is_picture else self.name


def plots_of(ws: Workspace, run: Run, step: str | None = None) -> list[StepPlot]:
    """The plots of a run, or of one step of it."""
    found: list[StepPlot] = []
    for name, ref in _refs(run):
        options = _options(run, name, ref)
        if step not in (None, name):
            continue
        if ref.is_tree:
            found += _pictures_in(ws, name, ref, options)
        else:
            found.append(_read(ws, name, ref, options))
    return found


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
    """What one plot is in one or several runs, each with what its run is called: tables as an overlay, and the others.

    Pictures have what each is called within the group; `title` is empty where none was given for them.
    """

    name: str
    plots: tuple[tuple[str, StepPlot], ...]
    overlay: Overlay | None
    pictures: tuple[tuple[str, StepPlot], ...]
    notes: tuple[str, ...]
    title: str = ""


def grouped(ws: Workspace, found: Sequence[tuple[str, StepPlot]]) -> list[PlotGroup]:
    """Plots of runs by name, in order; of each what can be drawn, what are pictures, and why others are neither."""
    groups = []
    for name in dict.fromkeys(plot.group for _, plot in found):
        mine = [(label, plot) for label, plot in found if plot.group == name]
        tables = [(label, plot.plot) for label, plot in mine if plot.plot is not None]
        overlay = overlay_of(name, tables) if tables else None
        pictures, notes = [], []
        for label, plot in mine:
            if plot.plot is not None:
                continue
            if picture_in(ws, plot) is not None:
                step = plot.step if plot.name != name else ""
                pictures.append((" ".join(filter(None, (label, step, plot.file))), plot))
            else:
                notes.append(f"{label} {plot.why}".strip())
        notes += [f"{label} is drawn otherwise" for label in (overlay.left_out if overlay else ())]
        title = pictures[-1][1].options.title if pictures else ""
        groups.append(PlotGroup(name, tuple(mine), overlay, tuple(pictures), tuple(notes), title))
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
        if (ref.kind in PORT_KINDS and PORT_KINDS[ref.kind].is_drawn)
        or (ref.is_tree and _options(run, step.name, ref).template == IMAGES)
    ]


def _options(run: Run, step: str, ref: OutputRef) -> PlotOptions:
    return run.plots.get(f"{_base(step)}.{ref.name}", AS_IT_IS)


def _pictures_in(ws: Workspace, step: str, ref: OutputRef, options: PlotOptions) -> list[StepPlot]:
    """The pictures of a directory in the order of their paths, as many as are shown; what is left out is one that says so."""
    found: list[StepPlot] = []
    looked, size, why = 0, 0, ""
    waiting = [("", ref.digest, 0)]
    try:
        while waiting and not why:
            folder, digest, deep = waiting.pop()
            below = []
            for entry in contents.listing(ws, digest):
                path = folder + os.fsdecode(entry.name)
                looked += 1
                if looked > _MOST_LOOKED_AT or len(found) >= _MOST or size > _MOST_BYTES:
                    why = f"only the first {len(found)} pictures are shown"
                    break
                if entry.kind == "d" and deep < _DEEPEST:
                    below.append((f"{path}/", entry.digest, deep + 1))
                elif entry.kind in ("f", "x"):
                    one = StepPlot(step, OutputRef(ref.name, "file", entry.digest, entry.size), None, "", options, path)
                    if picture_in(ws, one) is not None:
                        found.append(one)
                        size += entry.size
            waiting += below[::-1]
    except (GitmlError, OSError) as error:
        why = error.message if isinstance(error, GitmlError) else str(error)
    if not found and not why:
        why = "no picture in the directory"
    return [*found, StepPlot(step, ref, None, why, options)] if why else found


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
