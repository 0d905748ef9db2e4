"""The place where a metric is drawn along the history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.containers import Vertical

if TYPE_CHECKING:
    from gitml.tui.screens.time.chart import MetricChart


class ChartPanel(Vertical):
    """A frame that gets its chart when there is something to draw: what draws it takes a while to import."""

    _drawn: MetricChart | None = None

    def show(self, metric: str, commits: int, points: Sequence[tuple[int, float]]) -> None:
        """(place from the newest, value), the oldest first, of so many commits."""
        if self._drawn is None:
            from gitml.tui.screens.time.chart import MetricChart

            self._drawn = MetricChart()
            self.mount(self._drawn)
        self._drawn.show(metric, commits, points)

    def place(self, index: int) -> None:
        """Marks a commit, and tells the metric's value there."""
        if self._drawn is not None:
            self._drawn.place(index)
            self.border_title = self._drawn.title
