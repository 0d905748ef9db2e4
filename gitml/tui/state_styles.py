"""States as a sign, a word and a style: the same signs as `gitml run` shows, so that no meaning hangs on colour alone."""

from __future__ import annotations

from typing import NamedTuple


class Sign(NamedTuple):
    """`mark` is one column wide; `style` is a name of gitml.tui.themes."""

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
