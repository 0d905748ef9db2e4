"""Artifacts: what steps made, what it is, who used it, where its bytes are; to be looked into, written out, and freed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widgets import Input, Static

from gitml.core.words import count, size
from gitml.errors import InputError
from gitml.flow.freeing import Freed, Freeing, consider, free
from gitml.history.checkout import Written, checkout
from gitml.history.preview import TABLE
from gitml.history.selecting import select
from gitml.store.artifactlist import COLUMNS, GONE, HERE, REMOTE, Artifact, Wanted
from gitml.tui.errors import Told
from gitml.tui.page import Page
from gitml.tui.screens.artifactasking import Opened, Seen, bring_here, look_in_remotes, look_into, open_list
from gitml.tui.screens.artifacttext import ARTIFACT_COLUMNS, absence, artifact_text, freeing_lines, row_of, totals_text
from gitml.tui.screens.previewed import PreviewPane
from gitml.tui.text import plain
from gitml.tui.widgets.bigtable import BigTable
from gitml.tui.widgets.dialogs import Choice
from gitml.tui.widgets.notice import Notice
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


class Artifacts(Page):
    """The list of artifacts, and what the one under the cursor is."""

    place = "artifacts"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s", "sort", "Sort"),
        Binding("S", "turn", "Turn the order", show=False),
        Binding("space", "mark", "Mark", key_display="␣"),
        Binding("w", "write", "Write out"),
        Binding("f", "fetch", "Fetch", show=False),
        Binding("x", "free", "Free"),
        Binding("L", "lineage", "Lineage"),
        Binding("o", "open_run", "Run"),
        Binding("c", "curves", "Curves", show=False),
        Binding("y", "copy", "Copy digest", show=False),
        Binding("escape", "clear", "Clear filter", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.wanted = Wanted()
        self.marked: dict[str, Artifact] = {}
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
        self.wanted = Wanted(tuple(str(kept.get("filter", "")).split()), str(order), bool(kept.get("descending", True)))
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
        if GONE in opened.totals:
            self.ask("look", lambda ws: look_in_remotes(ws, opened), self._located)

    def _located(self, answer: tuple[Opened, tuple[str, ...]]) -> None:
        """Remote stores were asked about what is not here."""
        opened, troubles = answer
        if self._opened is None or opened.listing is not self._opened.listing:
            return
        if troubles:
            self.query_one("#artifacts-list").border_subtitle = plain(troubles[0])
        if REMOTE in opened.totals:
            self._opened = opened
            self._rows.clear()
            self._list()

    def _list(self) -> None:
        """Counts what fits, so that the table knows its length; its rows are asked for as they are seen."""
        opened, wanted = self._opened, self.wanted
        if opened is None:
            return
        self.ask("count", lambda ws: opened.listing.count(wanted), lambda number: self._counted(opened, wanted, number))

    def _counted(self, opened: Opened, wanted: Wanted, number: int) -> None:
        if opened is not self._opened or wanted != self.wanted:
            return
        table = self.query_one(BigTable)
        table.sorted_by = (wanted.order, wanted.descending)
        table.show(number)
        panel = self.query_one("#artifacts-list")
        every = sum(many for many, _ in opened.totals.values())
        shown = f"{number:,} of {every:,}" if wanted.words else f"{every:,}"
        panel.border_title = f"Artifacts  {shown}" + (f"  {len(self.marked)} marked" if self.marked else "")
        panel.border_subtitle = totals_text(opened.totals, self.ui.inks)
        if not number:
            self.query_one("#artifacts-about", Static).update("")
            self.query_one(PreviewPane).say("", "nothing fits the filter")

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
            current = self._current()
            seen = self._seen_of(current)
            if current is not None and seen is not None and seen.details.artifact != current:
                self._look_into(current)  # it was brought, freed or found meanwhile

        self.ask(f"page {event.first}", lambda ws: opened.listing.page(wanted, event.first, event.count), then)

    @on(BigTable.Moved)
    def _moved(self, event: BigTable.Moved) -> None:
        artifact = self._rows.get(event.row.key) if event.row is not None else None
        if self._resting is not None:
            self._resting.stop()
        if artifact is not None:
            self._resting = self.set_timer(_REST, partial(self._look_into, artifact))

    def _look_into(self, artifact: Artifact) -> None:
        self._drawn = False
        self.ask("see", lambda ws: look_into(ws, artifact), self._tell)

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
        artifact = self._current()
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

    def action_write(self) -> None:
        """Writes the artifact into a folder as a copy of one's own."""
        artifact = self._current()
        if artifact is None:
            return
        if artifact.where == GONE:
            self.ui.fail(_gone(artifact))
            return
        seen = self._seen_of(artifact)
        name = seen.details.file_name if seen is not None else artifact.port
        self.prompt(
            f"Write {plain(artifact.name)} where?",
            "A folder that exists gets it under its own name; a new path becomes the copy itself.",
            os.path.join(self.ui.feed.start, name or artifact.port),
            lambda text: self._write(artifact, text.strip()),
        )

    def _write(self, artifact: Artifact, place: str) -> None:
        if not place:
            return
        full = os.path.join(self.ui.feed.start, os.path.expanduser(place))

        def question(ws: Workspace) -> list[Written]:
            if artifact.where == REMOTE:
                bring_here(ws, [artifact])
            return checkout(ws, select(ws, f"{artifact.run}:{artifact.step}.{artifact.port}"), full)

        def then(done: list[Written]) -> None:
            for written in done:
                self.ui.say(f"{written.state}: {written.path}, {size(written.size)}")

        self.ask("write", question, then, alone=True)

    def action_fetch(self) -> None:
        """Brings the marked artifacts, or the one under the cursor, here from a remote store."""
        chosen = list(self.marked.values()) or [artifact for artifact in [self._current()] if artifact is not None]
        away = [artifact for artifact in chosen if artifact.where == REMOTE]
        if not away:
            if chosen:
                gone = any(artifact.where == GONE for artifact in chosen)
                self.ui.say("no remote store has it" if gone else "it is here already")
            return
        self.ui.say(f"bringing {size(sum(artifact.size or 0 for artifact in away))} …")
        self.ask("fetch", lambda ws: bring_here(ws, away), self._fetched, alone=True)

    def _fetched(self, brought: int) -> None:
        self.ui.say(f"{size(brought)} came")
        self.marked.clear()
        self.action_refresh()

    def action_free(self) -> None:
        """Deletes the marked artifacts, or the one under the cursor, once it was said what that means."""
        chosen = list(self.marked.values()) or [artifact for artifact in [self._current()] if artifact is not None]
        here = [artifact for artifact in chosen if artifact.where == HERE]
        if not here:
            if chosen:
                self.ui.say("its bytes are not in the store" if len(chosen) == 1 else "none of them is in the store")
            return
        digests = [artifact.digest for artifact in here]
        self.ui.say("looking at what keeps it …")
        self.ask("consider", lambda ws: consider(ws, digests), partial(self._confirm_free, here), alone=True)

    def _confirm_free(self, chosen: Sequence[Artifact], freeing: Freeing) -> None:
        name = plain(chosen[0].name) if len(chosen) == 1 else count(len(chosen), "artifact")

        def then() -> None:
            self.ask("free", lambda ws: free(ws, freeing.digests, though_kept=True), self._freed, alone=True)

        self.confirm(f"Free {name}?", freeing_lines(freeing), then, yes="Free", danger=freeing.kept)

    def _freed(self, freed: Freed) -> None:
        self.ui.say(f"freed {size(freed.bytes)}, {count(freed.objects, 'object')}")
        self.marked.clear()
        self.action_refresh()

    def action_lineage(self) -> None:
        """What it was made from."""
        artifact = self._current()
        if artifact is not None:
            self.ui.go("lineage", thing=artifact.digest, direction="up")

    def action_open_run(self) -> None:
        """The run that made it last."""
        artifact = self._current()
        if artifact is not None:
            self.ui.go("run", run=artifact.run, step=artifact.step)

    def action_copy(self) -> None:
        """Its digest."""
        artifact = self._current()
        if artifact is not None:
            self.ui.copy(artifact.digest, "digest")

    def _current(self) -> Artifact | None:
        row = self.query_one(BigTable).current
        return self._rows.get(row.key) if row is not None else None

    def _seen_of(self, artifact: Artifact | None) -> Seen | None:
        """What was found in the artifact, when that is what was looked into last."""
        seen = self._seen
        return (
            seen
            if seen is not None and artifact is not None and seen.details.artifact.digest == artifact.digest
            else None
        )


def _gone(artifact: Artifact) -> InputError:
    return InputError(
        f"{artifact.name} is no longer stored",
        where=f"run {artifact.run[:8]}",
        hint=f"make it again: gitml run {artifact.pipeline}",
    )
