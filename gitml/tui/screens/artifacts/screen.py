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

from gitml.history.files.preview import TABLE
from gitml.store.index.artifact_list import COLUMNS, Artifact, ArtifactQuery
from gitml.tui.errors import Told
from gitml.tui.screens.artifacts.actions import ArtifactActingPage
from gitml.tui.screens.artifacts.preview_pane import PreviewPane
from gitml.tui.screens.artifacts.queries import Opened, Seen, look_into, open_list
from gitml.tui.screens.artifacts.text import ARTIFACT_COLUMNS, absence, artifact_text, row_of, totals_text
from gitml.tui.text import plain
from gitml.tui.widgets.dialogs.choices import Choice
from gitml.tui.widgets.notice import Notice
from gitml.tui.widgets.tables.big_table import BigTable
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
_REST = 0.06  # seconds that the cursor rests before what it is on is looked into
_DOWN = ("size", "uses", "used", "made")  # the largest first


class Artifacts(ArtifactActingPage):
    """The list of artifacts, and what the one under the cursor is."""

    place = "artifacts"
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
        self.wanted = ArtifactQuery()
        self._opened: Opened | None = None
        self._rows: dict[str, Artifact] = {}  # those seen lately
        self._seen: Seen | None = None
        self._resting: Timer | None = None
        self._drawn = False  # whether the table of the preview is drawn as curves

    def body(self) -> ComposeResult:
        """The filter and the table; beside them what the artifact is and what is in it."""
        yield Notice()
        with Horizontal(id="artifacts"):
            with Vertical(id="artifacts-list", classes="panel"):
                yield Input(placeholder="words of name, pipeline, kind, run, place or digest", id="artifacts-filter")
                yield BigTable(ARTIFACT_COLUMNS, id="artifacts-table")
            with Vertical(id="artifacts-one"):
                yield Static(id="artifacts-about", classes="panel")
                yield PreviewPane(id="artifacts-preview", classes="panel")

    def on_mount(self) -> None:
        """Where one was last time."""
        kept = self.ui.recalled(self.place)
        order = kept.get("order") if kept.get("order") in COLUMNS else "used"
        self.wanted = ArtifactQuery(
            tuple(str(kept.get("filter", "")).split()), str(order), bool(kept.get("descending", True))
        )
        table = self.query_one(BigTable)
        table.is_marked = self.marked.__contains__
        field = self.query_one(Input)
        with self.prevent(Input.Changed):
            field.value = " ".join(self.wanted.words)
        field.display = bool(self.wanted.words)
        table.focus()

    def remembered(self) -> Mapping[str, Any]:
        """Filter and order."""
        return {
            "filter": " ".join(self.wanted.words),
            "order": self.wanted.order,
            "descending": self.wanted.descending,
        }

    def arrive(self, **what: Any) -> None:
        """An artifact by its digest, or words to filter by."""
        words = str(what.get("digest") or what.get("filter") or "")
        field = self.query_one(Input)
        field.value = words
        field.display = bool(words)

    # -- what is asked

    def refresh_data(self) -> None:
        """The list, when records were added since."""
        before = self._opened

        def question(ws: Workspace) -> Opened | None:
            return None if before is not None and ws.records.tip() == before.tip else open_list(ws)

        if before is None:
            self.query_one("#artifacts-list").border_title = "Artifacts: reading …"
        self.ask("open", question, self._show)

    def action_refresh(self) -> None:
        """The list anew, and where bytes are."""
        self._opened = None
        self.refresh_data()

    def wrong(self, key: str, error: Told) -> None:
        """In place of the list when there is none."""
        if key == "open":
            self.query_one("#artifacts").display = False
            self.query_one(Notice).tell(error)
        else:
            super().wrong(key, error)

    def _show(self, opened: Opened | None) -> None:
        if opened is None:
            return
        self._opened = opened
        notice = self.query_one(Notice)
        empty = not opened.totals
        self.query_one("#artifacts").display = not empty
        if empty:
            notice.say(
                "Nothing was made here yet",
                "What steps give at their outputs is kept in the repository's store, by its content.",
                next=[("gitml run", "run a pipeline"), ("1", "the runs")],
            )
            return
        notice.hush()
        self._list()

    def _list(self) -> None:
        """Counts what fits, so that the table knows its length; its rows are asked for as they are seen."""
        opened, wanted = self._opened, self.wanted
        if opened is None:
            return
        self.ask("count", lambda ws: opened.listing.count(wanted), lambda number: self._counted(opened, wanted, number))

    def _counted(self, opened: Opened, wanted: ArtifactQuery, number: int) -> None:
        if opened is not self._opened or wanted != self.wanted:
            return
        table = self.query_one(BigTable)
        table.sorted_by = (wanted.order, wanted.descending)
        table.show(number)
        panel = self.query_one("#artifacts-list")
        every = sum(many for many, _ in opened.totals.values())
        shown = f"{number:,} of {every:,}" if wanted.words else f"{every:,}"
        panel.border_title = f"Artifacts  {shown}" + (f"  {len(self.marked)} marked" if self.marked else "")
        self._total()
        if not number:
            self._rest_on(None)
            self.unask("see")
            self._seen = None
            self.query_one("#artifacts-about", Static).update("")
            self.query_one(PreviewPane).say("", "nothing fits the filter")

    def _total(self) -> None:
        if self._opened is not None:
            told = totals_text(self._opened.totals, self.ui.inks)
            self.query_one("#artifacts-list").border_subtitle = told

    @on(BigTable.Wanted)
    def _page(self, event: BigTable.Wanted) -> None:
        opened, wanted = self._opened, self.wanted
        if opened is None:
            return

        def then(found: list[Artifact]) -> None:
            if opened is not self._opened or wanted != self.wanted:
                return
            if len(self._rows) > 4000:
                self._rows.clear()
            self._rows |= {artifact.digest: artifact for artifact in found}
            self.query_one(BigTable).put(event.first, [row_of(artifact, opened.now) for artifact in found])
            current = self.current
            seen = self.seen_of(current)
            if seen is None or seen.details.artifact != current:
                self._rest_on(current)  # it is new, or was brought, freed or found meanwhile

        self.ask(f"page {event.first}", lambda ws: opened.listing.page(wanted, event.first, event.count), then)

    def age(self, now: float) -> None:
        """How long ago the artifacts were used."""
        self.query_one(BigTable).rewrite(lambda row: row_of(self._rows[row.key], now) if row.key in self._rows else row)

    @on(BigTable.Moved)
    def _moved(self, event: BigTable.Moved) -> None:
        self._rest_on(self._rows.get(event.row.key) if event.row is not None else None)

    def _rest_on(self, artifact: Artifact | None) -> None:
        """Looks into it soon, unless the cursor goes on before."""
        if self._resting is not None:
            self._resting.stop()
        if artifact is not None:
            self._resting = self.set_timer(_REST, partial(self._look_into, artifact))

    def _look_into(self, artifact: Artifact) -> None:
        self._drawn = False
        self.ask("see", lambda ws: look_into(ws, artifact), self._tell, lane=artifact.digest)  # one may take its time

    # -- what the artifact under the cursor is

    def _tell(self, seen: Seen) -> None:
        self._seen = seen
        panel = self.query_one("#artifacts-about", Static)
        panel.border_title = plain(seen.details.artifact.name)
        panel.update(artifact_text(seen.details, self.ui.inks), layout=False)
        pane = self.query_one(PreviewPane)
        artifact = seen.details.artifact
        if seen.error is not None:
            pane.say(seen.error.title, seen.error.text, "bad")
        elif seen.preview is None:
            pane.say(*absence(artifact))
        elif not self._drawn:
            pane.show(seen.preview, seen.image, seen.note)

    def redraw(self) -> None:
        """The totals, and what the artifact is."""
        self._total()
        if self._seen is not None:
            self._tell(self._seen)

    # -- what is listed

    def action_filter(self) -> None:
        """A line to type words into."""
        field = self.query_one(Input)
        field.display = True
        field.focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self.wanted = self.wanted._replace(words=tuple(event.value.split()))
        self._list()

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.query_one(BigTable).focus()

    def action_clear(self) -> None:
        """From the filter to the table; then no filter, no marks, then back."""
        field = self.query_one(Input)
        if field.has_focus or field.display:
            field.value = ""
            field.display = False
            self.query_one(BigTable).focus()
        elif self.marked:
            self.marked.clear()
            self._list()
        else:
            self.action_leave()

    def action_sort(self) -> None:
        """By another column."""
        choices = [Choice(order, words) for order, words in _ORDERS.items()]
        self.choose("Sort by what?", choices, self._sort, self.wanted.order)

    def action_turn(self) -> None:
        """The other way round."""
        self.wanted = self.wanted._replace(descending=not self.wanted.descending)
        self._list()

    @on(BigTable.HeadClicked)
    def _head_clicked(self, event: BigTable.HeadClicked) -> None:
        if event.column.key == self.wanted.order:
            self.action_turn()
        else:
            self._sort(event.column.key)

    def _sort(self, order: str) -> None:
        self.wanted = self.wanted._replace(order=order, descending=order in _DOWN)
        self.query_one(BigTable).move_to(0)
        self._list()

    def action_mark(self) -> None:
        """Marks the artifact, to be freed with others."""
        artifact = self.current
        if artifact is None:
            return
        if self.marked.pop(artifact.digest, None) is None:
            self.marked[artifact.digest] = artifact
        table = self.query_one(BigTable)
        table.refresh()
        table.action_move(1)
        self._list()

    # -- what can be done

    @on(BigTable.Chosen)
    def _chosen(self) -> None:
        self.query_one(PreviewPane).focus()

    def action_curves(self) -> None:
        """The numbers of a table as curves, and back."""
        seen = self._seen
        if seen is None or seen.preview is None:
            return
        pane = self.query_one(PreviewPane)
        if self._drawn:
            self._drawn = False
            pane.show(seen.preview, seen.image, seen.note)
        elif seen.preview.kind == TABLE and pane.plot(seen.preview):
            self._drawn = True
        else:
            self.ui.say("there are no columns of numbers in it")

    @property
    def current(self) -> Artifact | None:
        """The artifact under the cursor."""
        row = self.query_one(BigTable).current
        return self._rows.get(row.key) if row is not None else None

    def seen_of(self, artifact: Artifact | None) -> Seen | None:
        """What was found in it, when that is what was looked into last."""
        seen = self._seen
        if seen is None or artifact is None or seen.details.artifact.digest != artifact.digest:
            return None
        return seen
