"""StepFiles: what a step was given and what it made, with digests and sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from gitml.core.text.format import size
from gitml.history.progress import StepProgress
from gitml.history.step_details import StepDetails
from gitml.tui.routes import PLACES
from gitml.tui.text import plain
from gitml.tui.widgets.notice import Notice
from gitml.tui.widgets.tables.big_table import BigTable
from gitml.tui.widgets.tables.columns import Cell, Column, Row

if TYPE_CHECKING:
    from gitml.tui.page import Page

_COLUMNS = (
    Column("role", "", 6),
    Column("name", "NAME", 12, share=2),
    Column("size", "SIZE", 8, right=True),
    Column("content", "CONTENT", 12),
    Column("from", "FROM", 10, share=1, rank=1),
    Column("kind", "KIND", 9, rank=2),
)


class StepFiles(Vertical):
    """Outputs first, then inputs, then code."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("Y", "copy_digest", "Copy digest")]

    def compose(self) -> ComposeResult:
        """The table."""
        yield Notice()
        yield BigTable(_COLUMNS)

    def show(self, known: StepDetails | None, standing: StepProgress) -> None:
        """The files of a step."""
        table, notice = self.query_one(BigTable), self.query_one(Notice)
        table.display = known is not None
        if known is None:
            notice.say("Not known yet" if standing.step is None else "…", "Files are recorded when the step has ended.")
            return
        notice.hush()
        table.fill([*_outputs(known), *_inputs(known), *_code(known)])

    @on(BigTable.Chosen)
    def _open(self, event: BigTable.Chosen) -> None:
        event.stop()
        if "lineage" in PLACES:
            cast("Page", self.screen).ui.go("lineage", thing=event.row.key)
        else:
            self.action_copy_digest()

    def action_copy_digest(self) -> None:
        """Copies the Digest or Git id under the cursor."""
        row = self.query_one(BigTable).current
        if row is not None:
            cast("Page", self.screen).ui.copy(row.key, "content id")


def _named(name: str, mount: str | None) -> str:
    """A port with the path that the step sees it at, where that is one of its own choice."""
    return plain(name) + (f" ({plain(mount)})" if mount and not mount.startswith(".gitml/") else "")


def _outputs(known: StepDetails) -> list[Row]:
    return [
        Row(
            item.ref.digest,
            (
                Cell("made", "good"),
                Cell(_named(item.ref.name, item.mount)),
                Cell(size(item.ref.size)),
                Cell(item.ref.digest[7:19], "link"),
                Cell("" if item.here else "not here", "held"),
                Cell(item.ref.kind, "dim"),
            ),
        )
        for item in known.outputs
    ]


def _inputs(known: StepDetails) -> list[Row]:
    return [
        Row(
            item.item.content.rpartition(":")[2] if item.item.content.startswith("git:") else item.item.content,
            (
                Cell("given", "link"),
                Cell(_named(item.item.name, item.item.mount)),
                Cell(size(item.size) if item.size is not None else "", "plain"),
                Cell(item.content_id[:12], "link"),
                Cell(" or ".join(map(plain, item.made_by)) or "commit", "plain" if item.made_by else "dim"),
                Cell(item.item.kind, "dim"),
            ),
        )
        for item in known.inputs
    ]


def _code(known: StepDetails) -> list[Row]:
    if known.action is None:
        return []
    return [
        Row(
            item.oid,
            (
                Cell("code", "dim"),
                Cell(plain(item.path)),
                Cell(""),
                Cell(item.oid[:12], "link"),
                Cell("commit", "dim"),
                Cell("directory" if item.mode == "40000" else "file", "dim"),
            ),
        )
        for item in known.action.code
    ]
