"""Charts as SVG and PNG by matplotlib, the same bytes for the same data: no date, no settings of the user or the repository."""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

from gitml.core.text.format import safe
from gitml.core.text.plot_overlay import (
    Overlay,
    bars_of,
    counts_in,
    curves_of,
    labels_of,
    shares_of,
    ticks_of,
)
from gitml.errors import InputError

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#555555")
"""Of Okabe and Ito: distinct for the colour-blind, also in print."""
_DASHES = ("-", "--", ":", "-.")
_MARKS = ("o", "s", "^", "D", "v", "P", "X")
_WIDTH, _HEIGHT = 6.4, 4.0  # inches
_FEW = 25  # points that are marked one by one
_WIDEST = 24  # characters of a label on an axis
_SETTINGS = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": "#333333",
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150.0,
}


def svg_of(overlay: Overlay) -> bytes:
    """The chart as SVG. InputError where matplotlib is missing."""
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    return _saved(overlay, "svg", metadata)


def png_of(overlay: Overlay) -> bytes:
    """The chart as PNG. InputError where matplotlib is missing."""
    return _saved(overlay, "png", {"Software": None})


def _saved(overlay: Overlay, format: str, metadata: dict[str, None]) -> bytes:
    with _matplotlib(overlay.name):
        figure = _figure(overlay)
        out = io.BytesIO()
        figure.savefig(out, format=format, metadata=metadata)
    return out.getvalue()


@contextmanager
def _matplotlib(name: str) -> Iterator[None]:
    """matplotlib with our settings alone, and no word of it on the terminal; `name` keeps ids apart on one page."""
    logging.getLogger("matplotlib").setLevel(
        logging.CRITICAL
    )  # it reads a matplotlibrc of the current folder, and is not obeyed
    try:
        import matplotlib
    except ImportError as error:
        hint = 'pip install "gitml[plots]" (of the Python that gitml runs in)'
        raise InputError("drawing plots into files needs matplotlib", hint=hint) from error
    usual = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
    salt = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
    with warnings.catch_warnings(), matplotlib.rc_context({**usual, **_SETTINGS, "svg.hashsalt": salt}):
        warnings.simplefilter("ignore")  # of a character that the font lacks
        yield


def _figure(overlay: Overlay) -> Any:
    from matplotlib.figure import Figure

    if overlay.template == "confusion":
        return _confusion(Figure, overlay)
    figure = Figure(figsize=(_WIDTH, _HEIGHT))
    axes = figure.add_subplot()
    axes.set_title(_shown(overlay.title, 80))
    axes.set_xlabel(_shown(overlay.x_name, 60))
    axes.set_ylabel(_shown(overlay.y_name, 60))
    several = _BY_TEMPLATE.get(overlay.template, _lines)(axes, overlay)
    if several > 1:
        _legend(figure, axes, several)
    return figure


def _legend(figure: Any, axes: Any, several: int) -> None:
    """Within the axes where there is room, else to their right."""
    if several <= 6:
        axes.legend(loc="best")
    else:
        figure.set_size_inches(_WIDTH + 2.2, _HEIGHT)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, ncols=1 + several // 20)


def _lines(axes: Any, overlay: Overlay) -> int:
    curves = curves_of(overlay)
    for at, curve in enumerate(curves):
        colour, mark = COLOURS[at % len(COLOURS)], _MARKS[at % len(_MARKS)]
        name = _shown(curve.name, 40)
        if overlay.template == "scatter" or len(curve.x) == 1:
            axes.scatter(curve.x, curve.y, s=22, alpha=0.75, color=colour, marker=mark, linewidths=0, label=name)
            continue
        dashes = _DASHES[at // len(COLOURS) % len(_DASHES)]
        marked = mark if len(curve.x) <= _FEW else None
        axes.plot(curve.x, curve.y, dashes, color=colour, linewidth=1.8, marker=marked, markersize=4, label=name)
    ticks = ticks_of(overlay)
    if not ticks and all(x == int(x) for curve in curves for x in curve.x):
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
    if ticks:
        _name_ticks(axes, [at for at, _ in ticks], [label for _, label in ticks])
    return len(curves)


def _bars(axes: Any, overlay: Overlay) -> int:
    bars = bars_of(overlay)
    count = len(bars.values)
    width = 0.8 / count
    for at, ((name, values), colour) in enumerate(zip(bars.values, cycle(COLOURS), strict=False)):
        there = [(place, value) for place, value in enumerate(values) if value is not None]
        places = [place - 0.4 + width * (at + 0.5) for place, _ in there]
        axes.bar(places, [value for _, value in there], width * 0.92, color=colour, label=_shown(name, 40))
    _name_ticks(axes, list(range(len(bars.names))), list(bars.names))
    axes.grid(visible=False, axis="x")
    if bars.left_out:
        axes.set_xlabel(f"{_shown(overlay.x_name, 40)} (and {bars.left_out:,} more)")
    return count


def _histogram(axes: Any, overlay: Overlay) -> int:
    shares = shares_of(overlay)
    single = len(shares.counts) == 1
    for (name, counts), colour in zip(shares.counts, cycle(COLOURS), strict=False):
        axes.stairs(counts, shares.edges, fill=single, color=colour, linewidth=1.8, label=_shown(name, 40))
    axes.margins(x=0.01)
    axes.set_ylim(bottom=0)
    return len(shares.counts)


def _confusion(figure_class: Any, overlay: Overlay) -> Any:
    """A matrix for each run, side by side: the shade is the share of its row, the number the count."""
    labels = labels_of(overlay)
    side = min(9.0, max(3.6, 1.6 + 0.5 * len(labels)))
    figure = figure_class(figsize=(side * len(overlay.plots) + 0.4, side))
    figure.suptitle(_shown(overlay.title, 80), x=0.01, ha="left", fontsize=11, fontweight="bold")
    names = [_shown(label, _WIDEST) for label in labels]
    for at, (label, plot) in enumerate(overlay.plots):
        axes = figure.add_subplot(1, len(overlay.plots), at + 1)
        counts = counts_in(plot, labels)
        shares = [[count / (sum(row) or 1.0) for count in row] for row in counts]
        edges = [place - 0.5 for place in range(len(labels) + 1)]
        axes.pcolormesh(edges, edges, shares, cmap="Blues", vmin=0.0, vmax=1.0, edgecolors="white", linewidth=1.0)
        axes.invert_yaxis()
        axes.set_aspect("equal")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.set_title(_shown(label, 40), loc="center", fontsize=10, fontweight="normal")
        turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if max(map(len, names)) > 4 else {}
        axes.set_xticks(range(len(names)), names, **turned)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel(_shown(plot.x_name, 60))
        axes.set_ylabel(_shown(plot.y_name, 60))
        for row, (of, parts) in enumerate(zip(counts, shares, strict=True)):
            for column, (count, share) in enumerate(zip(of, parts, strict=True)):
                if len(labels) <= 20:
                    ink = "white" if share > 0.55 else "#222222"
                    axes.text(column, row, f"{count:g}", ha="center", va="center", color=ink, fontsize=9)
    return figure


_BY_TEMPLATE = {"bar": _bars, "histogram": _histogram}


def _name_ticks(axes: Any, places: list[int], names: list[str]) -> None:
    shown = [_shown(name, _WIDEST) for name in names]
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if sum(map(len, shown)) > 60 else {}
    axes.set_xticks(places, shown, **turned)


def _shown(text: str, most: int) -> str:
    """`text` as a line on which nothing acts, so long at most."""
    line = safe(text)
    line = line.encode("utf-8", "replace").decode()
    return line if len(line) <= most else line[: most - 1] + "…"
