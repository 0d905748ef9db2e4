"""Runs: those in progress and those that ended, newest first; filtered as one types, sorted by any column, of any number."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.timer import Timer
from textual.widgets import Input

from gitml.core.text.format import duration, number
from gitml.history.run_list import FilteredRuns, filter_runs, rows_in
from gitml.history.time_format import ago
from gitml.store.index.runs import RunRow, RunSort
from gitml.tui.actions import RunActionsPage, SelectedRun
from gitml.tui.errors import ErrorMessage
from gitml.tui.styles import sign_of
from gitml.tui.text import plain
from gitml.tui.widgets.dialogs import MenuItem
from gitml.tui.widgets.notice import Notice
from gitml.tui.widgets.table import LazyTable, TableCell, TableColumn, TableRow

SORTABLE = frozenset(("started", "seconds", "pipeline", "experiment", "status", "branch", "commit"))
RISING = frozenset(("pipeline", "experiment", "branch", "status", "commit"))  # the first by the alphabet first
_NOTHING = "-"
_COUNTED = (("executed", "✓"), ("reused", "="), ("failed", "✗"), ("skipped", "-"), ("cancelled", "■"))


def columns(metrics: Sequence[str]) -> list[TableColumn]:
    """The columns of the list, with those of `metrics`."""
    titles = short_names(metrics)
    measured = [
        TableColumn(f"metric:{name}", plain(title), min(max(9, len(plain(title)) + 2), 20), right=True, rank=at * 2 + 2)
        for at, (name, title) in enumerate(zip(metrics, titles, strict=True))
    ]
    return [
        TableColumn("status", "", 2),
        TableColumn("id", "RUN", 8),
        TableColumn("pipeline", "PIPELINE", 10, share=2),
        TableColumn("started", "WHEN", 10, right=True),
        *measured,
        TableColumn("steps", "STEPS", 11, rank=3),
        TableColumn("seconds", "TIME", 7, right=True, rank=4),
        TableColumn("commit", "COMMIT", 9, rank=5),
        TableColumn("branch", "BRANCH", 12, share=1, rank=7),
        TableColumn("experiment", "EXPERIMENT", 12, rank=20),
        TableColumn("note", "NOTE", 16, share=3, rank=21),
    ]


def short_names(names: Sequence[str]) -> list[str]:
    """Each name's shortest end of whole words between dots that no other of them ends with."""
    shortest = []
    for name in names:
        words = name.split(".")
        ends = [".".join(words[at:]) for at in reversed(range(len(words)))]
        others = [f".{other}" for other in names if other != name]
        shortest.append(next((end for end in ends if not any(one.endswith(f".{end}") for one in others)), name))
    return shortest


def table_row(row: RunRow, metrics: Sequence[str], now: float) -> TableRow:
    """A run as a row of `columns`."""
    sign = sign_of(row.status)
    took = (now if row.status == "running" else row.ended) - row.started
    values = [
        TableCell(number(row.metrics[name])) if name in row.metrics else TableCell(_NOTHING, "dim") for name in metrics
    ]
    note = "  ".join([*(f"[{plain(tag)}]" for tag in row.tags), plain(row.message.partition("\n")[0])]).strip()
    return TableRow(
        row.id,
        (
            TableCell(sign.mark, sign.style),
            TableCell(row.id[:8], "link"),
            TableCell(plain(row.pipeline)),
            TableCell(ago(row.started, now).removesuffix(" ago"), "dim"),
            *values,
            TableCell(step_counts(row.counts), "held" if row.counts.get("failed") else "plain"),
            TableCell(duration(took)),
            TableCell((row.base or row.commit)[:8] + ("*" if row.dirty else ""), "dim"),
            TableCell(plain(row.branch or _NOTHING), "plain" if row.branch else "dim"),
            TableCell(plain(row.experiment) if row.experiment != row.pipeline else _NOTHING, "dim"),
            TableCell(note),
        ),
        row,
    )


def step_counts(counts: Mapping[str, int]) -> str:
    """``7=``, ``3✓ 4=``: how many steps by sign."""
    return " ".join(f"{counts[outcome]}{mark}" for outcome, mark in _COUNTED if counts.get(outcome)) or _NOTHING


METRICS = 4  # columns, unless others are chosen
TYPING = 0.06  # seconds without a key after which a filter is tried
MARKED = 6  # runs at once side by side


