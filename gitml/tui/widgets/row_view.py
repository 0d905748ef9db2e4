"""RowView: what views of many rows have in common. They hold only rows near those seen, and a cursor that stays in sight."""

from __future__ import annotations

from textual.message import Message
from textual.scroll_view import ScrollView


class RowsRequested(Message):
    """Rows `first` to `first + count` are seen, or about to be, and not known."""

    def __init__(self, view: RowView, first: int, count: int) -> None:
        self.view, self.first, self.count = view, first, count
        super().__init__()

    @property
    def control(self) -> RowView:
        """The view, by which handlers tell several apart."""
        return self.view


class RowView(ScrollView, can_focus=True):
    """Rows below `heads` lines of titles that stay. Subclasses give `lay_out` and `want`, and keep `cursor`."""

    heads = 1

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.cursor = 0  # the row it is on

    def lay_out(self) -> None:
        """Gives each part its width, and the view its height."""
        raise NotImplementedError

    def request_rows(self) -> None:
        """Asks for the rows that are seen where they are not known."""
        raise NotImplementedError

    def follow(self) -> None:
        """Scrolls so that the cursor's row is seen below the titles."""
        height = max(1, self.size.height - self.heads)
        top = int(self.scroll_offset.y)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, immediate=True)

    def on_resize(self) -> None:
        """Another width and height."""
        self.lay_out()
        self.follow()
        self.request_rows()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Other rows are seen."""
        super().watch_scroll_y(old_value, new_value)
        self.request_rows()
