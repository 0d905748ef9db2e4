"""LogView: a log of any size, of which it holds one page; it says which other page it needs as one scrolls."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from gitml.history.logs import LogPage
from gitml.tui.services import styles_of

_NEAR = 50  # rows from the end of the page at which the next is requested
_EMPTY = LogPage(0, 0, 0, (), ())


class LogView(ScrollView, can_focus=True):
    """Shows a page; `following` keeps the end in view."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home,g", "top", "Beginning", show=False),
        Binding("end,G", "bottom", "End", show=False),
        Binding("k", "scroll_up", "Up", show=False),
        Binding("j", "scroll_down", "Down", show=False),
        Binding("w", "wrap", "Wrap"),
        Binding("slash", "search", "Search", key_display="/"),
        Binding("n", "again(True)", "Next found", show=False),
        Binding("N", "again(False)", "Found before", show=False),
    ]

    @dataclass
    class SearchRequested(Message):
        """Something is to be searched for: a new text (`forward` None), or the last one onwards or backwards."""

        forward: bool | None

    @dataclass
    class PageRequested(Message):
        """The page around a byte is needed; that byte's line is to stay where it is."""

        offset: int

    class LogScrolled(Message):
        """Another part is seen."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.page = _EMPTY
        self.following = True
        self.wrapped = True
        self.highlighted_text = ""
        self._rows: list[tuple[int, int, str]] = []  # line, part of it, text
        self._first: list[int] = []  # the first row of each line
        self._requested = False

    # -- what is shown

    def show(self, page: LogPage, *, at: int | None = None) -> None:
        """A page; the line at byte `at` comes to the top, else the place stays, or the end when it is followed."""
        held = self.top_offset if at is None else at
        self.page = page
        self._requested = False
        self._lay_out()
        if self.following and at is None:
            self.call_after_refresh(self.scroll_end, animate=False, immediate=True, force=True)
        else:
            self._go(held)
        self.post_message(self.LogScrolled())

    def request_done(self) -> None:
        """The request failed or had no result."""
        self._requested = False

    def clear(self) -> None:
        """Nothing."""
        self.page = _EMPTY
        self._requested = False
        self.following = True
        self._lay_out()

    @property
    def top_offset(self) -> int:
        """The byte at which the topmost line begins."""
        row = int(self.scroll_offset.y)
        return self.page.offsets[self._rows[row][0]] if 0 <= row < len(self._rows) else self.page.start

    @property
    def bottom_offset(self) -> int:
        """The byte at which the lowest line begins."""
        row = min(len(self._rows) - 1, int(self.scroll_offset.y) + max(0, self.size.height - 1))
        return self.page.offsets[self._rows[row][0]] if row >= 0 else self.page.start

    def highlight(self, text: str) -> None:
        """Has every occurrence of a text stand out; none when empty."""
        self.highlighted_text = text
        self.refresh()

    # -- keys

    def action_top(self) -> None:
        """The beginning of the log."""
        self.following = False
        if self.page.start == 0:
            self.scroll_home(animate=False)
        else:
            self.post_message(self.PageRequested(0))

    def action_bottom(self) -> None:
        """The end of the log, as it grows."""
        self.following = True
        self.post_message(self.PageRequested(self.page.size))

    def action_wrap(self) -> None:
        """Long lines go on below, or are cut."""
        held = self.top_offset
        self.wrapped = not self.wrapped
        self.styles.overflow_x = "hidden" if self.wrapped else "auto"
        self._lay_out()
        self._go(held)

    def action_search(self) -> None:
        """Searches for a text."""
        self.post_message(self.SearchRequested(None))

    def action_again(self, forward: bool) -> None:
        """Searches for the last text again."""
        self.post_message(self.SearchRequested(forward))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Near either end of the page the next one is requested; scrolling up lets go of the end."""
        super().watch_scroll_y(old_value, new_value)
        row, height = int(new_value), self.size.height
        if new_value < old_value and row + height < len(self._rows):
            self.following = False
        elif row + height >= len(self._rows) and self.page.end >= self.page.size:
            self.following = True
        near_start = row < _NEAR and self.page.start > 0
        near_end = row + height > len(self._rows) - _NEAR and self.page.end < self.page.size
        if not self._requested and self._rows and (near_start or near_end):
            self._request_page(self.top_offset)
        self.post_message(self.LogScrolled())

    def _request_page(self, offset: int) -> None:
        self._requested = True
        self.post_message(self.PageRequested(offset))

    # -- drawing

    def render_line(self, y: int) -> Strip:
        """One row."""
        width = self.size.width
        row = y + int(self.scroll_offset.y)
        if row >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        _, part, text = self._rows[row]
        left = 0 if self.wrapped else int(self.scroll_offset.x)
        strip = Strip(self._marked(text, part > 0))
        return strip.crop_extend(left, left + width, self.rich_style)

    def _marked(self, text: str, goes_on: bool) -> list[Segment]:
        styles = styles_of(self)
        ground = self.rich_style + (styles["dim"] if goes_on else Style())
        found = text.lower().find(self.highlighted_text.lower()) if self.highlighted_text else -1
        if found < 0:
            return [Segment(text, ground)]
        segments = []
        at, long = 0, len(self.highlighted_text)
        while found >= 0:
            segments += [Segment(text[at:found], ground), Segment(text[found : found + long], styles["match"])]
            at = found + long
            found = text.lower().find(self.highlighted_text.lower(), at)
        return [*segments, Segment(text[at:], ground)]

    def _lay_out(self) -> None:
        width = max(1, self.size.width)
        rows: list[tuple[int, int, str]] = []
        first: list[int] = []
        widest = 0
        for number, line in enumerate(self.page.lines):
            first.append(len(rows))
            long = len(line) if line.isascii() else cell_len(line)
            if long <= width or not self.wrapped:
                widest = max(widest, long)
                rows.append((number, 0, line))
            elif line.isascii():
                rows += [(number, at, line[at : at + width]) for at in range(0, long, width)]
            else:
                rows += [(number, part, text) for part, text in enumerate(chop_cells(line, width))]
        self._rows, self._first = rows, first
        self.virtual_size = Size(width if self.wrapped else max(width, widest), len(rows))
        self.refresh()

    def _go(self, offset: int) -> None:
        """Scrolls the line that holds a byte to the top."""
        if not self.page.offsets:
            return
        line = max(0, bisect_right(self.page.offsets, offset) - 1)
        self.scroll_to(y=self._first[line], animate=False, immediate=True, force=True)

    def on_resize(self) -> None:
        """Lines are wrapped again."""
        held, following = self.top_offset, self.following
        self._lay_out()
        if following:
            self.scroll_end(animate=False, immediate=True, force=True)
        else:
            self._go(held)
