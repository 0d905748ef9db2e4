"""LazyTable: a table of any length that holds only the rows near those seen; and its columns, rows and cells.

A page gives the number of rows (`show`) and answers `LazyTable.RowsRequested` with `put`; until then rows show as dots. Short
tables that are known whole are filled with `fill`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from gitml.tui.services import styles_of
from gitml.tui.text import fitted
from gitml.tui.widgets.row_view import RowView

GUTTER = 2  # for the mark before a row; as much is between columns


class TableColumn(NamedTuple):
    """`width` in columns is the least; what is left goes to those with a `share`, each up to its `most` (0: all there is). Of too
    many the highest `rank` goes first.
    """

    key: str
    title: str
    width: int
    right: bool = False
    share: int = 0
    rank: int = 0
    most: int = 0


class TableCell(NamedTuple):
    """Plain text and its style (a name of gitml.tui.styles)."""

    text: str
    style: str = "plain"


class TableRow(NamedTuple):
    """A row: its key, its cells by the order of all columns, and what it is about."""

    key: str
    cells: Sequence[TableCell]
    value: Any = None


def widths_of(columns: Sequence[TableColumn], room: int) -> list[int]:
    """The width of each column in a table of so many; 0 leaves out what does not fit."""
    room -= GUTTER
    widths = [column.width for column in columns]
    for at in sorted(range(len(widths)), key=lambda at: (-columns[at].rank, -at)):
        if sum(width + 2 for width in widths if width) <= room or columns[at].rank == 0:
            break
        widths[at] = 0
    _share(columns, widths, room - sum(width + 2 for width in widths if width))
    return widths


def _share(columns: Sequence[TableColumn], widths: list[int], left: int) -> None:
    """Gives what is left to those that can take it."""
    while left > 0:
        takers = [at for at, column in enumerate(columns) if widths[at] and column.share and _room(column, widths[at])]
        shares = sum(columns[at].share for at in takers)
        given = 0
        for at in takers:
            part = min(left * columns[at].share // shares, _room(columns[at], widths[at]))
            widths[at] += part
            given += part
        if not given:
            return
        left -= given


def _room(column: TableColumn, width: int) -> int:
    return max(0, column.most - width) if column.most else 1 << 20


def column_at(columns: Sequence[TableColumn], widths: Sequence[int], x: int) -> TableColumn | None:
    """The column that the place `x` from the left lies in."""
    at = GUTTER
    for column, width in zip(columns, widths, strict=True):
        if not width:
            continue
        if at <= x < at + width + 2:
            return column
        at += width + 2
    return None


CHUNK = 128  # rows that are requested at once


class LazyTable(RowView[TableRow]):
    """A table over a window of data."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "Open", show=False)]

    @dataclass
    class RowHighlighted(Message):
        """The cursor is on another row; `row` is None while that is not known."""

        row: TableRow | None

    @dataclass
    class RowSelected(Message):
        """A row was chosen."""

        row: TableRow

    @dataclass
    class HeaderSelected(Message):
        """A column's title was clicked."""

        column: TableColumn

    def __init__(self, columns: Sequence[TableColumn] = (), *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.is_marked: Callable[[str], bool] = lambda key: False
        self.sorted_by: tuple[str, bool] | None = None  # a column's key and whether the largest comes first
        self._requested: set[int] = set()  # chunks; of others the rows are old ones
        self._widths: list[int] = []
        self._highlighted: tuple[int, str | None] | None = None

    # -- what is shown

    def set_columns(self, columns: Sequence[TableColumn]) -> None:
        """Other columns; the rows are to be given again."""
        self.columns = tuple(columns)
        self._rows, self._requested = {}, set()
        self.lay_out()

    def show(self, count: int) -> None:
        """There are `count` rows now, all to be requested again; the old ones stay shown until then."""
        self._requested = set()
        self.count = count
        self.cursor = min(self.cursor, max(0, count - 1))
        self.lay_out()
        self.request_rows()

    def fill(self, rows: Sequence[TableRow]) -> None:
        """Exactly these rows."""
        self.count = len(rows)
        self._rows = dict(enumerate(rows))
        self._requested = {index // CHUNK for index in self._rows}
        self.cursor = min(self.cursor, max(0, self.count - 1))
        self.lay_out()
        self.cursor_moved()

    def put(self, first: int, rows: Sequence[TableRow]) -> None:
        """The answer to `RowsRequested`, with its `first`."""
        self._requested -= {index // CHUNK for index in self.keep(first, rows)}
        self.refresh()
        self.cursor_moved()

    def rewrite(self, make: Callable[[TableRow], TableRow]) -> None:
        """Has the rows that are seen made again, such as for the time that has passed; draws those that come out otherwise."""
        for index in self.seen_rows:
            row = self._rows.get(index)
            made = make(row) if row is not None else None
            if made is not None and made != row:
                self._rows[index] = made
                self.refresh_row(index)

    def action_choose(self) -> None:
        """Chooses the row under the cursor."""
        row = self.current
        if row is not None:
            self.post_message(self.RowSelected(row))

    def header_clicked(self, x: int) -> None:
        """Posts the column."""
        column = column_at(self.columns, self._widths, x)
        if column is not None:
            self.post_message(self.HeaderSelected(column))

    # -- drawing

    def header_line(self, y: int) -> Strip:
        """The titles."""
        return self._strip([self._title(column) for column in self.columns], " ", "head", None)

    def row_line(self, index: int) -> Strip:
        """The cells of a row."""
        row, base, styles = self.row(index), None, styles_of(self)
        if index == self.cursor:
            base = styles["cursor" if self.has_focus else "cursor-blurred"]
        if row is None:
            return Strip([Segment("  ·".ljust(self.size.width), base or styles["dim"])], self.size.width)
        gutter = "◆" if self.is_marked(row.key) else "▸" if index == self.cursor else " "
        return self._strip(row.cells, gutter, None, base)

    def _strip(self, cells: Sequence[TableCell], gutter: str, style: str | None, base: Style | None) -> Strip:
        styles, width = styles_of(self), self.size.width
        ground = self.rich_style if base is None else base
        segments = [Segment(gutter.ljust(GUTTER), ground + styles["accent"])]
        used = GUTTER
        for column, room, cell in zip(self.columns, self._widths, cells, strict=False):
            if room <= 0:
                continue
            text = fitted(cell.text, room, right=column.right)
            segments.append(Segment(text, ground + styles[style or cell.style]))
            segments.append(Segment("  ", ground))
            used += room + 2
        segments.append(Segment(" " * max(0, width - used), ground))
        return Strip(segments, max(used, width)).crop(0, width)

    def _title(self, column: TableColumn) -> TableCell:
        if self.sorted_by is not None and self.sorted_by[0] == column.key:
            # The sign is in front: a long title is cut at its end.
            return TableCell(f"{'▼' if self.sorted_by[1] else '▲'} {column.title}")
        return TableCell(column.title)

    def lay_out(self) -> None:
        """Gives each column its width, leaving out what does not fit, but never the column that the rows are sorted by."""
        order = self.sorted_by[0] if self.sorted_by is not None else None
        kept = [column._replace(rank=0) if column.key == order else column for column in self.columns]
        self._widths = widths_of(kept, self.size.width)
        self.virtual_size = Size(self.size.width, self.count + 1)
        self.refresh()

    def request_rows(self) -> None:
        """Asks for the rows that are seen, and a screenful around them, where they are not known."""
        if not self.count or not self.size.height:
            return
        top = int(self.scroll_offset.y)
        first = max(0, top - self.size.height) // CHUNK
        last = min(self.count - 1, top + 2 * self.size.height) // CHUNK
        for chunk in range(first, last + 1):
            if chunk not in self._requested:
                self._requested.add(chunk)
                self.post_message(self.RowsRequested(chunk * CHUNK, min(CHUNK, self.count - chunk * CHUNK)))

    def cursor_moved(self) -> None:
        """Posts the row under the cursor, when it is another one."""
        row = self.current
        highlighted = (self.cursor, row.key if row else None)
        if highlighted != self._highlighted and self.count:
            self._highlighted = highlighted
            self.post_message(self.RowHighlighted(row))
