"""Graphs as indented lines: a tree for the terminal, an outline of one step a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitml.core.text.format import cells

MOST_REDUCED = 2000

Parents = Mapping[str, Sequence[str]]


def reduced(parents: Parents) -> dict[str, list[str]]:
    """Without the edges that longer ways make plain anyway: `c` needs `a` through `b` already."""
    above: dict[str, set[str]] = {}
    kept = {}
    for name, direct in parents.items():
        above[name] = set(direct).union(*[above[parent] for parent in direct])
        kept[name] = [one for one in direct if not any(one in above[other] for other in direct if other != one)]
    return kept


def tree(parents: Parents, labels: Mapping[str, str], *, room: int = 100) -> list[str]:
    """An indented tree: under each step those that need it; one that needs several stands under the last of them.

    Steps in a row, each the only one that needs the other, share a line, and every step that needs several says what.
    """
    children: dict[str, list[str]] = {name: [] for name in parents}
    for name, direct in parents.items():
        if direct:
            children[direct[-1]].append(name)
    lines: list[str] = []
    stack = [(name, "", "", "") for name in reversed(list(parents)) if not parents[name]]
    while stack:
        name, lead, turn, below = stack.pop()
        text = labels[name] + _also(parents[name], labels)
        alone = len(parents[name]) < 2
        while alone and len(children[name]) == 1 and len(parents[children[name][0]]) == 1:
            (name,) = children[name]
            if cells(lead + turn + text) + cells(labels[name]) + 3 > room:
                lines.append(lead + turn + text)
                text, turn = f"→ {labels[name]}", below
            else:
                text += f" → {labels[name]}"
        lines.append(lead + turn + text)
        under = children[name]
        for number, child in enumerate(reversed(under)):
            last = number == 0
            stack.append((child, lead + below, "└ " if last else "├ ", "  " if last else "│ "))
    return lines


class OutlineRow(NamedTuple):
    """A step in an outline: what stands before its name, and what it needs beside the step it stands under."""

    name: str
    lead: str
    also: tuple[str, ...]


def outline(parents: Parents, deepest: int = 24) -> list[OutlineRow]:
    """One step a row, under what it needs; a chain goes straight down, and only where ways part does the next go in.

    A step that needs several stands under the last of them and names the others. Beyond `deepest` columns nothing goes in.
    What is needed in longer ways too is not named.
    """
    parents = reduced(parents) if len(parents) <= MOST_REDUCED else parents
    children: dict[str, list[str]] = {name: [] for name in parents}
    for name, direct in parents.items():
        if direct:
            children[direct[-1]].append(name)
    rows: list[OutlineRow] = []
    stack = [(name, "", "") for name in reversed(list(parents)) if not parents[name]]
    while stack:
        name, lead, below = stack.pop()
        rows.append(OutlineRow(name, lead, tuple(parents[name][:-1])))
        under = children[name]
        if len(under) == 1:
            stack.append((under[0], below, below))
            continue
        for number, child in enumerate(reversed(under)):
            last = number == 0
            if len(below) >= deepest:
                stack.append((child, below, below))
            else:
                stack.append((child, below + ("╰ " if last else "├ "), below + ("  " if last else "│ ")))
    return rows


def _also(direct: Sequence[str], labels: Mapping[str, str]) -> str:
    if len(direct) < 2:
        return ""
    shown = ", ".join(labels[name] for name in direct[:-1][:4])
    more = len(direct) - 5
    return f"  (also needs {shown}{f' and {more} more' if more > 0 else ''})"
