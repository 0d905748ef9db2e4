"""Graphs drawn with characters: as boxes in layers (`drawn`), and where those don't fit as indented lines (`tree`, `outline`).

A line that crosses another passes under it (``─│─``); lines that join or part have a tee. So no drawing can be read in two ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitml.core.text.format import cells

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8
_LINES = {
    UP | DOWN: "│", LEFT | RIGHT: "─", UP | RIGHT: "╰", UP | LEFT: "╯", DOWN | RIGHT: "╭", DOWN | LEFT: "╮",
    UP | DOWN | RIGHT: "├", UP | DOWN | LEFT: "┤", LEFT | RIGHT | UP: "┴", LEFT | RIGHT | DOWN: "┬",
    UP | DOWN | LEFT | RIGHT: "┼",
}  # fmt: skip
_ASCII = str.maketrans("│─╰╯╭╮├┤┴┬┼└▼→", "|-''..+++++'v>")
_GAP = 3
MOST_REDUCED = 2000

Parents = Mapping[str, Sequence[str]]


def ascii_only(lines: Sequence[str]) -> list[str]:
    """The same drawing for a terminal that has no other characters."""
    return [line.translate(_ASCII) for line in lines]


class Box(NamedTuple):
    """Where a step's box stands in a drawing, in columns and rows from the upper left; every box is three rows high."""

    left: int
    top: int
    width: int


class Drawing(NamedTuple):
    """A drawing's rows, and where each step is in them."""

    lines: list[str]
    boxes: dict[str, Box]


class _Edge(NamedTuple):
    source: str
    target: str


def drawn(parents: Parents, labels: Mapping[str, str], width: int, most: int = 40) -> Drawing | None:
    """Boxes in layers, every step below all that it needs; None when there are more than `most`, or they don't fit `width`."""
    if not parents or len(parents) > most:
        return None
    parents = reduced(parents)
    layers, edges = _layers(parents)
    _untangle(layers, edges)
    place = _place(layers, edges, {name: cells(labels[name]) + 4 for name in parents})
    if max(x + w for x, w in place.values()) > width:
        return None
    rows: list[str] = []
    boxes: dict[str, Box] = {}
    for number, layer in enumerate(layers):
        boxes |= {name: Box(place[name][0], len(rows), place[name][1]) for name in layer if name in parents}
        rows += _boxes(layer, place, labels)
        if number + 1 < len(layers):
            channel = _channel([edge for edge in edges if edge.source in set(layer)], place)
            if channel is None:
                return None
            rows += channel
    return Drawing([row.rstrip() for row in rows], boxes)


def _layers(parents: Parents) -> tuple[list[list[str]], list[_Edge]]:
    """Names by layer, with stand-ins where an edge passes through a layer, and the edges between neighbouring layers."""
    depth: dict[str, int] = {}
    for name, direct in parents.items():
        depth[name] = 1 + max((depth[parent] for parent in direct), default=-1)
    layers: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for name in parents:
        layers[depth[name]].append(name)
    edges = []
    through: dict[tuple[str, int], str] = {}
    for name, direct in parents.items():
        for parent in direct:
            before = parent
            for level in range(depth[parent] + 1, depth[name]):
                stand_in = through.get((parent, level))
                if stand_in is None:
                    stand_in = through[parent, level] = f"\0{parent}\0{level}"
                    layers[level].append(stand_in)
                    edges.append(_Edge(before, stand_in))
                before = stand_in
            edges.append(_Edge(before, name))
    return layers, edges


def _untangle(layers: list[list[str]], edges: list[_Edge]) -> None:
    """Orders each layer by the middle of its neighbours', down and up a few times."""
    up: dict[str, list[str]] = {}
    down: dict[str, list[str]] = {}
    for source, target in edges:
        up.setdefault(target, []).append(source)
        down.setdefault(source, []).append(target)
    for turn in range(8):
        towards, order = (up, range(1, len(layers))) if turn % 2 == 0 else (down, range(len(layers) - 2, -1, -1))
        for number in order:
            rank = {name: at for other in layers for at, name in enumerate(other)}
            layer = layers[number]
            middle = {
                name: sum(rank[other] for other in towards[name]) / len(towards[name])
                if towards.get(name)
                else rank[name]
                for name in layer
            }
            layer.sort(key=lambda name, middle=middle: middle[name])  # type: ignore[misc]


