"""Columns of numbers drawn as curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from textual_plotext import PlotextPlot

if TYPE_CHECKING:
    from gitml.tui.app import GitmlApp

_INKS = ("link", "accent", "good", "bad")


class Curves(PlotextPlot):
    """(name, values) over the number of the row."""

    def __init__(self, curves: Sequence[tuple[str, Sequence[float]]]) -> None:
        super().__init__()
        self._curves = curves

    def on_mount(self) -> None:
        """Draws them."""
        inks = cast("GitmlApp", self.app).inks
        self.plt.clear_figure()
        for (name, values), ink in zip(self._curves, _INKS, strict=False):
            self.plt.plot(list(values), label=name, color=rgb(inks[ink].color), marker="braille")
        self.plt.xaxes(True, False)
        self.plt.yaxes(True, False)


def rgb(colour: object) -> tuple[int, int, int]:
    """A colour of Rich as plotext takes it."""
    triplet = getattr(colour, "triplet", None)
    return (triplet.red, triplet.green, triplet.blue) if triplet is not None else (128, 128, 128)
