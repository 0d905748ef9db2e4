"""KeyBar: the keys that work now, in one line; each can be clicked. One widget draws them all, which a paint depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual import events
from textual.screen import Screen
from textual.widget import Widget

if TYPE_CHECKING:
    from gitml.tui.app import GitmlApp

_LAST = ("?", "q")  # always seen, whatever else fits


class KeyBar(Widget):
    """What has no room is left out, from the end; `?` lists everything."""

    def __init__(self) -> None:
        super().__init__()
        self._spans: list[tuple[int, int, str]] = []

    def on_mount(self) -> None:
        """Other keys work when the focus moves."""
        self.screen.bindings_updated_signal.subscribe(self, self._updated)

    def _updated(self, screen: Screen[object]) -> None:
        if screen is self.screen:
            self.refresh()

    def render(self) -> Text:
        """The line."""
        app = cast("GitmlApp", self.app)
        shown: dict[str, tuple[str, str]] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.show and active.enabled and not binding.system:
                key = binding.key_display or ("space" if binding.key == "space" else app.get_key_display(binding))
                shown.setdefault(binding.action, (key, binding.description))
        keys = {action: each for action, each in shown.items() if each[0] not in _LAST}
        always = {action: each for action, each in shown.items() if each[0] in _LAST}
        room = self.size.width - sum(len(key) + len(what) + 4 for key, what in always.values())
        line = Text(" ", end="", no_wrap=True)
        self._spans = []
        for action, (key, what) in keys.items():
            if line.cell_len + len(key) + len(what) + 3 > room:
                break
            self._add(line, action, key, what)
        for action, (key, what) in always.items():
            self._add(line, action, key, what)
        return line

    def _add(self, line: Text, action: str, key: str, what: str) -> None:
        styles = cast("GitmlApp", self.app).text_styles
        start = line.cell_len
        line.append(key, style=styles["accent"] + styles["bold"])
        line.append(f" {what}", style=styles["dim"])
        self._spans.append((start, line.cell_len, action))
        line.append("   ")

    async def on_click(self, event: events.Click) -> None:
        """A click does what the key does."""
        for start, end, action in self._spans:
            if start <= event.x < end:
                for active in self.screen.active_bindings.values():
                    if active.binding.action == action:
                        await self.app.run_action(action, active.node)
                        return
