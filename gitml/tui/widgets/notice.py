"""Notice: says in the place of what was to be shown why it is not, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import Static

from gitml.tui.errors import ErrorMessage
from gitml.tui.services import styles_of


class Notice(Static):
    """Hidden until it has something to say."""

    _shown: tuple[str, tuple[str, ...], Sequence[tuple[str, str]], str] | None = None

    def on_mount(self) -> None:
        """There is nothing to say yet."""
        self.display = False

    def show_text(self, title: str, *lines: str, next: Sequence[tuple[str, str]] = (), style: str = "accent") -> None:
        """A title, lines below it, and what to do next as (key or command, what it does); all of it plain text."""
        self._shown = title, lines, next, style
        styles = styles_of(self)
        text = Text(justify="left")
        text.append(title, style=styles[style] + styles["bold"])
        for line in lines:
            if line:
                text.append(f"\n\n{line}", style=styles["plain"])
        if next:
            text.append("\n")
            wide = max(len(key) for key, _ in next)
            for key, what in next:
                text.append(f"\n  {key.ljust(wide)}", style=styles["accent"])
                text.append(f"   {what}", style=styles["dim"])
        self.update(text)
        self.display = True

    def show_error(self, error: ErrorMessage) -> None:
        """An error."""
        self.show_text(f"✗ {error.title}", error.message, error.hint, style="bad")

    def restyle(self) -> None:
        """In the styles of the theme as it is now."""
        if self._shown is not None and self.display:
            title, lines, next, style = self._shown
            self.show_text(title, *lines, next=next, style=style)

    def hide(self) -> None:
        """Nothing to say any more."""
        self.display = False
