"""LogPane: the log of a step, followed while it is written, searched from end to end."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input, Static

from gitml.core.text.format import size
from gitml.history.logs import AttemptLog, LogPage, attempt_logs, find, page_at, size_of
from gitml.history.runs import get_run
from gitml.tui.errors import ErrorMessage
from gitml.tui.page import page_of
from gitml.tui.services import styles_of
from gitml.workspace import Workspace

Value = TypeVar("Value")
EVERY = 0.3  # seconds between looks at a log that grows
_NEAR = 50  # rows from the end of the page at which the next is requested
_EMPTY = LogPage(0, 0, 0, (), ())


class LogView(ScrollView, can_focus=True):
    """A log of any size, of which it holds one page; it says which other page it needs. `following` keeps the end in view."""

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
        return self._offset_of(int(self.scroll_offset.y))

    @property
    def bottom_offset(self) -> int:
        """The byte at which the lowest line begins."""
        return self._offset_of(min(len(self._rows) - 1, int(self.scroll_offset.y) + max(0, self.size.height - 1)))

    def _offset_of(self, row: int) -> int:
        return self.page.offsets[self._rows[row][0]] if 0 <= row < len(self._rows) else self.page.start

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
            self._requested = True
            self.post_message(self.PageRequested(self.top_offset))
        self.post_message(self.LogScrolled())

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
        if not self.highlighted_text:
            return [Segment(text, ground)]
        parts = re.split(f"({re.escape(self.highlighted_text)})", text, flags=re.IGNORECASE)  # every second is found
        return [Segment(part, styles["match"] if at % 2 else ground) for at, part in enumerate(parts)]

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


class LogPane(Vertical):
    """A line that says where one is, the log, and a line to search in."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._of: tuple[str, str] | None = None  # run and step
        self._state = ""
        self._part: AttemptLog | None = None
        self._last: str | None = None  # the text searched for
        self._busy = False

    def compose(self) -> ComposeResult:
        """The three parts."""
        yield Static(id="log-state")
        yield LogView(id="log-view")
        yield Input(placeholder="search", id="log-search")

    def on_mount(self) -> None:
        """A log that grows is looked at again and again, while it is seen."""
        self.query_one(Input).display = False
        self.set_interval(EVERY, self._look)

    def show(self, run: str, step: str, state: str) -> None:
        """The log of a step's last attempt."""
        if self._of == (run, step) and self._state == state:
            return
        again = self._of == (run, step)
        self._of, self._state = (run, step), state
        if not again:
            self._part = None
            self.query_one(LogView).clear()
            self._show_status("")
        self._run_query(lambda ws: _end(ws, run, step), self._take_end)

    def _run_query(
        self, question: Callable[[Workspace], Value], then: Callable[[Value], None], lane: str | None = None
    ) -> None:
        """Asks what moves the view. One key for all of it, so that only the newest question does; what takes long has a lane
        of its own, and holds up no log."""
        self._busy = True

        def answered(answer: Value) -> None:
            self._busy = False
            then(answer)

        page_of(self).run_query("log", question, answered, lane=lane)

    def query_failed(self, error: ErrorMessage) -> None:
        """The query failed; a log that is followed is looked at again."""
        self._busy = False
        self.query_one(LogView).request_done()
        self._show_status(error.message)

    def _take_end(self, found: tuple[AttemptLog, LogPage] | None) -> None:
        view = self.query_one(LogView)
        if found is None:
            waits = self._state == "waiting"
            self._show_status(
                "the step has not started" if waits else "the step wrote nothing, or its log was not kept"
            )
            return
        self._part, page = found
        if view.following or not view.page.lines:
            view.show(page)
        view.request_done()
        self._show_position()

    def _look(self) -> None:
        view = self.query_one(LogView)
        if self._state != "running" or self._busy or not self.display or self._of is None or not self.screen.is_current:
            return
        if not view.following:
            return
        run, step, known = *self._of, (self._part.attempt if self._part else None, view.page.size)

        def grown(ws: Workspace) -> tuple[AttemptLog, LogPage] | None:
            logs = attempt_logs(ws, get_run(ws, run), step)
            return None if logs and (logs[-1].attempt, size_of(logs[-1])) == known else _end(ws, run, step)

        self._run_query(grown, lambda found: self._take_end(found) if found is not None else None)

    @on(LogView.PageRequested)
    def _page_requested(self, event: LogView.PageRequested) -> None:
        part, offset = self._part, event.offset
        if part is not None:
            self._run_query(lambda ws: page_at(ws, part, offset), lambda page: self._show(page, offset))

    def _show(self, page: LogPage, offset: int) -> None:
        view = self.query_one(LogView)
        view.show(page, at=None if view.following and offset >= page.size else offset)
        self._show_position()

    # -- searching

    @on(LogView.SearchRequested)
    def _search(self, event: LogView.SearchRequested) -> None:
        if event.forward is None or self._last is None:
            field = self.query_one(Input)
            field.display = True
            field.focus()
        else:
            self._find(self._last, event.forward)

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        event.input.display = False
        view = self.query_one(LogView)
        view.focus()
        view.highlight(event.value)
        self._last = event.value or None
        if self._last:
            self._find(self._last, forward=True, here=True)

    def _find(self, text: str, forward: bool, *, here: bool = False) -> None:
        part, view = self._part, self.query_one(LogView)
        if part is None:
            return
        view.following = False
        start = view.top_offset + (0 if here or not forward else 1)

        def found(ws: Workspace) -> tuple[int, LogPage] | None:
            at = find(ws, part, text, start, backwards=not forward)
            if at is None and here:
                at = find(ws, part, text, 0)
            return (at, page_at(ws, part, at)) if at is not None else None

        self._show_status(f"searching for {text}")
        self._run_query(found, lambda result: self._found(text, result), f"search {id(self)}")

    def _found(self, text: str, result: tuple[int, LogPage] | None) -> None:
        if result is None:
            self.query_one(LogView).request_done()
            self._show_status(f"{text} is not found")
            return
        at, page = result
        self.query_one(LogView).show(page, at=at)
        self._show_position()

    # -- where one is

    @on(LogView.LogScrolled)
    def _show_position(self) -> None:
        view = self.query_one(LogView)
        page = view.page
        if not page.size or self._part is None:
            return
        text = f"{size(page.size)}"
        if self._part.of > 1:
            text += f"  attempt {self._part.number} of {self._part.of}"
        if self._part.origin is not None:
            text += f"  of run {self._part.origin[:8]}, which made it"
        if self._part.cut:
            text += f"  {size(self._part.cut)} more were not kept"
        place = "end" if view.bottom_offset >= page.offsets[-1] else f"{100 * view.top_offset // page.size}%"
        followed = "  following" if view.following and self._state == "running" else ""
        self._show_status(f"{text}  {place}{followed}")

    def _show_status(self, text: str) -> None:
        self.query_one("#log-state", Static).update(Text.assemble((f" {text}", "dim")))


def _end(ws: Workspace, run: str, step: str) -> tuple[AttemptLog, LogPage] | None:
    logs = attempt_logs(ws, get_run(ws, run), step)
    if not logs:
        return None
    part = logs[-1]
    return part, page_at(ws, part, size_of(part))
