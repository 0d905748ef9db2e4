"""The graph of a run's steps: boxes in layers where they fit, an outline for large ones; state by sign and colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from gitml.core.text.graph_diagram import Box, Drawing, OutlineRow, Parents, drawn, outline
from gitml.tui.services import services, styles_of
from gitml.tui.styles import Sign
from gitml.tui.text import fitted, plain

_STRONG = Style(bold=True)
_CANVAS = 10_000  # columns that boxes may take where the user chose them; the arrow keys scroll to the chosen one
_DRAWN = 200  # steps that are drawn as boxes at most where the user chose them


class GraphNode(NamedTuple):
    """How a step stands: its sign, and what stands beside its name in an outline."""

    sign: Sign
    note: str = ""


class StepGraph(ScrollView, can_focus=True):
    """Steps to choose with the arrow keys or the mouse."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "step(0, -1)", "Up", show=False),
        Binding("down,j", "step(0, 1)", "Down", show=False),
        Binding("left", "step(-1, 0)", "Left", show=False),
        Binding("right", "step(1, 0)", "Right", show=False),
        Binding("home,g", "end(0)", "First", show=False),
        Binding("end,G", "end(-1)", "Last", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("v", "view", "Boxes or outline"),
    ]

    @dataclass
    class StepHighlighted(Message):
        """Another step is chosen."""

        name: str

    class ViewChanged(Message):
        """The view changed to boxes or to an outline."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.parents: Parents = {}
        self.nodes: Mapping[str, GraphNode] = {}
        self.chosen: str | None = None
        self.outlined: bool | None = None  # None: boxes where all of them are seen at once, else an outline
        self._drawing: Drawing | None = None
        self._rows: list[OutlineRow] = []
        self._at: dict[str, int] = {}
        self._laid_out: tuple[object, ...] | None = None

    def show(self, parents: Parents, nodes: Mapping[str, GraphNode], chosen: str | None) -> None:
        """The steps and what each needs, how they stand, and the one that is chosen."""
        self.nodes = nodes
        self.parents = parents
        self.chosen = chosen if chosen in parents else next(iter(parents), None)
        self._lay_out()

    def choose(self, name: str) -> None:
        """Selects a step and scrolls to it."""
        if name in self.parents and name != self.chosen:
            self.chosen = name
            self.refresh()
            self.post_message(self.StepHighlighted(name))
        self._follow()

    # -- keys and mouse

    def action_step(self, across: int, down: int) -> None:
        """To the next step in a direction."""
        if self.chosen is None:
            return
        if self._drawing is None:
            self._by(down or across)
            return
        boxes = self._drawing.boxes
        here = boxes[self.chosen]
        rows = sorted({box.top for box in boxes.values()})
        if across:
            row = sorted((box.left, name) for name, box in boxes.items() if box.top == here.top)
            at = row.index((here.left, self.chosen)) + across
            if 0 <= at < len(row):
                self.choose(row[at][1])
            return
        at = rows.index(here.top) + down
        if 0 <= at < len(rows):
            middle = here.left + here.width / 2
            near = [(abs(b.left + b.width / 2 - middle), name) for name, b in boxes.items() if b.top == rows[at]]
            self.choose(min(near)[1])

    def action_end(self, to: int) -> None:
        """The first or the last step."""
        names = [row.name for row in self._rows] if self._drawing is None else list(self.parents)
        if names:
            self.choose(names[to])

    def action_page(self, by: int) -> None:
        """A screenful up or down."""
        if self._drawing is None:
            self._by(by * max(1, self.size.height - 1))
        else:
            self.action_step(0, by)

    def action_view(self) -> None:
        """Boxes, on a canvas larger than the screen where they need one, or an outline."""
        self.outlined = self._drawing is not None
        self._lay_out()
        if not self.outlined and self._drawing is None:
            self.outlined = None
            services(self).report(f"{len(self.parents):,} steps are too many or too entangled to draw as boxes")
        self.post_message(self.ViewChanged())

    def on_click(self, event: events.Click) -> None:
        """A click chooses."""
        x, y = event.x + int(self.scroll_offset.x), event.y + int(self.scroll_offset.y)
        if self._drawing is None:
            if 0 <= y < len(self._rows):
                self.choose(self._rows[y].name)
            return
        for name, box in self._drawing.boxes.items():
            if box.left <= x < box.left + box.width and box.top <= y < box.top + 3:
                self.choose(name)

    def _by(self, steps: int) -> None:
        assert self.chosen is not None
        at = max(0, min(len(self._rows) - 1, self._at[self.chosen] + steps))
        self.choose(self._rows[at].name)

    # -- drawing

    def render_line(self, y: int) -> Strip:
        """One line of the drawing."""
        width = self.size.width
        row = y + int(self.scroll_offset.y)
        if self._drawing is not None:
            return self._boxes_line(self._drawing, row).crop_extend(
                int(self.scroll_offset.x), int(self.scroll_offset.x) + width, self.rich_style
            )
        if row >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        return self._outline_line(self._rows[row], width)

    def _boxes_line(self, drawing: Drawing, row: int) -> Strip:
        styles, ground = styles_of(self), self.rich_style
        line = drawing.lines[row] if row < len(drawing.lines) else ""
        between = ground + styles["dim"]
        edges, tones = [0], [between]  # of the boxes, and of what is between them
        for left, name, box in sorted((b.left, n, b) for n, b in drawing.boxes.items() if b.top <= row < b.top + 3):
            edges += [left, left + box.width]
            tones += [self._box_style(name), between]
        strip = Strip([Segment(line)])
        parts = pairwise([*edges, strip.cell_length])
        return Strip.join([strip.crop(*part).apply_style(tone) for part, tone in zip(parts, tones, strict=True)])

    def _outline_line(self, row: OutlineRow, width: int) -> Strip:
        styles = styles_of(self)
        sign, note = self.nodes[row.name]
        ground = self.rich_style
        if row.name == self.chosen:
            ground = styles["cursor" if self.has_focus else "cursor-blurred"]
        name = plain(row.name)
        also = f"  + {', '.join(map(plain, row.also[:3]))}{' …' if len(row.also) > 3 else ''}" if row.also else ""
        room = max(0, width - len(row.lead) - 4 - len(note) - 2)
        text = fitted(name + also, room)
        return Strip(
            [
                Segment("▸" if row.name == self.chosen else " ", ground + styles["accent"]),
                Segment(row.lead, ground + styles["dim"]),
                Segment(f"{sign.mark} ", ground + styles[sign.style]),
                Segment(text[: len(name)], ground + (_STRONG if row.name == self.chosen else Style())),
                Segment(text[len(name) :], ground + styles["dim"]),
                Segment(f" {note} ", ground + styles["dim"]),
            ]
        ).adjust_cell_length(width, ground)

    def _box_style(self, name: str) -> Style:
        styles = styles_of(self)
        style = self.rich_style + styles[self.nodes[name].sign.style]
        if name == self.chosen:
            return style + _STRONG + _ground_of(styles["cursor" if self.has_focus else "cursor-blurred"])
        return style

    def _lay_out(self) -> None:
        labels = {name: f"{self.nodes[name].sign.mark} {plain(name)}" for name in self.parents}
        asked = (tuple(map(repr, self.parents.items())), tuple(labels.values()), self.size, self.outlined)
        if asked == self._laid_out or not self.size.width:
            self.refresh()
            return
        self._laid_out = asked
        room, most = (self.size.width, 40) if self.outlined is None else (_CANVAS, _DRAWN)
        self._drawing = None if self.outlined else drawn(self.parents, labels, room, most)
        if self._drawing is not None and self.outlined is None and len(self._drawing.lines) > self.size.height:
            self._drawing = None
        if self._drawing is not None:
            right = max(box.left + box.width for box in self._drawing.boxes.values())
            self.virtual_size = Size(max(self.size.width, right), len(self._drawing.lines))
        else:
            self._rows = outline(self.parents, max(4, self.size.width // 3))
            self._at = {row.name: at for at, row in enumerate(self._rows)}
            self.virtual_size = Size(self.size.width, len(self._rows))
        self.refresh()
        self._follow()

    def on_resize(self) -> None:
        """Another width may fit boxes, or not any more."""
        self._lay_out()

    def _follow(self) -> None:
        if self.chosen is None or not self.size.height:
            return
        if self._drawing is not None:
            box = self._drawing.boxes.get(self.chosen, Box(0, 0, 0))
            region = Region(box.left, box.top, box.width, 3)
        else:
            region = Region(0, self._at.get(self.chosen, 0), 1, 1)
        self.scroll_to_region(region, animate=False, immediate=True, force=True)


def _ground_of(style: Style) -> Style:
    return Style(bgcolor=style.bgcolor, reverse=style.reverse, underline=style.underline)
