"""Notice: says in the place of what was to be shown why it is not, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import Static

from gitml.tui.errors import ErrorMessage


class Notice(Static):
    """Hidden until it has something to say; then what the selector `place` finds beside it is hidden."""

    def __init__(self, place: str | None = None) -> None:
        super().__init__()
        self.place = place
        self.display = False

    def show_text(self, title: str, *lines: str, next: Sequence[tuple[str, str]] = (), style: str = "accent") -> None:
        """A title, lines below it, and what to do next as (key or command, what it does); all of it plain text."""
        text = Text.assemble((title, style), justify="left")
        text.stylize("bold")
        for line in lines:
            if line:
                text.append(f"\n\n{line}", "plain")
        if next:
            text.append("\n")
            wide = max(len(key) for key, _ in next)
            for key, what in next:
                text.append(f"\n  {key.ljust(wide)}", "accent")
                text.append(f"   {what}", "dim")
        self.update(text)
        self._change(shown=True)

    def show_error(self, error: ErrorMessage) -> None:
        """An error."""
        self.show_text(f"✗ {error.title}", error.message, error.hint, style="bad")

    def hide(self) -> None:
        """Nothing to say any more."""
        self._change(shown=False)

    def _change(self, *, shown: bool) -> None:
        self.display = shown
        if self.place is not None:
            assert self.parent is not None
            self.parent.query_one(self.place).display = not shown
