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
from gitml.tui.screens.run.missing_output import MissingOutput
from gitml.tui.text import plain
from gitml.tui.widgets.notice import Notice
from gitml.tui.widgets.tables.big_table import LazyTable
from gitml.tui.widgets.tables.columns import TableCell, TableColumn, TableRow
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.tui.page import Page

_COLUMNS = (
    TableColumn("name", "METRIC", 16, share=1),
    TableColumn("value", "VALUE", 11, right=True),
    TableColumn("before", "RUN BEFORE", 11, right=True, rank=1),
    TableColumn("change", "CHANGE", 11, right=True, rank=1),
)


class StepMetrics(Vertical):
    """A table."""

    def compose(self) -> ComposeResult:
        """The table, or why there is none."""
        yield Notice()
        yield LazyTable(_COLUMNS)

    def show(self, run: Run, step: str, before: str | None, missing: MissingOutput) -> None:
        """The metrics of a run; `before` is the id of the run to compare with, `missing` is shown where the step has none."""
        if before is None:
            self._fill(run, step, {}, missing)
            return

        def known(ws: Workspace) -> dict[str, float]:
            return read_run(ws, before).metrics()

        page = cast("Page", self.screen)
        page.run_query("before", known, lambda metrics: self._fill(run, step, metrics, missing))

    def _fill(self, run: Run, step: str, before: dict[str, float], missing: MissingOutput) -> None:
        metrics = run.metrics()
        table, notice = self.query_one(LazyTable), self.query_one(Notice)
        table.display = bool(metrics)
        if not any(name.startswith(f"{step}.") for name in metrics):
            notice.show_text(missing.title, missing.text)
        else:
            notice.hide()
        if not metrics:
            return
        found = [item for item in differences(before, metrics) if item.after is not None]
        found.sort(key=lambda item: not item.name.startswith(f"{step}."))
        rows = []
        for item in found:
            own = item.name.startswith(f"{step}.")
            delta = item.delta
            change = f"{delta:+.4g}" if delta else ("same" if item.before is not None else "")
            rows.append(
                TableRow(
                    item.name,
                    (
                        TableCell(plain(item.name), "plain" if own else "dim"),
                        TableCell(number(item.after), "bold" if own else "dim"),
                        TableCell(number(item.before) if item.before is not None else "", "dim"),
                        TableCell(change, "accent" if delta else "dim"),
                    ),
                )
            )
        table.fill(rows)
