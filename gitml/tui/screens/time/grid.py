"""The grid of commits and steps: a row for each commit, a column for each step, a sign in each cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip

from gitml.analysis.timeline import TimelineRow, steps_of
from gitml.core.text.format import number
from gitml.history.time_format import ago
from gitml.tui.services import Styles, styles_of
from gitml.tui.styles import Sign, sign_of
from gitml.tui.text import fitted, plain
from gitml.tui.widgets.row_view import RowView

COMMIT = 8
_WHEN, _METRIC = 10, 9
_STEP_LEAST, _STEP_MOST = 3, 16
_SUBJECT_MOST = 64
_NO_SIGN = Sign(" ", "", "dim")  # of a step that a commit does not have


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


class GridCell(NamedTuple):
    """A cell: the number of the commit and the step."""

    row: int
    step: str


class TimeGrid(RowView[TimelineRow]):
    """The rows of `commits`. A page answers `RowsRequested` with `put`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", "Step before", show=False),
        Binding("right,l", "step(1)", "Step after", show=False),
        Binding("enter", "choose", "Open run", key_display="⏎"),
    ]

    kept = 2000

    class CellHighlighted(Message):
        """The cursor stands on another cell."""

    class CellSelected(Message):
        """The cell under the cursor was chosen."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.commits: Sequence[str] = ()
        self.steps: list[str] = []
        self.column = 0
        self.metric: str | None = None
        self.marked: GridCell | None = None
        self.now = 0.0
        self._grid = GridLayout()
        self._requested: tuple[int, int] | None = None

    # -- what is shown

    def show(self, commits: Sequence[str], now: float) -> None:
        """Another history, or the same one to be queried again; the cursor stays on its commit where that is still there."""
        before = self.commits[self.cursor] if self.cursor < len(self.commits) else None
        known = {row.commit: row for row in self._rows.values()}
        self.commits, self.count, self.now = commits, len(commits), now
        self._rows = {index: known[commit] for index, commit in enumerate(commits) if commit in known} if known else {}
        if before is not None and before in commits:
            self.cursor = commits.index(before)
        self.cursor = max(0, min(self.cursor, len(commits) - 1))
        self._requested = None
        self.lay_out()
        self.follow()
        self.request_rows(anew=True)

    def update_ages(self, now: float) -> None:
        """Draws the visible rows again whose age reads otherwise by now."""
        for index in self.seen_rows:
            row = self._rows.get(index)
            if row is not None and ago(row.info.time, now) != ago(row.info.time, self.now):
                self.refresh_row(index)
        self.now = now

    def forget(self) -> None:
        """Drops steps and rows: they are of another pipeline."""
        self._rows, self.steps, self.column, self.marked = {}, [], 0, None
        self._grid = self._grid._replace(first=0)

    def put(self, first: int, rows: Sequence[TimelineRow]) -> None:
        """The answer to `RowsRequested`."""
        at = self.step
        self.keep(first, rows)
        steps = steps_of(rows, self.steps)
        if steps != self.steps:
            self.steps = steps
            self.column = steps.index(at) if at in steps else 0
        self.lay_out()
        self.cursor_moved()

    @property
    def step(self) -> str | None:
        """The step the cursor is on."""
        return self.steps[self.column] if self.column < len(self.steps) else None

    def mark(self) -> None:
        """Marks the cell under the cursor, or takes the mark from it."""
        here = GridCell(self.cursor, self.step) if self.step else None
        self.marked = None if here == self.marked else here
        self.refresh()
        self.cursor_moved()

    def cursor_moved(self) -> None:
        """Posts that the cursor is on another cell."""
        self.post_message(self.CellHighlighted())

    def move_to_step(self, column: int) -> None:
        """Puts the cursor on a step and scrolls to it."""
        if column == self.column:
            return
        self.column = max(0, min(column, len(self.steps) - 1))
        if self.step not in [step for step, _, _ in self._grid.steps]:
            self.lay_out()
        self.refresh(Region(0, 0, self.size.width, self.header_height))
        self.refresh_row(self.cursor)

    def action_step(self, by: int) -> None:
        """One step to the left or right."""
        self.move_to_step(self.column + by)
        self.cursor_moved()

    def action_choose(self) -> None:
        """Chooses the cell under the cursor."""
        self.post_message(self.CellSelected())

    def row_clicked(self, index: int, event: events.Click) -> None:
        """Moves the cursor; a second click on the same cell chooses."""
        column = next((n for n, (_, at, room) in enumerate(self._grid.steps) if at <= event.x < at + room + 1), None)
        chosen = self.column if column is None else column + self._grid.first
        again = event.chain > 1 and index == self.cursor and chosen == self.column
        self.move_to_step(chosen)
        self.move_to(index)
        if again:
            self.action_choose()

    # -- drawing

    def row_line(self, index: int) -> Strip:
        """A commit."""
        styles, width = styles_of(self), self.size.width
        base = styles["cursor-blurred"] if index == self.cursor else self.rich_style
        row = self.row(index)
        segments = self._left(index, row, base, styles) + self._cells(index, row, base, styles)
        return Strip(segments).extend_cell_length(width, base).crop(0, width)

    def header_line(self, y: int) -> Strip:
        """The titles of the columns; above those of combinations the name that they share."""
        styles, width, ground, layout = styles_of(self), self.size.width, self.rich_style, self._grid
        last = y == self.header_height - 1
        titles = (
            ("COMMIT", COMMIT),
            ("SUBJECT", layout.subject),
            ("WHEN", layout.when),
            (plain(self.metric or "").rpartition(".")[2], layout.metric),
        )
        left = "  ".join(
            fitted(title if last else "", room, right=at == 3) for at, (title, room) in enumerate(titles) if room
        )
        segments = [Segment(f"  {left}  ", ground + styles["head"])]
        if last:  # cut without a sign for it: of so few columns each letter counts
            names = [(title_of(step), room, "link" if step == self.step else "head") for step, _, room in layout.steps]
        else:
            names = [(base, room - 1, "head") for base, room in grouped(layout.steps)]
        segments += [
            Segment(set_cell_size(plain(name), room) + " ", ground + styles[style]) for name, room, style in names
        ]
        return Strip(segments).extend_cell_length(width, ground).crop(0, width)

    def _left(self, index: int, row: TimelineRow | None, base: Style, styles: Styles) -> list[Segment]:
        layout = self._grid
        mark = "◆" if self.marked is not None and self.marked.row == index else "▸" if index == self.cursor else " "
        segments = [
            Segment(f"{mark} ", base + styles["accent"]),
            Segment(self.commits[index][:COMMIT], base + styles["link"]),
            Segment("  ", base),
        ]
        if row is None:
            return [*segments, Segment(fitted("·", layout.subject), base + styles["dim"])]
        names = "".join(f"{plain(name)} " for name in row.names[:2])
        chip = fitted(names, min(len(names), layout.subject // 2)) if names else ""
        segments.append(Segment(chip, base + styles["accent"]))
        segments.append(Segment(fitted(plain(row.info.subject), layout.subject - len(chip)), base + styles["plain"]))
        if layout.when:
            segments.append(Segment("  " + fitted(ago(row.info.time, self.now), layout.when), base + styles["dim"]))
        if layout.metric:
            value = row.metrics.get(self.metric or "")
            text = "-" if value is None else number(value)
            style = "dim" if value is None else "plain"
            segments.append(Segment("  " + fitted(text, layout.metric, right=True), base + styles[style]))
        return segments

    def _cells(self, index: int, row: TimelineRow | None, base: Style, styles: Styles) -> list[Segment]:
        segments = [Segment("  ", base)]
        if row is None:
            return segments
        if row.problem and not row.cells:
            return [*segments, Segment(f"! {plain(row.problem)}", base + styles["held"])]
        for step, _, room in self._grid.steps:
            cell = row.cells.get(step)
            sign = sign_of(cell.state) if cell is not None else _NO_SIGN
            here = index == self.cursor and step == self.step
            ground = styles["cursor" if self.has_focus else "cursor-blurred"] if here else base
            marked = self.marked == (index, step)
            text = f"◆{sign.mark}◆" if marked else f"[{sign.mark}]" if here else f" {sign.mark} "
            segments += [Segment(fitted(text, room), ground + styles[sign.style]), Segment(" ", base)]
        return segments

    # -- where things are

    def lay_out(self) -> None:
        """Gives each part its width."""
        width = self.size.width
        self._grid = lay_out(width, self.steps, self.column, self._grid.first, metric=self.metric is not None)
        self.header_height = self._grid.heads
        self.virtual_size = Size(width, len(self.commits) + self.header_height)
        self.refresh()

    def request_rows(self, *, anew: bool = False) -> None:
        """Asks for what is seen, from the first row that is not known; all of it when what is known may be old."""
        if not self.commits or not self.size.height:
            return
        first, end = self.seen_rows.start, self.seen_rows.stop
        if not anew:
            unknown = [index for index in self.seen_rows if index not in self._rows]
            if not unknown:
                return
            first, end = unknown[0], unknown[-1] + 1
        if (first, end) != self._requested:
            self._requested = (first, end)
            self.post_message(self.RowsRequested(first, end - first))
