"""The line at the top: where one is, and what goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from rich.style import Style
from rich.text import Text
from textual import events
from textual.reactive import reactive
from textual.widget import Widget

from gitml.tui.routes import PLACES, TABS
from gitml.tui.text import fitted, plain

if TYPE_CHECKING:
    from gitml.tui.app import GitmlApp
    from gitml.tui.change_detector import Pulse

_UNDER = Style(underline=True, bold=True)


class TopBar(Widget):
    """Tabs to click, the repository and its branch, and how many runs go on."""

    pulse: reactive[Pulse | None] = reactive(None)

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place
        self._tabs: list[tuple[int, int, str]] = []  # first and last column, and the place

    def on_mount(self) -> None:
        """What is known of the repository by now."""
        self.pulse = cast("GitmlApp", self.app).pulse

    def render(self) -> Text:
        """The line, fitted to the width."""
        inks = cast("GitmlApp", self.app).inks
        width = self.size.width
        line = Text(" gitml ", style=inks["accent"] + inks["bold"], end="", no_wrap=True)
        line.append(" ")
        self._tabs = []
        here = self.place
        for place in TABS:
            start = line.cell_len
            chosen = place.name == here
            line.append(f" {place.key} ", style=inks["accent"] if chosen else inks["dim"])
            line.append(f"{place.title} ", style=(inks["link"] + _UNDER) if chosen else inks["plain"])
            self._tabs.append((start, line.cell_len, place.name))
        if here in PLACES and not PLACES[here].key:
            line.append(" > ", style=inks["dim"])
            line.append(PLACES[here].title, style=inks["link"] + _UNDER)
        told = self._state(inks, width - line.cell_len - 2)
        line.append(" " * max(1, width - line.cell_len - told.cell_len - 1))
        line.append_text(told)
        return line

    def _state(self, inks: dict[str, Any], room: int) -> Text:
        told = Text(end="")
        if self.pulse is None or room < 4:
            return told
        if self.pulse.live:
            told.append(f"▶ {len(self.pulse.live)} running", style=inks["busy"])
            told.append("  ")
        left = room - told.cell_len
        where = plain(self.pulse.name)
        if self.pulse.branch:
            where += f" on {plain(self.pulse.branch)}"
        if left > 8:
            told.append(fitted(where, min(left, len(where) * 2)).rstrip() if len(where) > left else where, inks["dim"])
        return told

    def on_click(self, event: events.Click) -> None:
        """A click on a tab opens it."""
        for start, end, name in self._tabs:
            if start <= event.x < end:
                cast("GitmlApp", self.app).go(name)
