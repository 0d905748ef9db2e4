"""Artifacts: what steps made, what it is, who used it, where its bytes are; to be looked into, written out, and freed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widgets import Input, Static

from gitml.store.index.artifacts import COLUMNS, Artifact, ArtifactQuery
from gitml.tui.screens.artifacts.actions import ArtifactActionsPage
from gitml.tui.screens.artifacts.view import (
    ARTIFACT_COLUMNS,
    ArtifactContents,
    ArtifactListing,
    PreviewPane,
    artifact_text,
    inspect_artifact,
    missing_text,
    open_list,
    row_of,
    totals_text,
)
from gitml.tui.text import plain
from gitml.tui.widgets.dialogs import MenuItem
from gitml.tui.widgets.notice import Notice
from gitml.tui.widgets.table import LazyTable
from gitml.workspace import Workspace

_ORDERS = {
    "used": "when it was last used",
    "size": "size",
    "name": "name",
    "kind": "kind",
    "uses": "how many steps used it",
    "made": "when it was last made",
    "where": "where its bytes are",
    "pipeline": "pipeline",
    "run": "run",
}
_INSPECTION_DELAY = 0.06  # seconds that the cursor rests before what it is on is looked into
_DOWN = ("size", "uses", "used", "made")  # the largest first


class ArtifactsPage(ArtifactActionsPage):
    """The list of artifacts, and what the one under the cursor is."""

    route = "artifacts"
    main_query = "open"
    CSS_PATH = "artifacts.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s", "sort", "Sort"),
        Binding("S", "turn", "Turn the order", show=False),
        Binding("space", "mark", "Mark"),
        Binding("c", "curves", "Curves", show=False),
        Binding("escape", "clear", "Clear filter", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.list_query = ArtifactQuery()
        self._listing: ArtifactListing | None = None
        self._inspection: Timer | None = None

    def body(self) -> ComposeResult:
        """The filter and the table; beside them what the artifact is and what is in it."""
        yield Notice("#artifacts")
        with Horizontal(id="artifacts"):
            with Vertical(id="artifacts-list", classes="panel"):
                yield Input(placeholder="words of name, pipeline, kind, run, place or digest", id="artifacts-filter")
                yield LazyTable(ARTIFACT_COLUMNS, id="artifacts-table")
            with Vertical(id="artifacts-one"):
                yield Static(id="artifacts-about", classes="panel")
                yield PreviewPane(id="artifacts-preview", classes="panel")

    def on_mount(self) -> None:
        """Where one was last time."""
        kept = self.ui.saved_page_state(self.route)
        order = kept.get("order") if kept.get("order") in COLUMNS else "used"
        self.list_query = ArtifactQuery(
            tuple(str(kept.get("filter", "")).split()), str(order), bool(kept.get("descending", True))
        )
        table = self.query_one(LazyTable)
        table.is_marked = self.marked.__contains__
        field = self.query_one(Input)
        with self.prevent(Input.Changed):
            field.value = " ".join(self.list_query.words)
        field.display = bool(self.list_query.words)
        table.focus()

    def page_state(self) -> Mapping[str, Any]:
        """Filter and order."""
        return {
            "filter": " ".join(self.list_query.words),
            "order": self.list_query.order,
            "descending": self.list_query.descending,
        }

    def open_with(self, **what: Any) -> None:
        """An artifact by its digest, or words to filter by."""
        words = str(what.get("digest") or what.get("filter") or "")
        field = self.query_one(Input)
        field.value = words
        field.display = bool(words)

    # -- queries

    def refresh_data(self) -> None:
        """The list, when records were added since."""
        before = self._listing

        def query(ws: Workspace) -> ArtifactListing | None:
            return None if before is not None and ws.records.tip() == before.tip else open_list(ws)

        if before is None:
            self.query_one("#artifacts-list").border_title = "Artifacts: reading …"
        self.run_query("open", query, self._show)

    def action_refresh(self) -> None:
        """Reloads the list, and where bytes are."""
        self._listing = None
        self.refresh_data()

    def _show(self, listing: ArtifactListing | None) -> None:
        if listing is None:
            return
        self._listing = listing
        notice = self.query_one(Notice)
        if not listing.totals:
            notice.show_text(
                "Nothing was made here yet",
                "The outputs of steps are kept in the repository's store, by their content.",
                next=[("gitml run", "run a pipeline"), ("1", "the runs")],
            )
            return
        notice.hide()
        self._list()

    def _list(self) -> None:
        """Counts what fits, so that the table knows its length; its rows are requested as they are seen."""
        listing, list_query = self._listing, self.list_query
        if listing is None:
            return
        counted = partial(self._counted, listing, list_query)
        self.run_query("count", lambda ws: listing.listing.count(list_query), counted)

    def _counted(self, listing: ArtifactListing, list_query: ArtifactQuery, number: int) -> None:
        if listing is not self._listing or list_query != self.list_query:
            return
        table = self.query_one(LazyTable)
        table.sorted_by = (list_query.order, list_query.descending)
        table.show(number)
        panel = self.query_one("#artifacts-list")
        every = sum(many for many, _ in listing.totals.values())
        shown = f"{number:,} of {every:,}" if list_query.words else f"{every:,}"
        panel.border_title = f"Artifacts  {shown}" + (f"  {len(self.marked)} marked" if self.marked else "")
        self.draw_frame()
        if not number:
            self._schedule_inspection(None)
            self.cancel_query("inspect")
            self._contents = None
            self.query_one("#artifacts-about", Static).update("")
            self.query_one(PreviewPane).show_text("", "nothing fits the filter")

    def draw_frame(self) -> None:
        """The totals."""
        if self._listing is not None:
            self.query_one("#artifacts-list").border_subtitle = totals_text(self._listing.totals)

    @on(LazyTable.RowsRequested)
    def _page(self, event: LazyTable.RowsRequested) -> None:
        listing, list_query = self._listing, self.list_query
        if listing is None:
            return

        def then(found: list[Artifact]) -> None:
            if listing is not self._listing or list_query != self.list_query:
                return
            self.query_one(LazyTable).put(event.first, [row_of(artifact, listing.now) for artifact in found])
            contents = self.contents
            if contents is None or contents.details.artifact != self.current:
                self._schedule_inspection(self.current)  # it is new, or was fetched, freed or found meanwhile

        self.run_query(
            f"page {event.first}", lambda ws: listing.listing.page(list_query, event.first, event.count), then
        )

    def update_ages(self, now: float) -> None:
        """How long ago the artifacts were used."""
        self.query_one(LazyTable).rewrite(lambda row: row_of(row.value, now))

    @on(LazyTable.RowHighlighted)
    def _row_highlighted(self, event: LazyTable.RowHighlighted) -> None:
        self._schedule_inspection(event.row.value if event.row is not None else None)

    def _schedule_inspection(self, artifact: Artifact | None) -> None:
        """Looks into it soon, unless the cursor goes on before."""
        if self._inspection is not None:
            self._inspection.stop()
        if artifact is not None:
            self._inspection = self.set_timer(_INSPECTION_DELAY, partial(self._inspect, artifact))

    def _inspect(self, artifact: Artifact) -> None:
        # A lane for each artifact: one may take its time.
        self.run_query("inspect", lambda ws: inspect_artifact(ws, artifact), self._show_contents, lane=artifact.digest)

    # -- what the artifact under the cursor is

    def _show_contents(self, contents: ArtifactContents) -> None:
        self._contents = contents
        panel = self.query_one("#artifacts-about", Static)
        panel.border_title = plain(contents.details.artifact.name)
        panel.update(artifact_text(contents.details), layout=False)
        pane = self.query_one(PreviewPane)
        artifact = contents.details.artifact
        if contents.error is not None:
            pane.show_text(contents.error.title, contents.error.text, "bad")
        elif contents.preview is None:
            pane.show_text(*missing_text(artifact))
        else:
            pane.show(contents.preview, contents.image, contents.note)

    # -- what is listed

    def action_filter(self) -> None:
        """A line to type words into."""
        field = self.query_one(Input)
        field.display = True
        field.focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self.list_query = self.list_query._replace(words=tuple(event.value.split()))
        self._list()

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.query_one(LazyTable).focus()

    def action_clear(self) -> None:
        """From the filter to the table; then no filter, no marks, then back."""
        field = self.query_one(Input)
        if field.has_focus or field.display:
            field.value = ""
            field.display = False
            self.query_one(LazyTable).focus()
        elif self.marked:
            self.marked.clear()
            self._list()
        else:
            self.action_leave()

    def action_sort(self) -> None:
        """By another column."""
        choices = [MenuItem(order, words) for order, words in _ORDERS.items()]
        self.choose("Sort by what?", choices, self._sort, self.list_query.order)

    def action_turn(self) -> None:
        """The other way round."""
        self.list_query = self.list_query._replace(descending=not self.list_query.descending)
        self._list()

    @on(LazyTable.HeaderSelected)
    def _header_selected(self, event: LazyTable.HeaderSelected) -> None:
        if event.column.key == self.list_query.order:
            self.action_turn()
        else:
            self._sort(event.column.key)

    def _sort(self, order: str) -> None:
        self.list_query = self.list_query._replace(order=order, descending=order in _DOWN)
        self.query_one(LazyTable).move_to(0)
        self._list()

    def action_mark(self) -> None:
        """Marks the artifact, to be freed with others."""
        artifact = self.current
        if artifact is None:
            return
        if self.marked.pop(artifact.digest, None) is None:
            self.marked[artifact.digest] = artifact
        table = self.query_one(LazyTable)
        table.refresh()
        table.action_move(1)
        self._list()

    # -- what can be done

    @on(LazyTable.RowSelected)
    def _row_selected(self) -> None:
        self.query_one(PreviewPane).focus()

    def action_curves(self) -> None:
        """The numbers of a table as curves, and back."""
        contents = self._contents
        if contents is None or contents.preview is None:
            return
        pane = self.query_one(PreviewPane)
        if pane.drawn:
            pane.show(contents.preview, contents.image, contents.note)
        elif not pane.plot(contents.preview):
            self.ui.report("there are no columns of numbers in it")
