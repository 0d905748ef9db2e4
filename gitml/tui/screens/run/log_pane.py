"""LogPane: the log of a step, followed while it is written, searched from end to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from gitml.core.text.format import size
from gitml.history.logs import AttemptLog, LogPage, attempt_logs, find, page_at, size_of
from gitml.history.runs import get_run
from gitml.tui.errors import ErrorMessage
from gitml.tui.page import Page, page_of
from gitml.tui.screens.run.log_view import LogView
from gitml.workspace import Workspace

Value = TypeVar("Value")
EVERY = 0.3  # seconds between looks at a log that grows


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

    @property
    def page(self) -> Page:
        """The page it stands on, which asks for it."""
        return page_of(self)

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
        self._query_end()

    def _query_end(self) -> None:
        if self._of is None:
            return
        run, step = self._of
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

        self.page.run_query("log", question, answered, lane=lane)

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

        def grown(ws: Workspace) -> tuple[AttemptLog, LogPage] | bool | None:
            logs = attempt_logs(ws, get_run(ws, run), step)
            if logs and (logs[-1].attempt, size_of(logs[-1])) == known:
                return False
            return _end(ws, run, step)

        self._run_query(grown, self._take_grown)

    def _take_grown(self, found: tuple[AttemptLog, LogPage] | bool | None) -> None:
        if not isinstance(found, bool) and found is not None:
            self._take_end(found)

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
        view = self.query_one(LogView)
        view.show(page, at=at)
        self._show_position()

    # -- where one is

    @on(LogView.LogScrolled)
    def _scrolled(self) -> None:
        self._show_position()

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
        styles = self.page.ui.text_styles
        self.query_one("#log-state", Static).update(
            Text(f" {text}", style=styles["dim"], no_wrap=True, overflow="ellipsis")
        )


def _end(ws: Workspace, run: str, step: str) -> tuple[AttemptLog, LogPage] | None:
    logs = attempt_logs(ws, get_run(ws, run), step)
    if not logs:
        return None
    part = logs[-1]
    return part, page_at(ws, part, size_of(part))
