"""Charts drawn with characters, on a figure of plotext: for the commands and for the screens."""

from __future__ import annotations

from itertools import cycle
from typing import Any

from gitml.core.text.format import number, safe
from gitml.core.text.plot_overlay import (
    Overlay,
    bars_of,
    counts_in,
    curves_of,
    labels_of,
    shares_of,
    ticks_of,
)

COLOURS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (213, 94, 0), (150, 150, 150))
"""Of Okabe and Ito: distinct for the colour-blind, on a dark and on a light ground."""
_MARKERS = ("braille", "*", "o", "+", "x", "^")
_SHADE = (86, 180, 233)
_CELLS = 12
"""Labels of a confusion matrix that are drawn in a terminal, at most."""


def draw(figure: Any, title: str, overlay: Overlay | None) -> None:
    """Draws on a cleared figure of plotext; nothing but the title for None."""
    figure.clear_figure()
    runs = [label for label, _ in overlay.plots if label] if overlay is not None else []
    beside = overlay is not None and overlay.template == "confusion" and len(runs) > 1
    figure.title(safe(f"{title} ({' | '.join(runs)})" if beside else title))
    if overlay is None:
        return
    figure.xlabel(safe(overlay.x_name))
    if overlay.y_name:
        figure.ylabel(safe(overlay.y_name))
    _BY_TEMPLATE.get(overlay.template, _lines)(figure, overlay)


def _lines(figure: Any, overlay: Overlay) -> None:
    curves = curves_of(overlay)
    scattered = overlay.template == "scatter"
    for curve, marker, colour in zip(curves, cycle(_MARKERS), cycle(COLOURS), strict=False):
        shown = safe(curve.name) if len(curves) > 1 else None
        if scattered or len(curve.x) == 1:
            mark = "●" if marker == "braille" else marker
            figure.scatter(list(curve.x), list(curve.y), label=shown, marker=mark, color=colour)
        else:
            figure.plot(list(curve.x), list(curve.y), label=shown, marker=marker, color=colour)
    ticks = ticks_of(overlay)
    if ticks:
        figure.xticks([at for at, _ in ticks], [safe(label) for _, label in ticks])


def _bars(figure: Any, overlay: Overlay) -> None:
    bars = bars_of(overlay)
    names = [safe(name) for name in bars.names]
    if len(bars.values) == 1:
        figure.bar(names, [value or 0.0 for value in bars.values[0][1]], color=COLOURS[0])
        return
    colours = [colour for _, colour in zip(bars.values, cycle(COLOURS), strict=False)]
    values = [[value or 0.0 for value in of] for _, of in bars.values]
    figure.multiple_bar(names, values, labels=[safe(name) for name, _ in bars.values], color=colours)


def _histogram(figure: Any, overlay: Overlay) -> None:
    shares = shares_of(overlay)
    middles = [(low + high) / 2 for low, high in zip(shares.edges, shares.edges[1:], strict=False)]
    if len(shares.counts) == 1:
        figure.bar(middles, list(shares.counts[0][1]), color=COLOURS[0], width=1)
        ends = [middles[0], middles[len(middles) // 2], middles[-1]]
        figure.xticks(ends, [number(float(end)) for end in ends])
        return
    for (name, counts), marker, colour in zip(shares.counts, cycle(_MARKERS), cycle(COLOURS), strict=False):
        figure.plot(middles, list(counts), label=safe(name), marker=marker, color=colour)


def _confusion(figure: Any, overlay: Overlay) -> None:
    """Counts in cells, those of several runs with bars between them."""
    labels = labels_of(overlay)[:_CELLS]
    tables = [counts_in(plot, labels) for _, plot in overlay.plots]
    most = max((count for table in tables for row in table for count in row), default=0.0) or 1.0
    for row in range(len(labels)):
        for column in range(len(labels)):
            counts = [table[row][column] for table in tables]
            share = max(counts) / most
            text = " | ".join(f"{count:g}" for count in counts)
            shade = tuple(int(40 + (part - 40) * share) for part in _SHADE)
            ink = (0, 0, 0) if share > 0.5 else (255, 255, 255)
            place = len(labels) - row
            figure.text(f" {text} ", x=column + 1, y=place, alignment="center", color=ink, background=shade)
    figure.xlim(0.4, len(labels) + 0.6)
    figure.ylim(0.4, len(labels) + 0.6)
    names = [safe(label) for label in labels]
    figure.xticks(list(range(1, len(labels) + 1)), names)
    figure.yticks(list(range(len(labels), 0, -1)), names)


_BY_TEMPLATE = {"bar": _bars, "histogram": _histogram, "confusion": _confusion}


def text_of(overlay: Overlay, width: int, height: int, *, coloured: bool) -> list[str]:
    """The lines of a chart, so many characters wide and high."""
    import plotext

    figure: Any = plotext
    figure.clear_figure()
    figure.plotsize(width, height)
    figure.theme("clear")
    draw(figure, overlay.title, overlay)
    figure.plotsize(width, height)
    figure.theme("clear")
    text: str = figure.build()
    figure.clear_figure()
    lines = (text if coloured else figure.uncolorize(text)).split("\n")
    return [line.rstrip() for line in lines]
