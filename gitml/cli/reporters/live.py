"""A run as a picture that changes: for a person at a terminal. Drawn only once something executes."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from gitml.cli.reporters.board import ELSEWHERE, FETCHING, RUNNING, WAITING, RunBoard, StepRow
from gitml.cli.reporters.plain import (
    COLOURS,
    LastLines,
    closing_lines,
    failure_lines,
    note_lines,
    outcome_counts,
    outcome_text,
    partial_lines,
    sign,
)
from gitml.cli.text.format import cells, clipped, duration
from gitml.cli.text.terminal import paint, safe, safe_line, wants_colour
from gitml.core.model.events import (
    Event,
    Note,
    RunFinished,
    StepFetches,
    StepFinished,
    StepStarted,
    StepWaits,
)
from gitml.core.records.record import StepRun

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_FEW = 12  # steps of one outcome up to which each has a line of its own at the end


class LiveReporter:
    """Shows the steps of a run on a terminal (stderr) while they go on, and leaves a compact account."""

    def __init__(self, last_lines: LastLines) -> None:
        self.board = RunBoard()
        self.last_lines = last_lines
        self.live: Live | None = None

    def __call__(self, event: Event) -> None:
        """Takes one event; what is to stay on the screen is written above the picture."""
        self.board.take(event, time.time())
        if isinstance(event, (StepStarted, StepWaits, StepFetches)) and self.live is None:
            self._start()
        elif isinstance(event, Note):
            self._write(note_lines(event))
        elif isinstance(event, StepFinished) and event.step.outcome == "failed":
            self._write(failure_lines(self.board.run, event.step, self.last_lines(event.step)))
        elif isinstance(event, RunFinished):
            self.close()
            self._write([*self.account(), *closing_lines(event.run)])

    def close(self) -> None:
        """Takes the picture away; the terminal is as it was."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def account(self) -> list[str]:
        """What became of each step; an outcome that many steps have is one line for all of them."""
        counts = self.board.counts
        lines = []
        for row in self.board.rows.values():
            step = row.step
            if step is not None and step.outcome != "failed" and counts[step.outcome] <= _FEW:
                lines += [_told(step), *partial_lines(self.board.run, step)]
        for outcome, colour in COLOURS.items():
            if outcome != "failed" and counts.get(outcome, 0) > _FEW:
                lines.append(f"{paint(sign(outcome), colour, sys.stderr)} {counts[outcome]:,} steps {outcome}")
        return lines

    def _start(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=sys.stderr, highlight=False, no_color=not wants_colour(sys.stderr), soft_wrap=False)
        self.live = Live(
            get_renderable=lambda: _picture(self.board, console.width, console.height, time.time()),
            console=console,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.live.start()

    def _write(self, lines: list[str]) -> None:
        text = "".join([f"{line}\n" for line in lines])
        if self.live is None:
            sys.stderr.write(text)
            sys.stderr.flush()
            return
        from rich.text import Text

        self.live.console.print(Text.from_ansi(text.rstrip("\n")))


def _told(step: StepRun) -> str:
    colour = COLOURS[step.outcome]
    what = outcome_text(step)
    if step.outcome == "executed":
        what += f"  {safe(step.reason)}"
    return f"{paint(sign(step.outcome), colour, sys.stderr)} {safe(step.name)}  {paint(what, 'dim', sys.stderr)}"


def _picture(board: RunBoard, width: int, height: int, now: float) -> Text:
    from rich.text import Text

    lines = [Text(line, style) for line, style in picture_lines(board, width, height, now)]
    return Text("\n", no_wrap=True, overflow="ellipsis", end="").join(lines)


def picture_lines(board: RunBoard, width: int, height: int, now: float) -> list[tuple[str, str]]:
    """The picture as (line, style): each line fits `width`, all of them `height` with a line to spare."""
    rows, hidden = board.chosen(max(1, height - 3))
    names = min(max((cells(safe(row.name)) for row in rows), default=0), max(12, width // 3))
    lines = [(_row_line(row, names, width, now), _style(row)) for row in rows]
    if hidden:
        lines.append((clipped(f"  … and {hidden:,} steps more", width - 1), "dim"))
    lines.append((clipped(_totals(board, now), width - 1), "bold"))
    return lines


def _row_line(row: StepRow, names: int, width: int, now: float) -> str:
    name = clipped(safe(row.name), names)
    name += " " * (names - cells(name))
    state = {RUNNING: "run", WAITING: "wait", ELSEWHERE: "other", FETCHING: "fetch"}.get(row.state, "")
    if row.step is not None:
        state = {"executed": "done", "reused": "reuse", "failed": "fail", "skipped": "skip"}.get(row.state, "stop")
    if row.state in (RUNNING, ELSEWHERE, FETCHING):
        elapsed = duration(now - row.since)
    else:
        elapsed = duration(row.step.seconds) if row.step is not None and row.state in ("executed", "failed") else ""
    attempt = f"attempt {row.attempt}: " if row.attempt > 1 and row.state == RUNNING else ""
    if row.state == ELSEWHERE:
        rest = row.reason
    elif row.state == FETCHING:
        rest = "its inputs come from a remote store"
    elif row.state == RUNNING and row.line:
        rest = f"{attempt}{safe(row.reason)} | {safe_line(row.line)}" if width > 100 else attempt + safe_line(row.line)
    else:
        rest = attempt + safe(row.reason)
    return clipped(f"{sign(row.state)} {state:<5} {name} {elapsed:>6}  {rest}".rstrip(), width - 1)


def _style(row: StepRow) -> str:
    return COLOURS.get(row.state) or {RUNNING: "blue", FETCHING: "blue", ELSEWHERE: "yellow"}.get(row.state, "dim")


def _totals(board: RunBoard, now: float) -> str:
    done = sum(board.counts.values())
    phrase = [f"{done:,} of {len(board.rows):,} steps"]
    phrase += outcome_counts(("reused", "executed", "failed", "skipped", "cancelled"), board.counts, board.saved)
    if board.run is not None:
        phrase.append(duration(now - board.run.started))
    return "  ".join(phrase)
