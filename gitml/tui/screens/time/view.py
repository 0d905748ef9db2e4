"""A cell of the history, what a run there would do, and the panel of the chart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text
from textual.containers import Vertical

from gitml.analysis.timeline import FAILED, RUNNING, TimelineCell, TimelineRow
from gitml.core.text.format import count
from gitml.history.time_format import moment
from gitml.tui.styles import sign_legend, sign_of
from gitml.tui.text import plain

if TYPE_CHECKING:
    from gitml.tui.widgets.charts import MetricChart


_LEGEND = ("cached", "would run", "never", "failed", "can't run", "running")


def legend(*, short: bool) -> Text:
    """What the signs mean; `short`: of those that are seen most."""
    return sign_legend(_LEGEND[:4] if short else _LEGEND)


def cell_text(row: TimelineRow | None, step: str | None, marked: str) -> Text:
    """A commit and what became of a step there; where another cell is `marked` (its name), what can be explained."""
    text = Text(no_wrap=True, overflow="ellipsis")
    if row is None:
        return text
    text.append(plain(row.info.subject), "bold")
    text.append(f"  {moment(row.info.time)}  {plain(row.info.author.partition(' <')[0])}", "dim")
    if row.problem:
        text.append(f"\n! {plain(row.problem)}", "held")
        text.append(f"  {plain(row.hint or '')}", "dim")
    cell = row.cells.get(step or "")
    if step is not None and cell is not None:
        sign = sign_of(cell.state)
        text.append(f"\n{plain(step)} ", "bold")
        text.append(f"{sign.mark} {sign.word}", sign.style)
        text.append(f": {plain(cell.reason)}", "plain")
    elif step is not None and not row.problem:
        text.append(f"\n{plain(step)} is not a step of the pipeline here", "dim")
    text.append("\n")
    text.append_text(_runs_text(row, cell))
    if marked:
        text.append(f"\n◆ {marked} is marked: ", "accent")
        text.append("e explains the change between the two", "dim")
    return text


def _runs_text(row: TimelineRow, cell: TimelineCell | None) -> Text:
    text = Text()
    if cell is not None and cell.run is not None:
        does = {FAILED: "failed in", RUNNING: "runs in"}.get(cell.state, "from")
        text.append(f"{does} run ", "dim")
        text.append(cell.run[:8], "link")
        text.append("   ")
    if not row.runs:
        text.append("the commit itself was not run: r runs it", "dim")
        return text
    text.append(f"{count(len(row.runs), 'run')} of this commit: ", "dim")
    for run in row.runs[:3]:
        sign = sign_of(run.status)
        text.append(f"{sign.mark} ", sign.style)
        text.append(f"{run.id[:8]}  ", "plain")
    return text


def running_lines(pipeline: str, row: TimelineRow) -> list[str]:
    """What running the pipeline at a commit would do, as plain lines for a dialog."""
    would = [name for name, cell in row.cells.items() if cell.state != "cached"]
    lines = [f"{plain(pipeline)} at {row.commit[:12]}  {plain(row.info.subject)}", ""]
    if would:
        shown = ", ".join(plain(name) for name in would[:8]) + (f" and {len(would) - 8} more" if len(would) > 8 else "")
        lines.append(f"{count(len(would), 'step')} to run: {shown}")
    lines.append(f"{count(len(row.cells) - len(would), 'step')} to be reused")
    lines += ["", "It runs in the background; the work tree is not touched."]
    return lines


class ChartPanel(Vertical):
    """A frame that gets its chart when there is something to draw: what draws it takes a while to import."""

    _drawn: MetricChart | None = None

    def show(self, metric: str, commits: int, points: Sequence[tuple[int, float]]) -> None:
        """(place from the newest, value), the oldest first, of so many commits."""
        if self._drawn is None:
            from gitml.tui.widgets.charts import MetricChart

            self._drawn = MetricChart()
            self.mount(self._drawn)
        self._drawn.show(metric, commits, points)

    def place(self, index: int) -> None:
        """Marks a commit, and shows the metric's value there."""
        if self._drawn is not None:
            self._drawn.place(index)
            self.border_title = self._drawn.title
