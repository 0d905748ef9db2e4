"""`gitml plots`: the plots of runs in the terminal, as SVG and PNG, and on a page of HTML."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gitml.cli.options import bundle
from gitml.cli.session import DefaultGroup, Session, verb
from gitml.cli.text.terminal import safe, wants_colour

if TYPE_CHECKING:
    from gitml.core.records.record import Run
    from gitml.history.files.plots import PlotGroup, StepPlot
    from gitml.workspace import Workspace

_HEIGHT = 20  # lines of a chart
_WIDEST = 100
_NARROWEST = 40
_LISTED = 3  # pictures of a group that are named in the terminal
_ODD = re.compile(r"[^A-Za-z0-9._=,+-]")


class PlotFiles(NamedTuple):
    """Where plots are written, instead of the terminal."""

    svg: str | None
    png: str | None
    html: str | None


_pipeline_option = click.option(
    "-p", "--pipeline", metavar="NAME", help="The pipeline, where a revision was run with several."
)
_files = bundle(
    "files",
    PlotFiles,
    click.option("--svg", metavar="DIR", help="Write each plot as SVG into this folder."),
    click.option("--png", metavar="DIR", help="Write each plot as PNG into this folder."),
    click.option("--html", metavar="FILE", help="Write all plots on one page, which needs no other file."),
)


@click.group("plots", cls=DefaultGroup, default="show")
def plots() -> None:
    """Draw the plots of runs: in the terminal, as pictures, or on a page."""


@verb("show", of=plots, json=True)
@click.argument("words", metavar="[RUN] [NAME]...", nargs=-1)
@_pipeline_option
@_files
def show_plots(session: Session, words: tuple[str, ...], pipeline: str | None, files: PlotFiles) -> None:
    """Draw the plots of a run. RUN is the beginning of a run's id or a Git revision (its newest run); without it, the newest run.

    NAME is a port, a step, or `step.port`. A first word that names neither a run nor a revision is a NAME.
    """
    run, names = _run_and_names(session.recovered_ws, words, pipeline)
    _draw(session, [run], names, files)


@verb("diff", of=plots, json=True)
@click.argument("sides", metavar="[A..B | RUN...]", nargs=-1)
@click.option("--plot", "names", metavar="NAME", multiple=True, help="Only this plot; may be repeated.")
@_pipeline_option
@_files
def compare_plots(
    session: Session, sides: tuple[str, ...], names: tuple[str, ...], pipeline: str | None, files: PlotFiles
) -> None:
    """Draw each plot of several runs in one chart: runs, or Git revisions (their newest runs).

    Without A..B or RUN the two newest runs of one pipeline are compared.
    """
    from gitml.history.compare import run_pair
    from gitml.history.runs import run_or_rev

    ws = session.recovered_ws
    if len(sides) < 2:
        runs = list(run_pair(ws, sides[0] if sides else None, pipeline))
    else:
        runs = [run_or_rev(ws, side, pipeline) for side in sides]
    _draw(session, list({run.id: run for run in runs}.values()), names, files)


def _run_and_names(ws: Workspace, words: Sequence[str], pipeline: str | None) -> tuple[Run, Sequence[str]]:
    from gitml.errors import InputError
    from gitml.history.files.plots import has_plot
    from gitml.history.runs import LATEST, run_or_rev

    if not words:
        return run_or_rev(ws, LATEST, pipeline), ()
    try:
        return run_or_rev(ws, words[0], pipeline), words[1:]
    except InputError as error:
        try:
            newest = run_or_rev(ws, LATEST, pipeline)
        except InputError:
            raise error from None
        if has_plot(newest, words[0]):
            return newest, words
        raise


def _draw(session: Session, runs: Sequence[Run], names: Sequence[str], files: PlotFiles) -> None:
    from gitml.history.files.plots import grouped, named_plots, plots_of

    ws = session.ws
    several = len(runs) > 1
    found = [(run.id[:8] if several else "", plot) for run in runs for plot in plots_of(ws, run)]
    kept = {id(plot) for plot in named_plots([plot for _, plot in found], names)}
    groups = grouped(ws, [(label, plot) for label, plot in found if id(plot) in kept])
    shown = ", ".join(f"run {run.id[:8]} ({safe(run.pipeline)} at {run.commit[:8]})" for run in runs)
    written = _write(ws, groups, runs, files)
    if session.json:
        session.show_json({"runs": [run.id for run in runs], "plots": [_as_json(one) for one in groups], **written})
        return
    if not groups:
        session.note(f"no plots in {shown}")
        return
    session.remark(shown)
    if any(files):
        session.show(*(safe(path) for path in written["files"]))
        for group in groups:
            session.note(*(f"{safe(group.name)}: {safe(note)}" for note in group.notes))
        return
    for group in groups:
        session.show(*_lines(group))


def _lines(group: PlotGroup) -> list[str]:
    """A plot in the terminal."""
    lines = []
    if group.overlay is not None:
        from gitml.history.charts.terminal import text_of

        wide = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))
        lines += text_of(group.overlay, wide, _HEIGHT, coloured=wants_colour(sys.stdout))
    for label, _ in group.pictures[:_LISTED]:
        lines.append(
            f"{safe(group.name)}: {f'{safe(label)} ' if label else ''}a picture; --svg, --png or --html writes it"
        )
    if len(group.pictures) > _LISTED:
        lines.append(f"{safe(group.name)}: {len(group.pictures) - _LISTED} more pictures; --html shows all in a grid")
    lines += [f"{safe(group.name)}: {safe(note)}" for note in group.notes]
    return lines


def _as_json(group: PlotGroup) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": group.name}
    if group.overlay is not None:
        overlay = group.overlay
        shown |= {"title": overlay.title, "template": overlay.template, "x": overlay.x_name, "y": overlay.y_name}
    shown["of"] = [_one_as_json(label, plot) for label, plot in group.plots]
    return shown


def _one_as_json(label: str, plot: StepPlot) -> dict[str, Any]:
    shown: dict[str, Any] = {"step": plot.step, "port": plot.ref.name, "digest": plot.ref.digest}
    if plot.file:
        shown["file"] = plot.file
    if label:
        shown["run"] = label
    if plot.plot is None:
        return {**shown, "why": plot.why}
    if plot.plot.labels:
        shown["labels"] = list(plot.plot.labels)
    if plot.plot.confusion is not None:
        return {**shown, "confusion": plot.plot.confusion._asdict()}
    return {**shown, "series": [series._asdict() for series in plot.plot.series]}


def _write(ws: Workspace, groups: Sequence[PlotGroup], runs: Sequence[Run], files: PlotFiles) -> dict[str, list[str]]:
    """Writes the files that are asked for; `files` with their places, where there are any."""
    if not any(files) or not groups:
        return {"files": []} if any(files) else {}
    from gitml.history.charts.figures import png_of, svg_of
    from gitml.history.files import contents
    from gitml.history.files.plots import picture_in

    made: dict[str, bytes] = {}
    for folder, ending, drawn in ((files.svg, "svg", svg_of), (files.png, "png", png_of)):
        if folder is None:
            continue
        for group in groups:
            if group.overlay is not None:
                _add(made, folder, group.name, ending, drawn(group.overlay))
            for label, plot in group.pictures:
                picture = picture_in(ws, plot)
                if picture is not None:
                    name = f"{group.name}-{label}" if label else group.name
                    _add(made, folder, name, picture.format.lower(), contents.read(ws, plot.ref.digest))
    if files.html is not None:
        made[files.html] = _page(ws, groups, runs)
    for path, content in made.items():
        _put(path, content)
    return {"files": list(made)}


def _add(made: dict[str, bytes], folder: str, name: str, ending: str, content: bytes) -> None:
    """Adds a file to those that are to be written, under a name that no other has."""
    stem = _ODD.sub("_", name).lstrip(".-")[:100] or "plot"
    path, number = os.path.join(folder, f"{stem}.{ending}"), 1
    while path in made:
        number += 1
        path = os.path.join(folder, f"{stem}-{number}.{ending}")
    made[path] = content


def _page(ws: Workspace, groups: Sequence[PlotGroup], runs: Sequence[Run]) -> bytes:
    from gitml.history.charts.figures import svg_of
    from gitml.history.charts.page import PagePicture, PagePlot, page_of
    from gitml.history.files import contents
    from gitml.history.files.plots import picture_in

    shown = []
    for group in groups:
        pictures = [
            PagePicture(picture.format, contents.read(ws, plot.ref.digest), label or group.name)
            for label, plot in group.pictures
            if (picture := picture_in(ws, plot)) is not None
        ]
        chart = svg_of(group.overlay) if group.overlay is not None else None
        shown.append(PagePlot(group.title or group.name, chart, pictures, group.notes))
    about = [f"run {run.id}: {run.pipeline} at {run.commit[:12]}, {run.status}" for run in runs]
    return page_of(f"Plots of {runs[-1].pipeline}", about, shown)


def _put(path: str, content: bytes) -> None:
    """Writes a file, whole or not at all."""
    from gitml.errors import Guard

    part = f"{path}.{os.getpid()}.part"
    with Guard(path, "it can't be written"):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        try:
            with open(part, "wb") as file:
                file.write(content)
            os.replace(part, path)
        except BaseException:
            if os.path.exists(part):
                os.unlink(part)
            raise
