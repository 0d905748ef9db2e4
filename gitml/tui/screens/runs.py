"""Runs: what runs and what ran, newest first."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult

from gitml.history.listing import Wanted, list_runs
from gitml.store.runs import RunRow
from gitml.tui.errors import Told
from gitml.tui.page import Page
from gitml.tui.signs import sign_of
from gitml.tui.text import plain
from gitml.tui.widgets.bigtable import BigTable, Cell, Column, Row
from gitml.tui.widgets.notice import Notice
from gitml.workspace import Workspace

_COLUMNS = (
    Column("state", "", 2),
    Column("id", "RUN", 8),
    Column("pipeline", "PIPELINE", 12, share=1),
)


def _newest(ws: Workspace) -> list[RunRow]:
    return list_runs(ws, Wanted(), 200)[0]


class Runs(Page):
    """The list of runs."""

    place = "runs"

    def body(self) -> ComposeResult:
        """The table, and what to say where there is none."""
        yield Notice()
        yield BigTable(_COLUMNS)

    def refresh_data(self) -> None:
        """The newest runs."""
        self.ask("runs", _newest, self._show)

    def wrong(self, key: str, error: Told) -> None:
        """In place of the table."""
        self.query_one(BigTable).display = False
        self.query_one(Notice).tell(error)

    def _show(self, rows: Sequence[RunRow]) -> None:
        self.query_one(Notice).hush()
        self.query_one(BigTable).display = True
        self.query_one(BigTable).fill([_row(row) for row in rows])

    @on(BigTable.Chosen)
    def _open(self, event: BigTable.Chosen) -> None:
        self.ui.say(f"run {event.row.key}")


def _row(row: RunRow) -> Row:
    sign = sign_of(row.status)
    return Row(row.id, (Cell(sign.mark, sign.ink), Cell(row.id[:8], "link"), Cell(plain(row.pipeline))))
