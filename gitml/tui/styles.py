"""Colours and signs: a dark and a light theme, the text styles that tables and graphs use, and the sign of each state.

The palette keeps apart for every kind of colour vision (blue, bluish green, vermilion, amber), and no meaning hangs on colour
alone: each state has a sign of its own, the one that `gitml run` shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rich.style import Style
from rich.text import Text
from textual.theme import Theme

DARK = Theme(
    name="gitml-dark",
    primary="#6cb6ff",
    secondary="#b9a3f5",
    accent="#f2b65a",
    foreground="#d5dce5",
    background="#11151b",
    surface="#161b23",
    panel="#202834",
    success="#4fc9ab",
    warning="#f2b65a",
    error="#ff7d72",
    dark=True,
    variables={
        "border": "#3b4858",
        "border-blurred": "#2a3441",
        "muted": "#7f8c9b",
        "reused": "#7fb8d8",
        "cursor": "#264466",
        "cursor-blurred": "#1e2a38",
        "input-selection-background": "#6cb6ff 35%",
    },
)
LIGHT = Theme(
    name="gitml-light",
    primary="#0b5cad",
    secondary="#6a3fb5",
    accent="#9a5200",
    foreground="#1f252c",
    background="#fcfbf8",
    surface="#f4f2ec",
    panel="#e7e4db",
    success="#00705a",
    warning="#8a5200",
    error="#b3261e",
    dark=False,
    variables={
        "border": "#b9b4a6",
        "border-blurred": "#d6d2c6",
        "muted": "#66707c",
        "reused": "#2a6f97",
        "cursor": "#cfe2f6",
        "cursor-blurred": "#e4e7e8",
        "input-selection-background": "#0b5cad 25%",
    },
)
THEMES = (DARK, LIGHT)

_STYLES: Mapping[str, tuple[str, str]] = {
    "plain": ("foreground", ""),
    "bold": ("", "bold"),
    "dim": ("muted", ""),
    "accent": ("accent", ""),
    "link": ("primary", ""),
    "good": ("success", ""),
    "bad": ("error", "bold"),
    "busy": ("primary", "bold"),
    "reused": ("reused", ""),
    "held": ("warning", ""),
    "head": ("muted", "bold"),
    "title": ("primary", "bold"),
    "match": ("accent", "reverse"),
}


def make_styles(variables: Mapping[str, str], *, few_colours: bool = False) -> dict[str, Style]:
    """The styles of a theme by the name that cells give: see `_STYLES`. `few_colours`: the terminal has 16 colours or less."""
    made = {
        name: Style.parse(f"{extra} {variables.get(colour, '')}".strip()) for name, (colour, extra) in _STYLES.items()
    }
    if few_colours:  # shades of the ground come out alike there
        return {**made, "cursor": Style(bold=True, reverse=True), "cursor-blurred": Style(underline=True)}
    made["cursor"] = Style.parse(f"bold {variables['foreground']} on {variables['cursor']}")
    made["cursor-blurred"] = Style.parse(f"{variables['foreground']} on {variables['cursor-blurred']}")
    return made


class Sign(NamedTuple):
    """`mark` is one column wide; `style` is a name of gitml.tui.styles."""

    mark: str
    word: str
    style: str


SIGNS: dict[str, Sign] = {
    # runs
    "running": Sign("▶", "running", "busy"),
    "succeeded": Sign("✓", "succeeded", "good"),
    "failed": Sign("✗", "failed", "bad"),
    "cancelled": Sign("■", "cancelled", "held"),
    "stale": Sign("?", "left behind", "held"),
    "submitted": Sign("▷", "on a cluster", "busy"),
    # steps
    "executed": Sign("✓", "executed", "good"),
    "reused": Sign("=", "reused", "reused"),
    "skipped": Sign("-", "skipped", "held"),
    "waiting": Sign("·", "waiting", "dim"),
    # decisions of a plan
    "reuse": Sign("=", "would be reused", "reused"),
    "run": Sign("▶", "would run", "busy"),
    "unknown": Sign("?", "may run", "held"),
    "blocked": Sign("✗", "can't run", "bad"),
    # cells of a history
    "cached": Sign("●", "cached", "good"),
    "would run": Sign("○", "would run again", "busy"),
    "never": Sign("·", "never ran here", "dim"),
    "can't run": Sign("!", "can't run", "held"),
    # where artifacts are
    "here": Sign("●", "here", "good"),
    "record": Sign("◐", "in its record", "reused"),
    "remote": Sign("◌", "in a remote store", "reused"),
    "gone": Sign("○", "not here", "held"),
    # modules
    "active": Sign("✓", "active", "good"),
    "deprecated": Sign("!", "deprecated", "held"),
    "disabled": Sign("✗", "disabled", "bad"),
}
_UNKNOWN = Sign("?", "", "dim")


def sign_of(state: str) -> Sign:
    """The sign of a state; of one that is not known its own word."""
    return SIGNS.get(state) or _UNKNOWN._replace(word=state)


def sign_legend(states: Iterable[str | tuple[str, str]]) -> Text:
    """The signs of states, each with its word, or with the text given beside the state."""
    text = Text(end="")
    for item in states:
        state, words = (item, sign_of(item).word) if isinstance(item, str) else item
        text.append(f" {sign_of(state).mark} ", sign_of(state).style)
        text.append(f"{words} ", "dim")
    return text
