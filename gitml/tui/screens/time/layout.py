"""How wide the parts of the grid of commits and steps are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len

from gitml.tui.text import plain

COMMIT = 8
_WHEN, _METRIC = 10, 9
_STEP_LEAST, _STEP_MOST = 3, 16
_SUBJECT_MOST = 64


class GridLayout(NamedTuple):
    """How wide each part is; 0 leaves it out. `steps` are those in sight, from number `first` on: (step, column at which it
    begins, width). `heads` are the lines of titles: two where steps have combinations."""

    subject: int = 20
    when: int = 0
    metric: int = 0
    steps: tuple[tuple[str, int, int], ...] = ()
    first: int = 0
    heads: int = 1


def lay_out(width: int, steps: Sequence[str], chosen: int, first: int, *, metric: bool) -> GridLayout:
    """The parts of a grid of `width` columns. Steps narrow before they go out of sight, and then the one `chosen` is in sight;
    `first` is the number of the step that was the first in sight."""
    when = _WHEN if width >= 100 else 0
    measured = _METRIC if metric else 0
    rest = width - 2 - COMMIT - 2 - (when + 2 if when else 0) - (measured + 2 if measured else 0) - 2
    least = min(max(18, rest // 4), 36)
    widths = [min(max(_STEP_LEAST, cell_len(plain(title_of(step)))), _STEP_MOST) for step in steps]
    room = max(_STEP_LEAST + 1, rest - least)
    if sum(widths) + len(widths) > room:
        narrow = max(_STEP_LEAST, _evened(widths, room))
        widths = [min(width, narrow) for width in widths]
    first = _first_seen(widths, room, chosen, first)
    seen: list[tuple[str, int]] = []
    used = 0
    for step, width in list(zip(steps, widths, strict=True))[first:]:
        if used + width + 1 > room:
            break
        seen.append((step, width))
        used += width + 1
    subject = max(least, min(rest - used, _SUBJECT_MOST))
    at = width - (rest - subject)
    placed = []
    for step, width in seen:
        placed.append((step, at, width))
        at += width + 1
    heads = 2 if any("[" in step for step in steps) else 1
    return GridLayout(subject, when, measured, tuple(placed), first, heads)


def title_of(step: str) -> str:
    """What stands above a step's column: of a combination its label, which stands below the name that it shares."""
    base, _, label = step.partition("[")
    return label.rstrip("]") or base


def grouped(steps: Sequence[tuple[str, int, int]]) -> list[tuple[str, int]]:
    """(the name that combinations share, the columns they take); an empty name above other steps."""
    groups: list[tuple[str, int]] = []
    for step, _, room in steps:
        base = step.partition("[")[0] if "[" in step else ""
        if groups and groups[-1][0] == base:
            groups[-1] = (base, groups[-1][1] + room + 1)
        else:
            groups.append((base, room + 1))
    return groups


def _first_seen(widths: Sequence[int], room: int, chosen: int, first: int) -> int:
    """The first step in sight: where it was, or as far on as the chosen one needs."""
    first = min(first, chosen, max(0, len(widths) - 1))
    while first < chosen and sum(widths[first : chosen + 1]) + chosen + 1 - first > room:
        first += 1
    while first and sum(widths[first - 1 :]) + len(widths) - first + 1 <= room:
        first -= 1
    return first


def _evened(widths: Sequence[int], room: int) -> int:
    """The width beyond which columns are cut so that all fit; 0 when they don't."""
    for narrow in range(_STEP_MOST, 0, -1):
        if sum(min(width, narrow) + 1 for width in widths) <= room:
            return narrow
    return 0
