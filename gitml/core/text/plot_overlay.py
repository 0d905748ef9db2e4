"""Plots over one another: what is drawn of one or several runs, whichever face draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gitml.core.text.plot_data import Plot, Series, histogram

Labelled = tuple[str, Plot]
"""A plot, and what its run is called; "" where there is one run."""

BARS = 40
"""Bars with names, at most; of more, those are drawn that come first."""
MATRICES = 3
"""Runs whose confusion matrices are shown beside one another."""


class Overlay(NamedTuple):
    """Plots of one template, in order. `left_out` are the names of runs whose plot is of another one, or too many."""

    name: str
    title: str
    template: str
    plots: tuple[Labelled, ...]
    left_out: tuple[str, ...] = ()

    @property
    def x_name(self) -> str:
        """The name of the axis along which they are drawn."""
        return self.plots[-1][1].x_name

    @property
    def y_name(self) -> str:
        """The name of the other axis; "" where the curves have several."""
        names = {plot.y_name for _, plot in self.plots}
        return names.pop() if len(names) == 1 else ""


class Bars(NamedTuple):
    """Groups of bars: their names, and of each curve its name and a value a group, None where it has none."""

    names: tuple[str, ...]
    values: tuple[tuple[str, tuple[float | None, ...]], ...]
    left_out: int = 0


class Shares(NamedTuple):
    """The bars of a histogram: edges, one more than there are bars, and of each curve its name and counts."""

    edges: tuple[float, ...]
    counts: tuple[tuple[str, tuple[int, ...]], ...]


def overlay_of(name: str, plots: Sequence[Labelled]) -> Overlay:
    """The plots called `name`, at least one; the last says what the template and the title are."""
    newest = plots[-1][1]
    same = [(label, plot) for label, plot in plots if plot.template == newest.template]
    kept = same[-MATRICES:] if newest.template == "confusion" else same
    left_out = tuple(label for label, plot in plots if (label, plot) not in kept)
    return Overlay(name, newest.title or name, newest.template, tuple(kept), left_out)


def curves_of(overlay: Overlay) -> list[Series]:
    """All curves, each called by its run, its column, or both, so that names differ."""
    return [
        series._replace(name=label if label and len(plot.series) == 1 else f"{label} {series.name}".strip())
        for label, plot in overlay.plots
        for series in plot.series
    ]


def bars_of(overlay: Overlay) -> Bars:
    """The groups of all plots, in the order in which they first occur."""
    groups: dict[str, None] = {}
    tables = []
    names = [curve.name for curve in curves_of(overlay)]
    for _, plot in overlay.plots:
        for series in plot.series:
            table: dict[str, float] = {}
            for x, y in zip(series.x, series.y, strict=True):
                at = int(x) - 1
                table.setdefault(plot.labels[at] if 0 <= at < len(plot.labels) else f"{x:g}", y)
            tables.append(table)
            groups.update(dict.fromkeys(table))
    shown = tuple(groups)[:BARS]
    values = [(name, tuple(map(table.get, shown))) for name, table in zip(names, tables, strict=True)]
    return Bars(shown, tuple(values), len(groups) - len(shown))


def shares_of(overlay: Overlay) -> Shares:
    """The histograms of all plots, over the same bars."""
    curves = curves_of(overlay)
    edges, counts = histogram([curve.y for curve in curves])
    return Shares(tuple(edges), tuple((curve.name, tuple(of)) for curve, of in zip(curves, counts, strict=True)))


def ticks_of(overlay: Overlay) -> tuple[tuple[int, str], ...]:
    """Names for some places of an axis that is no numbers."""
    labels = max((plot.labels for _, plot in overlay.plots), key=len)
    every = max(1, -(-len(labels) // 10))
    return tuple((at + 1, labels[at]) for at in range(0, len(labels), every))


def labels_of(overlay: Overlay) -> tuple[str, ...]:
    """The labels of all confusion matrices."""
    found: dict[str, None] = {}
    for _, plot in overlay.plots:
        if plot.confusion is not None:
            found.update(dict.fromkeys(plot.confusion.labels))
    return tuple(found)


def counts_in(plot: Plot, labels: Sequence[str]) -> list[list[float]]:
    """The counts of a plot's confusion matrix, for these labels."""
    if plot.confusion is None:
        return [[0.0] * len(labels) for _ in labels]
    at = {label: place for place, label in enumerate(plot.confusion.labels)}
    counts = plot.confusion.counts
    return [[counts[at[row]][at[column]] if row in at and column in at else 0.0 for column in labels] for row in labels]
