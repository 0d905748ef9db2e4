"""Curves drawn with characters, several runs over one another; every curve has a sign of its own beside its colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual_plotext import PlotextPlot

from gitml.core.text.plot_data import Plot
from gitml.tui.text import plain

_MARKERS = ("braille", "*", "o", "+", "x", "^")
_COLOURS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (213, 94, 0), (150, 150, 150))


class LabelledPlot(NamedTuple):
    """A plot and what its curves are to be called; nothing when there is only one."""

    label: str
    plot: Plot


class Chart(PlotextPlot):
    """One chart."""

    DEFAULT_CSS = """
    Chart {
        height: 1fr;
        background: $surface;
    }
    """

    def draw(self, title: str, curves: Sequence[LabelledPlot]) -> None:
        """Draws curves over one another."""
        plt = self.plt
        plt.clear_figure()
        plt.title(plain(title))
        number = 0
        lonely = sum(len(one.plot.series) for one in curves) == 1
        for one in curves:
            for series in one.plot.series:
                name = (
                    series.name
                    if not one.label
                    else one.label
                    if len(one.plot.series) == 1
                    else f"{one.label} {series.name}"
                )
                marker = _MARKERS[number % len(_MARKERS)]
                colour = _COLOURS[number % len(_COLOURS)]
                label = None if lonely else plain(f"{name}")
                if one.plot.labels and len(series.x) <= 40 and len(curves) == 1 and len(one.plot.series) == 1:
                    plt.bar([plain(text) for text in one.plot.labels], list(series.y), color=colour)
                else:
                    plt.plot(list(series.x), list(series.y), label=label, marker=marker, color=colour)
                number += 1
        first = curves[0].plot if curves else None
        if first is not None:
            plt.xlabel(plain(first.x_name))
            if len(first.series) == 1:
                plt.ylabel(plain(first.series[0].name))
        self.refresh()