def _place(layers: list[list[str]], edges: list[_Edge], wide: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """(left column, width) of each box: as far left as its layer allows, moved towards the middle of its neighbours."""
    size = {name: wide.get(name, 1) for layer in layers for name in layer}
    at: dict[str, int] = {}
    near: dict[str, list[str]] = {}
    for source, target in edges:
        near.setdefault(source, []).append(target)
        near.setdefault(target, []).append(source)
    for layer in layers:
        column = 0
        for name in layer:
            at[name] = column
            column += size[name] + _GAP
    for turn in range(12):
        for layer in layers if turn % 2 == 0 else reversed(layers):
            desired = {
                name: sum(at[o] + size[o] // 2 for o in near[name]) // len(near[name]) - size[name] // 2
                if near.get(name)
                else at[name]
                for name in layer
            }
            _settle(layer, desired, size, at)
    left = min(at.values())
    return {name: (at[name] - left, size[name]) for name in at}


def _settle(layer: list[str], desired: Mapping[str, int], size: Mapping[str, int], at: dict[str, int]) -> None:
    """Puts each box at its desired place, neighbours pushed apart evenly: blocks that touch share the mean of their desires."""
    blocks: list[tuple[float, list[str], int]] = []  # (left end, names, width)
    for name in layer:
        block: tuple[float, list[str], int] = (float(desired[name]), [name], size[name])
        while blocks and blocks[-1][0] + blocks[-1][2] + _GAP > block[0]:
            start, names, wide = blocks.pop()
            shifted = block[0] - wide - _GAP
            weight, other = len(names), len(block[1])
            mean = (start * weight + shifted * other) / (weight + other)
            block = (mean, names + block[1], wide + _GAP + block[2])
        blocks.append(block)
    floor: int | None = None
    for start, names, _ in blocks:
        column = round(start) if floor is None else max(round(start), floor)
        for name in names:
            at[name] = column
            column += size[name] + _GAP
        floor = column


def _centre(place: Mapping[str, tuple[int, int]], name: str) -> int:
    left, wide = place[name]
    return left + wide // 2


def _boxes(layer: Sequence[str], place: Mapping[str, tuple[int, int]], labels: Mapping[str, str]) -> list[str]:
    rows = ["", "", ""]
    filled = 0
    for name in sorted(layer, key=lambda one: place[one][0]):
        left, wide = place[name]
        gap = " " * (left - filled)
        if name.startswith("\0"):
            parts = ["│", "│", "│"]
        else:
            parts = [f"╭{'─' * (wide - 2)}╮", f"│ {labels[name]} │", f"╰{'─' * (wide - 2)}╯"]
        rows = [row + gap + part for row, part in zip(rows, parts, strict=True)]
        filled = left + wide
    return rows


class _Track(NamedTuple):
    """A row of its own for lines that lead from the same columns to the same columns, each to each."""

    starts: frozenset[int]
    ends: frozenset[int]

    def touches(self, column: int) -> bool:
        """Whether a line of this track turns or goes through at this column."""
        return column in self.starts or column in self.ends

    def spans(self, column: int) -> bool:
        """Whether the horizontal way passes this column."""
        every = self.starts | self.ends
        return min(every) <= column <= max(every)


def _channel(edges: Sequence[_Edge], place: Mapping[str, tuple[int, int]]) -> list[str] | None:
    """The rows between two layers; None when no order of the tracks keeps lines apart that have nothing to do with each other."""
    ends: dict[int, set[int]] = {}
    for source, target in edges:
        ends.setdefault(_centre(place, source), set()).add(_centre(place, target))
    straight = {start for start, to in ends.items() if to == {start}}
    starts: dict[frozenset[int], set[int]] = {}
    for start, to in ends.items():
        if start not in straight:
            starts.setdefault(frozenset(to), set()).add(start)
    tracks = _ordered([_Track(frozenset(begin), to) for to, begin in starts.items()])
    if tracks is None:
        return None
    wide = max(max(ends), *(max(to) for to in ends.values())) + 1

    def upright(column: int, row: int) -> bool:
        """Whether a line that does not turn in this row comes down through it."""
        return column in straight or any(
            (column in track.starts and row < at) or (column in track.ends and row > at)
            for at, track in enumerate(tracks)
        )

    rows = []
    for at, track in enumerate(tracks):
        line = []
        for column in range(wide):
            above = upright(column, at)
            if track.touches(column):
                way = (LEFT if track.spans(column - 1) else 0) | (RIGHT if track.spans(column + 1) else 0)
                way |= (UP if above or column in track.starts else 0) | (DOWN if column in track.ends else 0)
                line.append(_LINES[way])
            else:
                line.append("│" if above else "─" if track.spans(column) else " ")
        rows.append("".join(line))
    real = {_centre(place, target) for _, target in edges if not target.startswith("\0")}
    arrows = {end: "▼" if end in real else "│" for to in ends.values() for end in to}
    return [*rows, "".join(arrows.get(column, " ") for column in range(wide))]


def _ordered(tracks: Sequence[_Track]) -> list[_Track] | None:
    """The tracks from the top: a line that begins in a column has left it before another comes down there."""
    order: list[_Track] = []
    left = sorted(tracks, key=lambda track: (min(track.starts), min(track.ends)))
    while left:
        free = next(
            (one for one in left if not any(one.ends & other.starts for other in left if other is not one)), None
        )
        if free is None:
            return None
        order.append(free)
        left.remove(free)
    return order


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
