"""Sections: a line of titles of which one is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from rich.style import Style
from rich.text import Text
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

if TYPE_CHECKING:
    from gitml.tui.app import GitmlApp

_STRONG = Style(bold=True, underline=True)


class Sections(Widget):
    """Titles with the letter that chooses each; a click does too."""

    chosen: reactive[str] = reactive("")

    class SectionSelected(Message):
        """Another section."""

        def __init__(self, name: str) -> None:
            self.name = name
            super().__init__()

    def __init__(self, titles: Sequence[tuple[str, str, str]]) -> None:
        super().__init__()
        self.titles = tuple(titles)  # name, key, title
        self._spans: list[tuple[int, int, str]] = []

    def render(self) -> Text:
        """The line."""
        styles = cast("GitmlApp", self.app).text_styles
        line = Text(" ", end="", no_wrap=True)
        self._spans = []
        for name, key, title in self.titles:
            start = line.cell_len
            line.append(f"{key} ", style=styles["accent"])
            line.append(title, style=styles["link"] + _STRONG if name == self.chosen else styles["dim"])
            self._spans.append((start, line.cell_len, name))
            line.append("   ")
        return line

    def on_click(self, event: events.Click) -> None:
        """A click chooses."""
        for start, end, name in self._spans:
            if start <= event.x < end:
                self.post_message(self.SectionSelected(name))
