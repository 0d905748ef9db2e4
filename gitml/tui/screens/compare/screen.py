"""Compare: runs side by side, what differs first; their plots over one another."""

from __future__ import annotations

import difflib
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import ContentSwitcher

from gitml.core.text.format import count, number, safe
from gitml.history.compare import ComparisonLine, RunComparison, UnknownValue, compare_runs, difference_of, same_value
from gitml.tui.actions import RunActionsPage, SelectedRun
from gitml.tui.errors import ErrorMessage
from gitml.tui.styles import sign_of
from gitml.tui.text import plain
from gitml.tui.widgets.bars import SectionBar
from gitml.tui.widgets.notice import Notice
from gitml.tui.widgets.plot_pane import PlotPane
from gitml.tui.widgets.table import LazyTable, TableCell, TableColumn, TableRow

_TITLES = {"code": "CODE", "data": "DATA", "run": "RUN"}
_IDS = ("code", "data")


class ComparePage(RunActionsPage):
    """Two or more runs."""

    route = "compare"
    CSS_PATH = "compare.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "section('table')", "Table", show=False),
        Binding("p", "section('plots')", "Plots"),
        Binding("a", "all", "All or what differs"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.ids: tuple[str, ...] = ()
        self.found: RunComparison | None = None
        self.everything = False

    def body(self) -> ComposeResult:
        """A table, or plots."""
        with Vertical(classes="panel", id="compare"):
            yield SectionBar((("table", "t", "Table"), ("plots", "p", "Plots")))
            yield Notice()
            with ContentSwitcher(initial="table"):
                yield LazyTable(id="table")
                yield PlotPane(id="plots")

    def on_mount(self) -> None:
        """The table first."""
        self.query_one(SectionBar).chosen = "table"
        self.query_one(LazyTable).focus()

    def open_with(self, **what: Any) -> None:
        """Shows ``runs=``, ids in the order of the columns."""
        self.ids = tuple(str(id) for id in what["runs"])
        self.refresh_data()

    def refresh_data(self) -> None:
        """All of it again: a run in progress goes on."""
        ids = self.ids
        if ids:
            self.run_query("compare", lambda ws: compare_runs(ws, ids), self._show)

    def query_failed(self, key: str, error: ErrorMessage) -> None:
        """In place of the table."""
        if key == "compare":
            self.query_one(ContentSwitcher).display = False
            self.query_one(Notice).show_error(error)
        else:
            super().query_failed(key, error)

    def _show(self, found: RunComparison) -> None:
        self.found = found
        table = self.query_one(LazyTable)
        self.query_one(ContentSwitcher).display = True
        columns = _columns(found, self.everything)
        if table.columns != tuple(columns):
            table.set_columns(columns)
        rows = _rows(found, self.everything)
        table.fill(rows)
        panel = self.query_one("#compare")
        panel.border_title = f"{count(len(found.runs), 'run')} side by side"
        changed = sum(1 for line in found.lines if line.changed)
        panel.border_subtitle = f"{changed:,} of {len(found.lines):,} differ"
        notice = self.query_one(Notice)
        if rows:
            notice.hide()
        else:
            notice.show_text(
                "Nothing differs", "Same parameters, code, data, environment and metrics.", next=(("a", "show all"),)
            )
        if self.query_one(ContentSwitcher).current == "plots":
            self._show_plots()

    def action_all(self) -> None:
        """Every line, or those that differ."""
        self.everything = not self.everything
        if self.found is not None:
            self._show(self.found)

    def action_section(self, name: str) -> None:
        """The table or the plots."""
        self.query_one(SectionBar).chosen = name
        self.query_one(ContentSwitcher).current = name
        if name == "plots":
            self._show_plots()
            self.query_one(PlotPane).focus()
        else:
            self.query_one(LazyTable).focus()

    def _show_plots(self) -> None:
        self.query_one(PlotPane).show([(id, id[:8]) for id in self.ids], None)

    def selected_run(self) -> SelectedRun | None:
        """The newest of the runs, and the steps of it that the line under the cursor is about."""
        if self.found is None:
            return None
        run = self.found.runs[-1]
        row = self.query_one(LazyTable).current
        steps: tuple[str, ...] = row.value.steps if row is not None and row.value is not None else ()
        return SelectedRun(run.id, run.pipeline, run.status == "running", steps[0] if len(steps) == 1 else None, steps)

    @on(LazyTable.RowSelected)
    def _row_selected(self, event: LazyTable.RowSelected) -> None:
        """Opens what a line is about: the change of a file, a step of the newest run, where data comes from."""
        line: ComparisonLine | None = event.row.value
        if line is None or self.found is None:
            return
        if line.section in ("steps", "metrics"):
            if not line.steps:
                self.ui.report(f"run {self.found.runs[-1].id[:8]} has no such step")
                return
            section = "metrics" if line.section == "metrics" else "details"
            self.ui.go("run", run=self.found.runs[-1].id, step=line.steps[0], section=section)
        elif line.section in _IDS:
            self._open_content(line)
        else:
            self.ui.report("there are no details of this line")

    def _open_content(self, line: ComparisonLine) -> None:
        """How a file changed from the first run to the last; of data that a step made, where it comes from."""
        known = [str(value) for value in line.values if value is not None and not isinstance(value, UnknownValue)]
        name = line.name
        if any(value.startswith("sha256:") for value in known):
            self.ui.go("lineage", thing=next(value for value in reversed(known) if value.startswith("sha256:")))
            return
        before, after = known[0], known[-1]
        if line.values[0] is None or line.values[-1] is None:
            self.ui.report("the file is in one of the runs only: there is nothing to compare it with")
            return
        if before == after:
            self.ui.report("the file is the same in the first and the last run")
            return

        def show(texts: tuple[str, str] | None) -> None:
            if texts is None:
                self.ui.report("the file is not text")
                return
            self.show_text(plain(name), _difference(texts))

        self.run_query("difference", lambda ws: difference_of(ws, before, after), show)


def _columns(found: RunComparison, everything: bool) -> list[TableColumn]:
    """As wide as what is seen in them, so that values stand near their names."""
    shown = [line for line in found.lines if everything or line.changed]
    runs = []
    for at, run in enumerate(found.runs):
        values = [_value_text(line, value) for line in shown if (value := line.values[at]) is not None]
        title = f"{sign_of(run.status).mark} {run.id[:8]}"
        most = max([13, *map(cell_len, values)])
        runs.append(TableColumn(run.id, title, 13, right=True, share=1, rank=0 if at < 2 else 2 + at, most=most))
    longest = max([20, *(cell_len(plain(line.name)) + 2 for line in shown)])
    change = [TableColumn("change", "CHANGE", 10, right=True, rank=1)] if len(found.runs) == 2 else []
    return [TableColumn("name", "", 20, share=2, most=longest), *runs, *change]


def _rows(found: RunComparison, everything: bool) -> list[TableRow]:
    rows: list[TableRow] = []
    section = ""
    for line in found.lines:
        if not everything and not line.changed:
            continue
        if line.section != section:
            section = line.section
            if rows:
                rows.append(TableRow("", ()))
            rows.append(TableRow("", (TableCell(_TITLES.get(section, section.upper()), "head"),)))
        rows.append(_row(line))
    return rows


def _row(line: ComparisonLine) -> TableRow:
    first = next((value for value in line.values if not isinstance(value, UnknownValue)), None)
    cells = [TableCell(f"  {plain(line.name)}", "plain" if line.changed else "dim")]
    for value in line.values:
        if value is None or isinstance(value, UnknownValue):
            cells.append(TableCell("-" if value is None else value.why, "dim"))
            continue
        other = line.changed and not same_value(value, first)
        cells.append(TableCell(_value_text(line, value), "accent" if other else "plain" if line.changed else "dim"))
    if len(line.values) == 2:
        change = line.change
        cells.append(TableCell(f"{change:+.4g}" if change else "", "accent"))
    return TableRow(f"{line.section}:{line.name}", cells, line)


def _value_text(line: ComparisonLine, value: Any) -> str:
    if isinstance(value, UnknownValue):
        return value.why
    if line.section in _IDS:
        return str(value).rpartition(":")[2][:12]
    if line.section == "steps":
        sign = sign_of(str(value))
        return f"{sign.mark} {sign.word}"
    return plain(number(value))


def _difference(texts: tuple[str, str]) -> Text:
    text = Text(no_wrap=False)
    before, after = (one.splitlines() for one in texts)
    for line in difflib.unified_diff(before, after, lineterm="", n=3):
        if line.startswith(("---", "+++")):
            continue
        style = {"+": "good", "-": "bad", "@": "link"}.get(line[:1], "plain")
        text.append(f"{safe(line.expandtabs(4))}\n", style)
    return text
