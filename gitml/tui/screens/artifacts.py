"""Artifacts: what steps made, what it is, who used it, where its bytes are; to be looked into, written out, and freed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widgets import Input, Static

from gitml.core.words import count, size
from gitml.errors import InputError
from gitml.flow.freeing import Freed, Freeing, consider, free
from gitml.history.artifacts import Details, details, open_artifacts
from gitml.history.checkout import Written, checkout
from gitml.history.preview import PICTURE, TABLE, Preview, preview
from gitml.history.selecting import select
from gitml.history.when import ago, moment
from gitml.store.artifactlist import COLUMNS, GONE, HERE, RECORD, Artifact, ArtifactList, Wanted
from gitml.tui.errors import Told, told
from gitml.tui.page import Page
from gitml.tui.screens.previewed import PreviewPane
from gitml.tui.signs import sign_of
from gitml.tui.text import plain
from gitml.tui.widgets.bigtable import BigTable, Cell, Column, Row
from gitml.tui.widgets.dialogs import Choice
from gitml.tui.widgets.notice import Notice
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from PIL.Image import Image

_COLUMNS = (
    Column("where", "", 1),
    Column("name", "NAME", 16, share=3),
    Column("kind", "KIND", 9, rank=2),
    Column("size", "SIZE", 8, right=True),
    Column("uses", "USED BY", 9, right=True, rank=1),
    Column("used", "LAST USED", 11),
    Column("pipeline", "PIPELINE", 8, share=1, rank=3),
    Column("run", "RUN", 8, rank=4),
)
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


class _Opened(NamedTuple):
    listing: ArtifactList
    tip: str | None
    totals: Mapping[str, tuple[int, int]]
    now: float


class _Seen(NamedTuple):
    """An artifact looked into. `note` says why there is no picture where there should be one; `error` why no preview."""

    details: Details
    preview: Preview | None
    image: Image | None
    note: str
    error: Told | None


def _open(ws: Workspace) -> _Opened:
    listing = open_artifacts(ws)
    return _Opened(listing, ws.records.tip(), listing.totals(), ws.now())


def _see(ws: Workspace, artifact: Artifact) -> _Seen:
    known = details(ws, artifact)
    if artifact.where == GONE:
        return _Seen(known, None, None, "", None)
    try:
        found = preview(ws, artifact.digest, artifact.size, tree=artifact.is_tree, name=known.file_name)
    except Exception as error:  # whatever it is, it is told where the preview was to be
        return _Seen(known, None, None, "", told(error))
    if found.kind != PICTURE or found.picture is None or not found.content:
        return _Seen(known, found, None, "it is too large to be shown here", None)
    from gitml.tui.widgets.pictures import can_draw_shapes, drawable

    image = drawable(found.content, found.picture)
    note = "it can't be decoded"
    if image is None and found.picture.is_drawing and not can_draw_shapes():
        note = "to see drawings here, install rsvg-convert (librsvg2-bin)"
    return _Seen(known, found, image, note, None)


class Artifacts(Page):
    """The list of artifacts, and what the one under the cursor is."""

    place = "artifacts"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s", "sort", "Sort"),
        Binding("S", "turn", "Turn the order", show=False),
        Binding("space", "mark", "Mark", key_display="␣"),
        Binding("w", "write", "Write out"),
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
        self._opened: _Opened | None = None
        self._rows: dict[str, Artifact] = {}  # those seen lately
        self._seen: _Seen | None = None
        self._resting: Timer | None = None
        self._drawn = False  # whether the table of the preview is drawn as curves

    def body(self) -> ComposeResult:
        """The filter and the table; beside them what the artifact is and what is in it."""
        yield Notice()
        with Horizontal(id="artifacts"):
            with Vertical(id="artifacts-list", classes="panel"):
                yield Input(placeholder="words of name, pipeline, kind, run, place or digest", id="artifacts-filter")
                yield BigTable(_COLUMNS, id="artifacts-table")
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

        def question(ws: Workspace) -> _Opened | None:
            return None if before is not None and ws.records.tip() == before.tip else _open(ws)

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

    def _show(self, opened: _Opened | None) -> None:
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

    def _counted(self, opened: _Opened, wanted: Wanted, number: int) -> None:
        if opened is not self._opened or wanted != self.wanted:
            return
        table = self.query_one(BigTable)
        table.sorted_by = (wanted.order, wanted.descending)
        table.show(number)
        panel = self.query_one("#artifacts-list")
        every = sum(many for many, _ in opened.totals.values())
        shown = f"{number:,} of {every:,}" if wanted.words else f"{every:,}"
        panel.border_title = f"Artifacts  {shown}" + (f"  {len(self.marked)} marked" if self.marked else "")
        panel.border_subtitle = self._totals(opened)
        if not number:
            self.query_one("#artifacts-about", Static).update("")
            self.query_one(PreviewPane).say("", "nothing fits the filter")

    def _totals(self, opened: _Opened) -> Text:
        inks = self.ui.inks
        text = Text(end="")
        for where in (HERE, RECORD, GONE):
            if where in opened.totals:
                sign = sign_of(where)
                many, total = opened.totals[where]
                text.append(f" {sign.mark} ", style=inks[sign.ink])
                text.append(f"{many:,} {sign.word}, {size(total)} ", style=inks["dim"])
        return text

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
            self.query_one(BigTable).put(event.first, [_row(artifact, opened.now) for artifact in found])

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
        self.ask("see", lambda ws: _see(ws, artifact), self._tell)

    # -- what the artifact under the cursor is

    def _tell(self, seen: _Seen) -> None:
        self._seen = seen
        panel = self.query_one("#artifacts-about", Static)
        panel.border_title = plain(seen.details.artifact.name)
        panel.update(self._about(seen.details), layout=False)
        pane = self.query_one(PreviewPane)
        artifact = seen.details.artifact
        if seen.error is not None:
            pane.say(seen.error.title, seen.error.text, "bad")
        elif seen.preview is None:
            pane.say(
                "not here", f"Its bytes are gone. They can be made again:\n\n  gitml run {plain(artifact.pipeline)}"
            )
        elif not self._drawn:
            pane.show(seen.preview, seen.image, seen.note)

    def _about(self, known: Details) -> Text:
        inks = self.ui.inks
        artifact = known.artifact
        sign = sign_of(artifact.where)
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{sign.mark} {sign.word}", style=inks[sign.ink])
        if not known.whole and artifact.where == HERE:
            text.append(" in part", style=inks["held"])
        text.append(f"  {artifact.kind}", style=inks["plain"])
        if artifact.size is not None:
            text.append(f"  {size(artifact.size)}", style=inks["bold"])
        if known.file_name:
            text.append(f"  {plain(known.file_name)}", style=inks["dim"])
        text.append(f"\n{artifact.digest[:30]}…\n", style=inks["dim"])
        text.append("made by  ", style=inks["dim"])
        text.append(f"{plain(artifact.step)} ", style=inks["plain"])
        text.append(f"of {plain(artifact.pipeline)} in ", style=inks["dim"])
        for number, maker in enumerate(known.makers[:3]):
            text.append(", " if number else "", style=inks["dim"])
            text.append(maker.run[:8], style=inks["link"])
        if len(known.makers) > 3:
            text.append(f" and {len(known.makers) - 3:,} more", style=inks["dim"])
        text.append(f"  {moment(artifact.made)}", style=inks["dim"])
        text.append("\nused by  ", style=inks["dim"])
        users = list(dict.fromkeys((use.step or "", (use.run or "")[:8]) for use in known.users))
        for number, (step, run) in enumerate(users[:3]):
            text.append(", " if number else "", style=inks["dim"])
            text.append(f"{plain(step)} ", style=inks["plain"])
            text.append(run, style=inks["link"])
        if len(users) > 3:
            text.append(f" and {len(users) - 3:,} more", style=inks["dim"])
        if not users:
            text.append("no step that ran", style=inks["dim"])
        return text

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
        name = self._seen.details.file_name if self._seen is not None and self._is_seen(artifact) else artifact.port
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
            return checkout(ws, select(ws, f"{artifact.run}:{artifact.step}.{artifact.port}"), full)

        def then(done: list[Written]) -> None:
            for written in done:
                self.ui.say(f"{written.state}: {written.path}, {size(written.size)}")

        self.ask("write", question, then, alone=True)

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
        lines = [f"{size(freeing.bytes)} would go from the store, {count(freeing.objects, 'object')}."]
        if freeing.shared:
            lines.append(f"{size(freeing.shared)} stay: other artifacts hold them too.")
        if freeing.keepers:
            lines += ["", "What keeps it:"]
            for keeper in freeing.keepers[:6]:
                lines.append(f"  run {keeper.run[:8]} of {plain(keeper.pipeline)}, {plain(keeper.name)}")
                if keeper.why:
                    lines.append(f"    {keeper.why}")
            if len(freeing.keepers) > 6:
                lines.append(f"  and {len(freeing.keepers) - 6:,} more runs")
            lines += ["", "The records stay. The next run that needs it runs its step again."]
        else:
            lines += ["", "No run keeps it."]
        if freeing.inline:
            lines.append("Small ones stay readable: records hold a copy of their bytes.")

        def then() -> None:
            self.ask("free", lambda ws: free(ws, freeing.digests, though_kept=True), self._freed, alone=True)

        self.confirm(f"Free {name}?", lines, then, yes="Free", danger=freeing.kept)

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

    def _is_seen(self, artifact: Artifact) -> bool:
        return self._seen is not None and self._seen.details.artifact.digest == artifact.digest


def _gone(artifact: Artifact) -> InputError:
    return InputError(
        f"{artifact.name} is no longer stored",
        where=f"run {artifact.run[:8]}",
        hint=f"make it again: gitml run {artifact.pipeline}",
    )


def _row(artifact: Artifact, now: float) -> Row:
    sign = sign_of(artifact.where)
    return Row(
        artifact.digest,
        (
            Cell(sign.mark, sign.ink),
            Cell(plain(artifact.name), "plain" if artifact.where != GONE else "dim"),
            Cell(artifact.kind, "dim"),
            Cell("?" if artifact.size is None else size(artifact.size)),
            Cell(f"{artifact.uses:,}" if artifact.uses else "-", "plain" if artifact.uses else "dim"),
            Cell(ago(artifact.used, now), "dim"),
            Cell(plain(artifact.pipeline)),
            Cell(artifact.run[:8], "link"),
        ),
    )
