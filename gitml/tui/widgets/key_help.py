"""The keys that work here, as a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from gitml.tui.app import GitmlApp

_ALSO = (
    ("Ctrl+P", "everything, by name"),
    ("Tab, Shift+Tab", "the next part of the screen, the one before"),
    ("Ctrl+T", "dark or light"),
    ("Esc", "back"),
    ("q", "quit; what runs goes on"),
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


def key_help(app: GitmlApp) -> Text:
    """The page's own keys first, then those of tables and those that work everywhere."""
    text = Text()
    here: list[tuple[str, str]] = []
    tabs: list[tuple[str, str]] = []
    for active in app.screen.active_bindings.values():
        binding = active.binding
        shown = binding.key_display or app.get_key_display(binding)
        if not binding.description or binding.system or binding.action.partition("(")[0] in _MOVES:
            continue
        if binding.action.startswith("go("):
            tabs.append((shown, binding.description))
        elif (shown, binding.description) not in here:
            here.append((shown, binding.description))
    for title, keys in (("This screen", here), ("Tables", _TABLE), ("Places", tabs), ("Everywhere", _ALSO)):
        text.append(f"{title}\n", style=app.text_styles["link"] + app.text_styles["bold"])
        for key, what in keys:
            text.append(f"  {key:<16}", style=app.text_styles["accent"])
            text.append(f"{what}\n", style=app.text_styles["plain"])
        text.append("\n")
    return text
