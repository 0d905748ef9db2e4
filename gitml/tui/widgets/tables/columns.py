"""What tables are made of, and how wide their columns are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
    """Plain text and its style (a name of gitml.tui.themes)."""

    text: str
    style: str = "plain"


class TableRow(NamedTuple):
    """A row: its key, its cells by the order of all columns, and whether it is marked."""

    key: str
    cells: Sequence[TableCell]


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
