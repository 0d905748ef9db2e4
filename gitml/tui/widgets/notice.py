"""Notice: says in the place of what was to be shown why it is not, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.widgets import Static

from gitml.tui.errors import Told

if TYPE_CHECKING:
    from gitml.tui.app import GitmlApp


class Notice(Static):
    """Hidden until it has something to say."""

    _said: tuple[str, tuple[str, ...], Sequence[tuple[str, str]], str] | None = None

    def on_mount(self) -> None:
        """There is nothing to say yet."""
        self.display = False

    def say(self, title: str, *lines: str, next: Sequence[tuple[str, str]] = (), ink: str = "accent") -> None:
        """A title, lines below it, and what to do next as (key or command, what it does); all of it plain text."""
        self._said = title, lines, next, ink
        inks = cast("GitmlApp", self.app).inks
        text = Text(justify="left")
        text.append(title, style=inks[ink] + inks["bold"])
        for line in lines:
            if line:
                text.append(f"\n\n{line}", style=inks["plain"])
        if next:
            text.append("\n")
            wide = max(len(key) for key, _ in next)
            for key, what in next:
                text.append(f"\n  {key.ljust(wide)}", style=inks["accent"])
                text.append(f"   {what}", style=inks["dim"])
        self.update(text)
        self.display = True

    def tell(self, error: Told) -> None:
        """An error."""
        self.say(f"✗ {error.title}", error.message, error.hint, ink="bad")

    def redraw(self) -> None:
        """In the inks of the theme as it is now."""
        if self._said is not None and self.display:
            title, lines, next, ink = self._said
            self.say(title, *lines, next=next, ink=ink)

    def hush(self) -> None:
        """Nothing to say any more."""
        self.display = False
