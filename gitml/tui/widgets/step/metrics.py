"""StepMetrics: the metrics of a run, those of the chosen step first, beside the run before it.

Where the chosen step has none, a notice above them says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Vertical

from gitml.core.records.record import Run
from gitml.core.text.format import number
from gitml.history.metrics import differences
from gitml.history.runs import read_run
from gitml.tui.screens.run.absence import Absence
from gitml.tui.text import plain
from gitml.tui.widgets.notice import Notice
from gitml.tui.widgets.tables.big_table import BigTable
from gitml.tui.widgets.tables.columns import Cell, Column, Row
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.tui.page import Page

_COLUMNS = (
    Column("name", "METRIC", 16, share=1),
    Column("value", "VALUE", 11, right=True),
    Column("before", "RUN BEFORE", 11, right=True, rank=1),
    Column("change", "CHANGE", 11, right=True, rank=1),
)


class StepMetrics(Vertical):
    """A table."""

    def compose(self) -> ComposeResult:
        """The table, or why there is none."""
        yield Notice()
        yield BigTable(_COLUMNS)

    def show(self, run: Run, step: str, before: str | None, absent: Absence) -> None:
        """The metrics of a run; `before` is the id of the run to compare with, `absent` is shown where the step has none."""
        if before is None:
            self._fill(run, step, {}, absent)
            return

        def known(ws: Workspace) -> dict[str, float]:
            return read_run(ws, before).metrics()

        page = cast("Page", self.screen)
        page.ask("before", known, lambda metrics: self._fill(run, step, metrics, absent))

    def _fill(self, run: Run, step: str, before: dict[str, float], absent: Absence) -> None:
        metrics = run.metrics()
        table, notice = self.query_one(BigTable), self.query_one(Notice)
        table.display = bool(metrics)
        if not any(name.startswith(f"{step}.") for name in metrics):
            notice.say(absent.title, absent.text)
        else:
            notice.hush()
        if not metrics:
            return
        found = [item for item in differences(before, metrics) if item.after is not None]
        found.sort(key=lambda item: not item.name.startswith(f"{step}."))
        rows = []
        for item in found:
            own = item.name.startswith(f"{step}.")
            delta = item.delta
            told = f"{delta:+.4g}" if delta else ("same" if item.before is not None else "")
            rows.append(
                Row(
                    item.name,
                    (
                        Cell(plain(item.name), "plain" if own else "dim"),
                        Cell(number(item.after), "bold" if own else "dim"),
                        Cell(number(item.before) if item.before is not None else "", "dim"),
                        Cell(told, "accent" if delta else "dim"),
                    ),
                )
            )
        table.fill(rows)
