"""The line at the top: where one is, and what goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from rich.style import Style
from rich.text import Text
from textual import events
from textual.reactive import reactive
from textual.widget import Widget

from gitml.tui.routes import ROUTES, TABS
from gitml.tui.text import fitted, plain

if TYPE_CHECKING:
    from gitml.tui.app import GitmlApp
    from gitml.tui.change_detector import RepositoryState

_UNDER = Style(underline=True, bold=True)


class TopBar(Widget):
    """Tabs to click, the repository and its branch, and how many runs go on."""

    state: reactive[RepositoryState | None] = reactive(None)

    def __init__(self, route: str) -> None:
        super().__init__()
        self.route = route
        self._tabs: list[tuple[int, int, str]] = []  # first and last column, and the place

    def on_mount(self) -> None:
        """What is known of the repository by now."""
        self.state = cast("GitmlApp", self.app).state

    def render(self) -> Text:
        """The line, fitted to the width."""
        styles = cast("GitmlApp", self.app).text_styles
        width = self.size.width
        line = Text(" gitml ", style=styles["accent"] + styles["bold"], end="", no_wrap=True)
        line.append(" ")
        self._tabs = []
        here = self.route
        for route in TABS:
            start = line.cell_len
            chosen = route.name == here
            line.append(f" {route.key} ", style=styles["accent"] if chosen else styles["dim"])
            line.append(f"{route.title} ", style=(styles["link"] + _UNDER) if chosen else styles["plain"])
            self._tabs.append((start, line.cell_len, route.name))
        if here in ROUTES and not ROUTES[here].key:
            line.append(" > ", style=styles["dim"])
            line.append(ROUTES[here].title, style=styles["link"] + _UNDER)
        text = self._state(styles, width - line.cell_len - 2)
        line.append(" " * max(1, width - line.cell_len - text.cell_len - 1))
        line.append_text(text)
        return line

    def _state(self, styles: dict[str, Any], room: int) -> Text:
        text = Text(end="")
        if self.state is None or room < 4:
            return text
        if self.state.live:
            text.append(f"▶ {len(self.state.live)} running", style=styles["busy"])
            text.append("  ")
        left = room - text.cell_len
        where = plain(self.state.name)
        if self.state.branch:
            where += f" on {plain(self.state.branch)}"
        if left > 8:
            text.append(
                fitted(where, min(left, len(where) * 2)).rstrip() if len(where) > left else where, styles["dim"]
            )
        return text

    def on_click(self, event: events.Click) -> None:
        """A click on a tab opens it."""
        for start, end, name in self._tabs:
            if start <= event.x < end:
                cast("GitmlApp", self.app).go(name)
