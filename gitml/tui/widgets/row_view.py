"""RowView: the base of views of many rows. A view holds only the rows near those seen, and keeps its cursor in sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

Row = TypeVar("Row")


class RowView(Generic[Row], ScrollView, can_focus=True):
    """Rows below `header_height` lines of titles that stay. The keys move `cursor`; Enter or a double click chooses."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "jump(0)", "First", show=False),
        Binding("end,G", "jump(-1)", "Last", show=False),
    ]
    header_height = 1
    kept = 8192  # rows at most

    @dataclass
    class RowsRequested(Message):
        """Rows `first` to `first + count` are seen, or about to be, and not known."""

        first: int
        count: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.cursor = 0  # the row it is on
        self.count = 0  # of all rows
        self._rows: dict[int, Row] = {}  # those that are known, by number

    # -- what a view gives

    def lay_out(self) -> None:
        """Computes the width of each part, and the height of the view."""
        raise NotImplementedError

    def request_rows(self) -> None:
        """Posts `RowsRequested` for the rows that are seen and not known."""
        raise NotImplementedError

    def header_line(self, y: int) -> Strip:
        """A line of titles."""
        raise NotImplementedError

    def row_line(self, index: int) -> Strip:
        """The line of a row."""
        raise NotImplementedError

    def cursor_moved(self) -> None:
        """Posts where the cursor is."""
        raise NotImplementedError

    def action_choose(self) -> None:
        """Posts that the row under the cursor was chosen."""
        raise NotImplementedError

    def header_clicked(self, x: int) -> None:
        """A title was clicked."""

    def row_clicked(self, index: int, event: events.Click) -> None:
        """Moves the cursor; a second click chooses."""
        again = event.chain > 1 and index == self.cursor
        self.move_to(index)
        if again:
            self.action_choose()

    # -- what all views do

    def row(self, index: int) -> Row | None:
        """A row, None when it is not known (yet)."""
        return self._rows.get(index) if index < self.count else None

    @property
    def current(self) -> Row | None:
        """The row the cursor is on."""
        return self.row(self.cursor)

    def keep(self, first: int, rows: Sequence[Row]) -> Sequence[int]:
        """Takes rows in, and drops those farthest from what is seen when they are too many; returns the numbers of these."""
        self._rows |= dict(enumerate(rows, first))
        top = int(self.scroll_offset.y)
        far = sorted(self._rows, key=lambda index: abs(index - top))[self.kept :]
        for index in far:
            del self._rows[index]
        return far

    @property
    def seen_rows(self) -> range:
        """The numbers of the rows that are in sight."""
        first = int(self.scroll_offset.y)
        return range(first, min(self.count, first + self.size.height))

    def refresh_row(self, index: int) -> None:
        """Draws one row again."""
        self.refresh(Region(0, index + self.header_height - int(self.scroll_offset.y), self.size.width, 1))

    def move_to(self, index: int) -> None:
        """Puts the cursor on a row and scrolls to it."""
        before, top = self.cursor, self.scroll_offset.y
        self.cursor = max(0, min(index, self.count - 1))
        self.follow()
        if self.scroll_offset.y == top:
            for changed in {before, self.cursor}:
                self.refresh_row(changed)
        self.cursor_moved()

    def follow(self) -> None:
        """Scrolls so that the cursor's row is seen below the titles."""
        height = max(1, self.size.height - self.header_height)
        top = int(self.scroll_offset.y)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, immediate=True)

    def action_move(self, by: int) -> None:
        """One row up or down."""
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """One screenful up or down."""
        self.move_to(self.cursor + by * max(1, self.size.height - self.header_height - 1))

    def action_jump(self, to: int) -> None:
        """The first or the last row."""
        self.move_to(to if to >= 0 else self.count - 1)

    def on_click(self, event: events.Click) -> None:
        """A click on a title, or on a row."""
        index = event.y - self.header_height + int(self.scroll_offset.y)
        if event.y < self.header_height:
            self.header_clicked(event.x)
        elif 0 <= index < self.count:
            self.row_clicked(index, event)

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        if y < self.header_height:
            return self.header_line(y)
        index = y - self.header_height + int(self.scroll_offset.y)
        return self.row_line(index) if index < self.count else Strip.blank(self.size.width, self.rich_style)

    def on_resize(self) -> None:
        """Another width and height."""
        self.lay_out()
        self.follow()
        self.request_rows()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Other rows are seen."""
        super().watch_scroll_y(old_value, new_value)
        self.request_rows()
