"""A run as lines: one an event, for logs and files; and the lines that every reporter ends a run with."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from gitml.cli.reporters.board import RunBoard, waiting_for
from gitml.cli.reporters.preparation import PreparationFilter
from gitml.cli.text.format import count, duration, number, size
from gitml.cli.text.terminal import paint, safe, safe_line, speaks_unicode
from gitml.core.model.events import (
    Event,
    Note,
    RunFinished,
    StepFetches,
    StepFinished,
    StepPrepares,
    StepRetried,
    StepStarted,
    StepWaits,
)
from gitml.core.records.record import DAYS_PARTIAL_STAYS, Run, StepRun

WORDS = {"executed": "done", "reused": "reuse", "failed": "failed", "skipped": "skip", "cancelled": "cancel"}
COLOURS = {"executed": "green", "reused": "cyan", "failed": "red", "skipped": "yellow", "cancelled": "yellow"}
_SIGNS = {
    "executed": "✓", "reused": "=", "failed": "✗", "skipped": "-", "cancelled": "-", "running": "▶", "waiting": "·",
    "elsewhere": "…", "fetching": "↓",
}  # fmt: skip
_ASCII = str.maketrans("✓✗▶·…↓", "+x>.~v")
_HELD = 64  # lines held back at most, so that a thousand reused steps are not a thousand writes

LastLines = Callable[[StepRun], list[str]]


def sign(state: str) -> str:
    """The sign of a state, which differs by shape as well as by colour."""
    return _SIGNS[state] if speaks_unicode(sys.stderr) else _SIGNS[state].translate(_ASCII)


class PlainReporter:
    """Prints events as lines on stderr. `last_lines` gives the end of a failed step's log."""

    def __init__(self, last_lines: LastLines) -> None:
        self.board = RunBoard()
        self.last_lines = last_lines
        self.held: list[str] = []
        self.preparations = PreparationFilter()

    def __call__(self, event: Event) -> None:
        """Prints one event."""
        self.board.take(event, time.time())
        lines = self._lines(event)
        self.held += lines
        urgent = (
            isinstance(event, (StepStarted, StepPrepares, StepWaits, StepFetches, RunFinished))
            or len(self.held) >= _HELD
        )
        if lines and (urgent or self.board.active):
            self.close()

    def close(self) -> None:
        """Writes what is held back."""
        if self.held:
            sys.stderr.write("\n".join(self.held) + "\n")
            sys.stderr.flush()
            self.held = []

    def _lines(self, event: Event) -> list[str]:
        if isinstance(event, StepStarted):
            again = f" (attempt {event.number})" if event.number > 1 else ""
            return [_line("run", "blue", event.name, safe(event.reason) + again)]
        if isinstance(event, StepWaits):
            return [_line("wait", "yellow", event.name, waiting_for(event.twin))]
        if isinstance(event, StepFetches):
            return [_line("fetch", "blue", event.name, f"its inputs, {size(event.size)}")]
        if isinstance(event, StepPrepares):
            line = self.preparations.line(event.name, event.what, time.monotonic())
            return [] if line is None else [_line("wait", "yellow", event.name, safe(line))]
        if isinstance(event, StepRetried):
            return [_line("retry", "yellow", event.name, safe(event.error))]
        if isinstance(event, Note):
            return note_lines(event)
        if isinstance(event, StepFinished):
            return self._outcome(event.step)
        if isinstance(event, RunFinished):
            return closing_lines(event.run)
        return []

    def _outcome(self, step: StepRun) -> list[str]:
        if step.outcome == "failed":
            return failure_lines(self.board.run, step, self.last_lines(step))
        phrase = [_line(WORDS[step.outcome], COLOURS[step.outcome], step.name, outcome_text(step))]
        return [*phrase, *partial_lines(self.board.run, step)]


def outcome_counts(order: Iterable[str], counts: Mapping[str, int], saved: float) -> list[str]:
    """How many steps have each outcome that any has, in this order; `saved` are the seconds that reused ones took before."""
    phrase = []
    for outcome in order:
        if counts.get(outcome):
            extra = f" (saved {duration(saved)})" if outcome == "reused" and saved >= 0.05 else ""
            phrase.append(f"{counts[outcome]:,} {outcome}{extra}")
    return phrase


def outcome_text(step: StepRun) -> str:
    """How long a step took, or why it has its outcome."""
    if step.outcome == "executed":
        return duration(step.seconds)
    if step.outcome == "cancelled" and step.attempts:
        return f"ended after {duration(step.seconds)}"
    return safe(step.reason)


def _line(word: str, colour: str, name: str, what: str) -> str:
    return f"{paint(f'{word:<6}', colour, sys.stderr)} {safe(name)}  {what}".rstrip()


def note_lines(event: Note) -> list[str]:
    """A note or warning."""
    colour = "yellow" if event.level == "warning" else "dim"
    return [f"{paint(event.level, colour, sys.stderr)}: {safe(event.text)}"]


def failure_lines(run: Run | None, step: StepRun, last: list[str]) -> list[str]:
    """Why a step failed, the end of its log, and how to see all of it."""
    lines = [_line("failed", "red", step.name, safe(step.error or step.reason))]
    if last:
        lines += [f"  {paint('|', 'red', sys.stderr)} {safe_line(line)}" for line in last]
    if run is not None and any(attempt.log is not None and attempt.log.written for attempt in step.attempts):
        lines.append(f"  all it wrote: gitml logs {run.id[:8]} {safe(shlex.quote(step.name))}")
    return lines + partial_lines(run, step)


def partial_lines(run: Run | None, step: StepRun) -> list[str]:
    """How to have what a step left that did not succeed."""
    if run is None or step.outcome not in ("failed", "cancelled") or not step.partial():
        return []
    return [f"  {checkout_hint(run, step)}"]


def checkout_hint(run: Run, step: StepRun) -> str:
    """``what it made stays 14 days: gitml checkout 1a2b3c4d:train.model --failed``, for one port or for all of them."""
    ports = list(step.partial())
    what = f"{run.id[:8]}:{step.name}" + (f".{ports[0]}" if len(ports) == 1 else "")
    return f"what it made stays {DAYS_PARTIAL_STAYS} days: gitml checkout {safe(shlex.quote(what))} --failed"


def closing_lines(run: Run) -> list[str]:
    """The metrics of a run, the members that did not succeed where a step bears some of that, and its summary."""
    lines = []
    metrics = run.metrics()
    if metrics and run.status == "succeeded":
        shown = [f"{safe(name)} {number(value)}" for name, value in list(metrics.items())[:6]]
        more = f" and {len(metrics) - 6} more" if len(metrics) > 6 else ""
        lines.append(f"{paint('result', 'bold', sys.stderr)} {', '.join(shown)}{more}")
    lines += [f"{safe(name)}: {safe(one.words())}" for name, one in run.errors.items()]
    lines.append(summary(run))
    return lines


def summary(run: Run) -> str:
    """``run 1a2b3c4d succeeded: 2 executed, 3 reused (saved 12.1s) in 1.4s``."""
    counts = Counter(step.outcome for step in run.steps)
    saved = sum(step.saved.wall for step in run.steps if step.outcome == "reused" and step.saved is not None)
    phrase = outcome_counts(("executed", "reused", "failed", "skipped", "cancelled"), counts, saved)
    colour = {"succeeded": "green", "failed": "red"}.get(run.status, "yellow")
    status = paint(run.status, colour, sys.stderr)
    return f"run {run.id[:8]} {status}: {', '.join(phrase) or count(0, 'step')} in {duration(run.seconds)}"