class RunsPage(RunActionsPage):
    """The list of runs."""

    route = "runs"
    CSS_PATH = "runs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("space", "mark", "Mark"),
        Binding("c", "compare", "Compare"),
        Binding("s", "sort", "Sort"),
        Binding("S", "turn", "Turn the order", show=False),
        Binding("m", "metrics", "Metrics"),
        Binding("escape", "clear", "Clear filter", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.filter = ""
        self.order = RunSort()
        self.chosen: list[str] | None = None  # metrics; None: those the newest runs have
        self.marked: dict[str, RunRow] = {}
        self.view: FilteredRuns | None = None
        self.shown: list[str] = []  # metrics that are columns now
        self._typing: Timer | None = None
        self.keep: str | None = None  # the run the cursor is to stay on

    def body(self) -> ComposeResult:
        """The filter, the table, and what to say where there is none."""
        with Vertical(classes="panel", id="runs"):
            yield Input(placeholder="words, status:failed, branch:main, since:2d, accuracy>0.9", id="filter")
            yield Notice("#table")
            yield LazyTable(id="table")

    def on_mount(self) -> None:
        """Where one was, in the usual order and without a filter: a list that leaves runs out unasked misleads."""
        kept = self.ui.saved_page_state(self.route)
        self.chosen = [str(name) for name in kept["metrics"]] if isinstance(kept.get("metrics"), list) else None
        self.keep = kept.get("run")
        table = self.query_one(LazyTable)
        table.is_marked = self.marked.__contains__
        field = self.query_one(Input)
        field.cursor_blink = False  # a screen at rest writes nothing
        field.display = False
        table.focus()
        self.set_interval(1.0, self._tick)

    def page_state(self) -> Mapping[str, Any]:
        """The metrics that were chosen, and the run under the cursor."""
        current = self._current()
        return {
            "metrics": self.chosen,
            "run": current.id if current is not None and self.query_one(LazyTable).cursor else None,
        }

    def open_with(self, **what: Any) -> None:
        """Shows what a filter leaves: ``go("runs", filter="commit:1a2b3c")``."""
        self.query_one(Input).value = str(what.get("filter", ""))
        self.query_one(Input).display = True

    # -- what is shown

    def refresh_data(self) -> None:
        """The order of all runs; the rows follow where they are seen."""
        self.busy = False
        current = self._current()
        text, order, keep = self.filter, self.order, self.keep or (current.id if current is not None else None)
        self.run_query("view", lambda ws: filter_runs(ws, text, order, keep), self._show)

    def query_failed(self, key: str, error: ErrorMessage) -> None:
        """In place of the table where there is none yet, else as a message beside it."""
        if key in ("view", "rows") and (self.view is None or not len(self.view)):
            self.query_one(Notice).show_error(error)
        elif key == "view":
            self.query_one("#runs").border_subtitle = Text(plain(error.message))
        else:
            super().query_failed(key, error)

    def _show(self, found: FilteredRuns) -> None:
        followed = self.view is not None and self.query_one(LazyTable).cursor == 0 and self.keep is None
        self.view = found
        self.query_one("#runs").border_title = "Runs"
        self._count(found)
        if not len(found):
            self._explain_empty(found)
            return
        self.query_one(Notice).hide()
        table = self.query_one(LazyTable)
        if self.focused is None:  # a widget that is not seen loses the keys
            table.focus()
        shown = list(found.metrics[:METRICS]) if self.chosen is None else self.chosen
        if not table.columns or shown != self.shown:
            self.shown = shown
            table.set_columns(columns(shown))
        table.sorted_by = (self.order.key, self.order.descending)
        table.show(len(found))
        if found.position is not None and not followed:
            table.move_to(found.position)
        self.keep = None

    def _count(self, found: FilteredRuns) -> None:
        filtered = f"{len(found):,} of {found.of + len(found.live):,}" if self.filter else f"{len(found):,}"
        marked = f" · {len(self.marked)} marked" if self.marked else ""
        order = self.order.key.removeprefix("metric:")
        sorted_by = f" · by {plain(order)} {'▼' if self.order.descending else '▲'}" if self.order != RunSort() else ""
        self.query_one("#runs").border_subtitle = Text(f"{filtered}{sorted_by}{marked}")

    @on(LazyTable.RowsRequested)
    def _rows_requested(self, event: LazyTable.RowsRequested) -> None:
        if self.view is None:
            return
        listed, first, count = self.view, event.first, event.count

        def put(rows: list[RunRow]) -> None:
            if self.view is not listed:  # its rows are others, and are requested where they are seen
                return
            now = time.time()
            self.query_one(LazyTable).put(first, [table_row(row, self.shown, now) for row in rows])

        self.run_query(f"rows{first}", lambda ws: rows_in(ws, listed.live, listed.order, first, count), put)

    def _tick(self) -> None:
        """Times of runs in progress go on."""
        if self.view is not None and self.view.live and self.is_current:
            self.refresh_data()

    def update_ages(self, now: float) -> None:
        """How long ago the runs began."""
        self.query_one(LazyTable).rewrite(lambda row: table_row(row.value, self.shown, now))

    def _explain_empty(self, found: FilteredRuns) -> None:
        if found.of or self.filter:
            self.query_one(Notice).show_text(
                "No run matches", f"{found.of:,} runs are recorded.", next=(("Esc", "clear the filter"),)
            )
            return
        from gitml.engine.planning.load import list_pipelines

        self.run_query("pipelines", list_pipelines, self._show_first_steps)

    def _show_first_steps(self, pipelines: Sequence[str]) -> None:
        notice = self.query_one(Notice)
        if pipelines:
            notice.show_text(
                "Nothing has run here yet",
                f"Pipelines: {', '.join(plain(name) for name in pipelines[:6])}",
                next=(("n", "start a run"), ("gitml run", "the same in a shell")),
            )
        else:
            notice.show_text(
                "There is no pipeline here yet",
                "A pipeline is a file pipelines/NAME.yaml.",
                next=(("gitml init", "write a first one"), ("gitml demo", "make a small repository to explore")),
            )

    # -- filter and order

    def action_filter(self) -> None:
        """Types a filter."""
        field = self.query_one(Input)
        field.display = True
        field.focus()

    def action_clear(self) -> None:
        """Leaves the filter as it is, or clears it from the table."""
        field = self.query_one(Input)
        if field.has_focus and field.value:
            self.query_one(LazyTable).focus()
            return
        field.value = ""
        field.display = False
        self.query_one(LazyTable).focus()

    @on(Input.Changed, "#filter")
    def _typed(self, event: Input.Changed) -> None:
        self.filter = event.value
        if self._typing is not None:
            self._typing.stop()
        self.busy = True
        self._typing = self.set_timer(TYPING, self.refresh_data)

    @on(Input.Submitted, "#filter")
    def _entered(self) -> None:
        self.query_one(LazyTable).focus()

    def action_sort(self) -> None:
        """Chooses the column to sort by."""
        offered = [
            MenuItem(column.key, column.title.strip() or "STATE")
            for column in columns(self.shown)
            if column.key in SORTABLE
        ]
        names = dict.fromkeys([*self.shown, *(self.view.metrics if self.view else ())])
        offered += [MenuItem(f"metric:{name}", plain(name), "metric") for name in names]
        self.choose("Sort by", offered, self._sort, self.order.key)

    def _sort(self, key: str) -> None:
        self._order(RunSort(key, not self.order.descending if key == self.order.key else key not in RISING))

    def _order(self, order: RunSort) -> None:
        """Another order is looked at from its top."""
        self.order = order
        self.query_one(LazyTable).move_to(0)
        self.refresh_data()

    def action_turn(self) -> None:
        """The other way round."""
        self._order(self.order._replace(descending=not self.order.descending))

    @on(LazyTable.HeaderSelected)
    def _header_selected(self, event: LazyTable.HeaderSelected) -> None:
        if event.column.key in SORTABLE or event.column.key.startswith("metric:"):
            self._sort(event.column.key)

    def action_metrics(self) -> None:
        """Chooses the metrics that are columns."""
        from gitml.tui.widgets.dialogs import MultiSelect

        names = dict.fromkeys([*self.shown, *(self.view.metrics if self.view else ())])

        def chosen(picked: list[str]) -> None:
            self.chosen = picked
            self.refresh_data()

        offered = [MenuItem(name, plain(name)) for name in names]
        self.open_dialog(MultiSelect("Metrics as columns", offered, self.shown), chosen)

    # -- one run, and several

    @on(LazyTable.RowSelected)
    def _open(self, event: LazyTable.RowSelected) -> None:
        self.ui.go("run", run=event.row.key)

    def selected_run(self) -> SelectedRun | None:
        """The run under the cursor."""
        row = self._current()
        return SelectedRun(row.id, row.pipeline, row.status == "running") if row is not None else None

    def action_mark(self) -> None:
        """Marks the run under the cursor to be compared, or takes the mark away; goes on to the next."""
        table, row = self.query_one(LazyTable), self._current()
        if row is None:
            return
        if row.id in self.marked:
            del self.marked[row.id]
        elif len(self.marked) >= MARKED:
            self.ui.report(f"{MARKED} runs are marked already")
            return
        else:
            self.marked[row.id] = row
        table.refresh()
        table.action_move(1)
        if self.view is not None:
            self._count(self.view)

    def action_compare(self) -> None:
        """Puts the marked runs side by side; with one marked, that and the one under the cursor."""
        rows = dict(self.marked)
        current = self._current()
        if len(rows) < 2 and current is not None:
            rows[current.id] = current
        if len(rows) == 1 and current is not None:
            below = self.query_one(LazyTable).row(self.query_one(LazyTable).cursor + 1)
            if below is not None:
                rows = {below.key: below.value, **rows}
        if len(rows) < 2:
            self.ui.report("mark two runs with the space bar first")
            return
        self.ui.go("compare", runs=tuple(sorted(rows, key=lambda id: rows[id].started)))

    def _current(self) -> RunRow | None:
        row = self.query_one(LazyTable).current if self.is_mounted else None
        return row.value if row is not None else None
