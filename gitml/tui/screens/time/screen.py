"""Time: commits x steps. What became of each step at each commit of a branch, and what would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from gitml.analysis.timeline import RUNNING, Timeline, TimelineCell, TimelineRow, meant_pipeline, open_timeline
from gitml.core.text.format import count
from gitml.engine.planning.load import list_pipelines
from gitml.errors import InputError
from gitml.git.revisions import branch_name, branches_of, resolve_commit
from gitml.store.index.runs import metric_names, newest_runs
from gitml.tui.actions import RunActionsPage, SelectedRun
from gitml.tui.errors import ErrorMessage
from gitml.tui.screens.time.grid import TimeGrid
from gitml.tui.screens.time.view import ChartPanel, cell_text, legend, running_lines
from gitml.tui.text import plain
from gitml.tui.widgets.dialogs import MenuItem
from gitml.tui.widgets.notice import Notice
from gitml.workspace import Workspace


class TimeQuery(NamedTuple):
    """What the screen shows: a pipeline (None: the default), a revision, whether merged commits too."""

    pipeline: str | None = None
    rev: str = "HEAD"
    merged: bool = False


class TimeHistory(NamedTuple):
    """A history; the pipelines there are at its newest commit, and the metrics that runs of this one have."""

    timeline: Timeline
    branch: str
    pipelines: tuple[str, ...]
    metrics: tuple[str, ...]
    now: float


def open_history(ws: Workspace, query: TimeQuery) -> TimeHistory:
    """The history that a query names."""
    pipelines = tuple(list_pipelines(ws, query.rev))
    pipeline = query.pipeline
    if pipeline is None or (pipeline not in pipelines and not newest_runs(ws.index, pipeline=pipeline, limit=1)):
        pipeline = meant_pipeline(ws, query.rev)
    timeline = open_timeline(ws, pipeline, query.rev, merged=query.merged)
    branch = query.rev if query.rev != "HEAD" else branch_name(ws.location) or "HEAD"
    return TimeHistory(timeline, branch, pipelines, tuple(metric_names(ws.index, pipeline)), ws.now())


_BATCH = 12  # rows of one query: so many are shown before the next are computed
_LOOK = 3.0  # seconds between looks whether the branch moved


class TimePage(RunActionsPage):
    """The history of a branch as a grid."""

    route = "time"
    main_query = "open"
    CSS_PATH = "time.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run_here", "Run here"),
        Binding("e", "explain_step", "Explain"),
        Binding("space", "mark", "Mark"),
        Binding("m", "metric", "Metric"),
        Binding("v", "chart", "Chart"),
        Binding("b", "branch", "Branch"),
        Binding("p", "pipeline", "Pipeline"),
        Binding("M", "merged", "Merged commits", show=False),
        Binding("L", "lineage", "Lineage", show=False),
        Binding("y", "copy", "Copy commit", show=False),
        Binding("n", "new_run", "New run", show=False),
        Binding("x", "cancel_run", "Cancel", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._query = TimeQuery()
        self._opened: TimeHistory | None = None
        self._metric: str | None = None
        self._chart = False

    def body(self) -> ComposeResult:
        """The grid, what its cell says, the metric as a line."""
        yield Notice("#time")
        with Vertical(id="time"):
            with Vertical(id="time-history", classes="panel"):
                yield TimeGrid(id="time-grid")
            yield ChartPanel(id="time-chart", classes="panel")
            yield Static(id="time-cell", classes="panel")

    def on_mount(self) -> None:
        """Where one was last time."""
        kept = self.ui.saved_page_state(self.route)
        self._query = TimeQuery(kept.get("pipeline"), kept.get("rev", "HEAD"), bool(kept.get("merged")))
        self._metric = kept.get("metric")
        self._chart = bool(kept.get("chart"))
        self.query_one(ChartPanel).display = False
        self.set_interval(_LOOK, self._look)

    def page_state(self) -> Mapping[str, Any]:
        """Pipeline, branch, metric."""
        return {**self._query._asdict(), "metric": self._metric, "chart": self._chart}

    def open_with(self, **what: Any) -> None:
        """A pipeline, a branch or commit."""
        self._query = TimeQuery(what.get("pipeline", self._query.pipeline), what.get("rev", "HEAD"), self._query.merged)
        self._reopen()

    # -- queries

    def refresh_data(self) -> None:
        """The history, if it moved, and the rows that are seen."""
        query = self._query
        self.run_query("open", lambda ws: open_history(ws, query), self._show)

    def action_refresh(self) -> None:
        """Reloads everything: the store may have lost or gained something without a record."""
        if self._opened is not None:
            self._opened.timeline.forget()
        self.refresh_data()

    def query_failed(self, key: str, error: ErrorMessage) -> None:
        """Without a history there is no grid."""
        if key == "open":
            self._opened = None
        super().query_failed(key, error)

    def _look(self) -> None:
        opened, rev = self._opened, self._query.rev
        if opened is None or not self.is_current:
            return

        def moved(ws: Workspace) -> bool:
            return resolve_commit(ws.objects, ws.location, rev) != opened.timeline.commits[0]

        self.run_query("look", moved, lambda has: self.refresh_data() if has else None)

    def update_ages(self, now: float) -> None:
        """How old the commits are."""
        self.query_one(TimeGrid).update_ages(now)

    def _reopen(self) -> None:
        self._opened = None
        self.query_one(TimeGrid).forget()
        self.refresh_data()

    def _show(self, opened: TimeHistory) -> None:
        before = self._opened
        if before is not None and before.timeline.pipeline == opened.timeline.pipeline:
            before.timeline.commits = opened.timeline.commits
            opened = opened._replace(timeline=before.timeline)  # with all it remembers
        self._opened = opened
        self.query_one(Notice).hide()
        if self._metric not in opened.metrics:
            self._metric = opened.metrics[0] if opened.metrics else None
        grid = self.query_one(TimeGrid)
        grid.metric = self._metric
        grid.show(opened.timeline.commits, opened.now)
        self.draw_frame()
        if self.focused is None:
            grid.focus()
        self._draw()

    @on(TimeGrid.RowsRequested)
    def _rows_requested(self, event: TimeGrid.RowsRequested) -> None:
        event.stop()
        self._query_rows(event.first, event.count)

    def _query_rows(self, first: int, left: int) -> None:
        opened = self._opened
        if opened is None:
            return
        timeline = opened.timeline
        some = min(left, _BATCH)

        def then(rows: list[TimelineRow]) -> None:
            if self._opened is not None and self._opened.timeline is timeline:
                self.query_one(TimeGrid).put(first, rows)
                if left > some:
                    self._query_rows(first + some, left - some)
                elif self._chart:
                    self._draw()

        self.run_query("rows", lambda ws: timeline.rows(ws, first, some), then)

    # -- what is shown

    def draw_frame(self) -> None:
        """What the grid is of, and what its signs mean, in its frame."""
        opened = self._opened
        if opened is None:
            return
        panel = self.query_one("#time-history")
        merged = ", with merged ones" if self._query.merged else ""
        commits = f"{count(len(opened.timeline.commits), 'commit')}{merged}"
        panel.border_title = f"{plain(opened.timeline.pipeline)} on {plain(opened.branch)}  {commits}"
        panel.border_subtitle = legend(short=self.size.width < 110)

    @on(TimeGrid.CellHighlighted)
    def _cell_highlighted(self) -> None:
        grid = self.query_one(TimeGrid)
        cell = self.query_one("#time-cell", Static)
        row = grid.current
        if row is not None:
            names = f" {', '.join(map(plain, row.names))}" if row.names else ""
            cell.border_title = f"{row.commit[:12]}{names}"
        cell.update(cell_text(row, grid.step, self._marked_elsewhere()), layout=False)
        if self._chart:
            self.query_one(ChartPanel).place(grid.cursor)

    def _marked_elsewhere(self) -> str:
        """The step and the commit of the cell that is marked, when the cursor is on another."""
        grid = self.query_one(TimeGrid)
        if grid.marked is None or grid.marked == (grid.cursor, grid.step):
            return ""
        row = grid.row(grid.marked.row)
        return f"{plain(grid.marked.step)} at {row.commit[:12]}" if row is not None else ""

    # -- the chart

    def action_chart(self) -> None:
        """Shows the metric along the history, or hides it."""
        self._chart = not self._chart
        self._draw()

    def _draw(self) -> None:
        holder = self.query_one(ChartPanel)
        opened, metric = self._opened, self._metric
        holder.display = self._chart
        self.set_class(self._chart, "charting")
        if not self._chart or opened is None:
            return
        timeline = opened.timeline
        if metric is None:
            self._chart = holder.display = False
            self.ui.report("no run of this pipeline has a metric to draw")
            return

        def then(points: list[tuple[int, float]]) -> None:
            holder.show(metric, len(timeline.commits), points)
            holder.place(self.query_one(TimeGrid).cursor)

        self.run_query("series", lambda ws: timeline.series(ws, metric), then)

    # -- what can be done

    @on(TimeGrid.CellSelected)
    def action_open_run(self) -> None:
        """The run behind the cell, else the newest of the commit."""
        run = self._run_of_cell()
        if run is None:
            self.ui.report("nothing has run here yet: r runs the pipeline at this commit")
            return
        self.ui.go("run", run=run, step=self.query_one(TimeGrid).step)

    def action_run_here(self) -> None:
        """Runs the pipeline at the commit, after a word."""
        opened, row = self._opened, self.query_one(TimeGrid).current
        if opened is None or row is None:
            return
        if row.problem:
            self.ui.report_error(InputError(row.problem, hint=row.hint))
            return
        from gitml.engine.detached import run_arguments

        pipeline = opened.timeline.pipeline
        words = run_arguments(pipeline, rev=row.commit)
        lines = running_lines(pipeline, row)
        self.confirm("Run the pipeline at this commit?", lines, lambda: self.start_run(words), yes="Run")

    def action_mark(self) -> None:
        """Marks the cell, to be compared with another."""
        self.query_one(TimeGrid).mark()

    def action_explain_step(self) -> None:
        """Why the step would run here; with another cell marked, what changed between the two."""
        opened, grid = self._opened, self.query_one(TimeGrid)
        row, step = grid.current, grid.step
        if opened is None or row is None or step is None:
            return
        revisions = row.commit
        if grid.marked is not None and grid.marked.row != grid.cursor:
            older, newer = sorted((grid.marked.row, grid.cursor), reverse=True)
            revisions = f"{grid.commits[older]}..{grid.commits[newer]}"
        self.explain(step, opened.timeline.pipeline, revisions)

    def selected_run(self) -> SelectedRun | None:
        """The run behind the cell."""
        opened, run = self._opened, self._run_of_cell()
        if opened is None or run is None:
            return None
        cell = self._cell()
        live = cell is not None and cell.state == RUNNING
        return SelectedRun(run, opened.timeline.pipeline, live, self.query_one(TimeGrid).step)

    def action_metric(self) -> None:
        """Which metric stands beside the commits and is drawn."""
        opened = self._opened
        if opened is None:
            return
        if not opened.metrics:
            self.ui.report("no run of this pipeline has metrics")
            return

        def then(metric: str) -> None:
            self._metric = self.query_one(TimeGrid).metric = metric
            self.query_one(TimeGrid).on_resize()
            self._chart = True
            self._draw()

        self.choose("Which metric?", [MenuItem(name, plain(name)) for name in opened.metrics], then, self._metric)

    def action_branch(self) -> None:
        """Another branch."""

        def offer(branches: list[str]) -> None:
            choices = [
                MenuItem("HEAD", "HEAD", "what is checked out"),
                *(MenuItem(name, plain(name)) for name in branches),
            ]
            self.choose("The history of which branch?", choices, then, self._query.rev)

        def then(rev: str) -> None:
            self._query = self._query._replace(rev=rev)
            self._reopen()

        self.run_query("branches", lambda ws: branches_of(ws.location), offer)

    def action_pipeline(self) -> None:
        """Another pipeline."""
        opened = self._opened
        if opened is None:
            return

        def then(pipeline: str) -> None:
            self._query = self._query._replace(pipeline=pipeline)
            self._reopen()

        choices = [MenuItem(name, plain(name)) for name in opened.pipelines]
        self.choose("Which pipeline?", choices, then, opened.timeline.pipeline)

    def action_merged(self) -> None:
        """With or without the commits of merged branches."""
        self._query = self._query._replace(merged=not self._query.merged)
        self.refresh_data()

    def action_lineage(self) -> None:
        """What was made of the commit."""
        row = self.query_one(TimeGrid).current
        if row is not None:
            self.ui.go("lineage", thing=row.commit, direction="down")

    def action_copy(self) -> None:
        """The id of the commit."""
        row = self.query_one(TimeGrid).current
        if row is not None:
            self.ui.copy(row.commit, "commit")

    def _run_of_cell(self) -> str | None:
        row, cell = self.query_one(TimeGrid).current, self._cell()
        if cell is not None and cell.run is not None:
            return cell.run
        return row.runs[0].id if row is not None and row.runs else None

    def _cell(self) -> TimelineCell | None:
        grid = self.query_one(TimeGrid)
        return grid.current.cells.get(grid.step or "") if grid.current is not None else None
