"""The lines of text whose parts can be clicked: the top bar, the sections of a page, the keys; and the list of all keys.

One widget draws a whole line: the time of a paint depends on the number of widgets.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style
from rich.text import Text
from textual.reactive import Reactive, reactive
from textual.screen import Screen
from textual.widget import Widget

from gitml.tui.change_detector import RepositoryState
from gitml.tui.routes import ROUTES, TABS
from gitml.tui.services import services, styles_of
from gitml.tui.text import fitted, plain

_CHOSEN = Style(bold=True, underline=True)


class Bar(Widget):
    """A line, whose parts do something when they are clicked."""

    auto_links = Reactive(False)  # a part looks as `render` made it


def _line(text: str, style: Style | str = "") -> Text:
    return Text(text, style=style, end="", no_wrap=True)


def _clickable(style: Style, action: str, name: str) -> Style:
    """The style, with a click on the text doing an action with a name."""
    return style + Style.from_meta({"@click": (action, (name,))})


class TopBar(Bar):
    """The screens as tabs, the repository and its branch, and how many runs are in progress."""

    state: reactive[RepositoryState | None] = reactive(None)

    def __init__(self, route: str) -> None:
        super().__init__()
        self.route = route

    def on_mount(self) -> None:
        """The state that was polled last."""
        self.state = services(self).state

    def render(self) -> Text:
        """The line, fitted to the width."""
        styles, width, here = styles_of(self), self.size.width, self.route
        line = _line(" gitml ", styles["accent"] + styles["bold"])
        line.append(" ")
        for route in TABS:
            key, title = ("accent", styles["link"] + _CHOSEN) if route.name == here else ("dim", styles["plain"])
            line.append(f" {route.key} ", style=_clickable(styles[key], "app.go", route.name))
            line.append(f"{route.title} ", style=_clickable(title, "app.go", route.name))
        if here in ROUTES and not ROUTES[here].key:
            line.append(" > ", style=styles["dim"])
            line.append(ROUTES[here].title, style=styles["link"] + _CHOSEN)
        state = self._state_text(width - line.cell_len - 2)
        line.append(" " * max(1, width - line.cell_len - state.cell_len - 1))
        line.append_text(state)
        return line

    def _state_text(self, room: int) -> Text:
        text, styles = Text(end=""), styles_of(self)
        if self.state is None or room < 4:
            return text
        if self.state.live:
            text.append(f"▶ {len(self.state.live)} running", style=styles["busy"])
            text.append("  ")
        left = room - text.cell_len
        where = plain(self.state.name) + (f" on {plain(self.state.branch)}" if self.state.branch else "")
        if left > 8:
            cut = fitted(where, min(left, len(where) * 2)).rstrip() if len(where) > left else where
            text.append(cut, styles["dim"])
        return text


class SectionBar(Bar):
    """The titles of the sections of a page, of which one is chosen, each with the key that opens it by `action_section`."""

    chosen: reactive[str] = reactive("")

    def __init__(self, titles: Sequence[tuple[str, str, str]]) -> None:
        super().__init__()
        self.titles = tuple(titles)  # name, key, title

    def render(self) -> Text:
        """The line."""
        styles, line = styles_of(self), _line(" ")
        for name, key, title in self.titles:
            style = styles["link"] + _CHOSEN if name == self.chosen else styles["dim"]
            line.append(f"{key} ", style=_clickable(styles["accent"], "screen.section", name))
            line.append(title, style=_clickable(style, "screen.section", name))
            line.append("   ")
        return line


_LAST = ("?", "q")  # always shown, whatever else fits


class KeyBar(Bar):
    """The keys that work now. What has no room is left out, from the end; `?` lists everything."""

    def on_mount(self) -> None:
        """Other keys work when the focus moves."""
        self.screen.bindings_updated_signal.subscribe(self, self._updated)

    def _updated(self, screen: Screen[object]) -> None:
        if screen is self.screen:
            self.refresh()

    def render(self) -> Text:
        """The line."""
        shown: dict[str, tuple[str, str]] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.show and active.enabled and not binding.system:
                key = binding.key_display or ("space" if binding.key == "space" else self.app.get_key_display(binding))
                shown.setdefault(binding.action, (key, binding.description))
        keys = {action: each for action, each in shown.items() if each[0] not in _LAST}
        always = {action: each for action, each in shown.items() if each[0] in _LAST}
        room = self.size.width - sum(len(key) + len(what) + 4 for key, what in always.values())
        line = _line(" ")
        for action, (key, what) in keys.items():
            if line.cell_len + len(key) + len(what) + 3 > room:
                break
            self._add(line, action, key, what)
        for action, (key, what) in always.items():
            self._add(line, action, key, what)
        return line

    def _add(self, line: Text, action: str, key: str, what: str) -> None:
        styles = styles_of(self)
        line.append(key, style=_clickable(styles["accent"] + styles["bold"], "press", action))
        line.append(f" {what}", style=_clickable(styles["dim"], "press", action))
        line.append("   ")

    async def action_press(self, name: str) -> None:
        """Does what the key of an action does."""
        for active in self.screen.active_bindings.values():
            if active.binding.action == name:
                await self.app.run_action(name, active.node)
                return


_EVERYWHERE = (
    ("Ctrl+P", "all actions, by name"),
    ("Tab, Shift+Tab", "the next part of the screen, the one before"),
    ("Ctrl+T", "dark or light"),
    ("Esc", "back"),
    ("q", "quit; runs in progress continue"),
)
_TABLE = (
    ("↑ ↓, j k", "up, down"),
    ("PgUp PgDn", "a screenful"),
    ("Home End, g G", "first, last"),
    ("Enter", "open"),
)
_MOVES = frozenset(
    "move page jump choose step end leave quit help other_theme refresh scroll_up scroll_down page_up page_down page_left "
    "page_right scroll_left scroll_right scroll_home scroll_end app.help app.focus_next app.focus_previous "
    "screen.copy_text command_palette".split()
)


def key_help(screen: Screen[object]) -> Text:
    """The page's own keys first, then those of tables and those that work everywhere."""
    text = Text()
    here: list[tuple[str, str]] = []
    tabs: list[tuple[str, str]] = []
    for active in screen.active_bindings.values():
        binding = active.binding
        shown = binding.key_display or screen.app.get_key_display(binding)
        if not binding.description or binding.system or binding.action.partition("(")[0] in _MOVES:
            continue
        if binding.action.startswith("go("):
            tabs.append((shown, binding.description))
        elif (shown, binding.description) not in here:
            here.append((shown, binding.description))
    for title, keys in (("This screen", here), ("Tables", _TABLE), ("Screens", tabs), ("Everywhere", _EVERYWHERE)):
        text.append(f"{title}\n", "title")
        for key, what in keys:
            text.append(f"  {key:<16}", "accent")
            text.append(f"{what}\n", "plain")
        text.append("\n")
    return text
