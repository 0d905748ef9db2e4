"""Curves drawn with characters by plotext: plots of several runs over one another, and a metric along a history."""

from __future__ import annotations

from collections.abc import Sequence

from textual_plotext import PlotextPlot

from gitml.core.text.format import number
from gitml.core.text.plot_data import Plot
from gitml.core.text.plot_overlay import overlay_of
from gitml.history.charts.terminal import draw
from gitml.tui.services import styles_of
from gitml.tui.text import plain


class Chart(PlotextPlot):
    """One chart."""

    DEFAULT_CSS = """
    Chart {
        height: 1fr;
        background: $surface;
    }
    """

    def draw(self, title: str, curves: Sequence[tuple[str, Plot]]) -> None:
        """Draws plots over one another, each with what its curves are to be called; nothing when there is only one."""
        overlay = overlay_of(title, curves) if curves else None
        of = title
        if overlay is not None and overlay.title != title:
            of = f"{overlay.title}: {title}" if title else overlay.title
        draw(self.plt, of, overlay)
        self.refresh()


MOST = 2000  # points; of more, equally many are left out between those drawn


class MetricChart(PlotextPlot):
    """Values over commits, the oldest on the left; a line marks the commit that the cursor is on."""

    def __init__(self) -> None:
        super().__init__()
        self._metric = ""
        self._commits = 0
        self._points: Sequence[tuple[int, float]] = ()
        self._at: int | None = None

    def show(self, metric: str, commits: int, points: Sequence[tuple[int, float]]) -> None:
        """(place from the newest, value), the oldest first."""
        self._metric, self._commits = metric, commits
        self._points = points[:: len(points) // MOST + 1]
        self._replot()

    def place(self, index: int) -> None:
        """Marks a commit."""
        if index != self._at:
            self._at = index
            self._replot()

    def on_mount(self) -> None:
        """Lines in the styles of the application; the ground is PlotextPlot's own doing."""
        self.app.theme_changed_signal.subscribe(self, lambda theme: self._replot())
        self._replot()

    def _replot(self) -> None:
        if not self.is_attached:
            return
        plot = self.plt
        plot.clear_figure()
        styles = styles_of(self)
        colours = {name: _rgb(styles[name].color) for name in ("link", "accent")}
        xs = [self._commits - 1 - place for place, _ in self._points]
        ys = [value for _, value in self._points]
        plot.xlim(0, max(1, self._commits - 1))
        if ys:
            low, high = min(ys), max(ys)
            room = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
            plot.ylim(low - room, high + room)
            if self._at is not None:
                plot.vline(self._commits - 1 - self._at, colours["accent"])
            plot.plot(xs, ys, color=colours["link"], marker="braille")
            plot.scatter(xs, ys, color=colours["link"], marker="●" if len(xs) <= 60 else "braille")
            ticks = [low, (low + high) / 2, high] if high > low else [low]
            plot.yticks(ticks, [number(float(tick)) for tick in ticks])
        plot.xaxes(True, False)
        plot.yaxes(True, False)
        plot.xticks([0, max(1, self._commits - 1)], ["oldest", "newest"])
        self.refresh()

    @property
    def title(self) -> str:
        """The metric, and its value at the commit that is marked."""
        here = next((value for place, value in self._points if place == self._at), None)
        return plain(self._metric) + (f" = {number(here)}" if here is not None else "")


def _rgb(colour: object) -> tuple[int, int, int]:
    """A colour of Rich as plotext takes it."""
    triplet = getattr(colour, "triplet", None)
    return (triplet.red, triplet.green, triplet.blue) if triplet is not None else (128, 128, 128)
