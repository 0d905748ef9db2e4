"""Chooses the reporter of a run: none, lines, or a live picture."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from gitml.cli.session import Session
from gitml.cli.text.terminal import is_terminal

if TYPE_CHECKING:
    from gitml.core.model.events import Event
    from gitml.core.records.record import Run, StepRun

_LAST = 20  # lines of a failed step's log that are shown


class Reporter(Protocol):
    """Takes the events of a run."""

    def __call__(self, event: Event) -> None:
        """Takes one event."""

    def close(self) -> None:
        """Leaves the terminal in order, however the run ended."""


class SilentReporter:
    """With ``--json``: the result has everything, and stderr is for errors in JSON."""

    def __call__(self, event: Event) -> None:
        """Takes one event."""

    def close(self) -> None:
        """Nothing is open."""


class ErrorReporter:
    """With ``-q``: prints the failed steps and nothing else."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.run: Run | None = None

    def __call__(self, event: Event) -> None:
        """Takes one event."""
        if type(event).__name__ == "RunStarted":
            self.run = event.run  # type: ignore[union-attr]
        if type(event).__name__ == "StepFinished" and event.step.outcome == "failed":  # type: ignore[union-attr]
            from gitml.cli.reporters.plain import failure_lines, partial_lines

            step = event.step  # type: ignore[union-attr]
            lines = failure_lines(None, step, _last_lines(self.session, step)) + partial_lines(self.run, step)
            sys.stderr.write("".join([f"{line}\n" for line in lines]))

    def close(self) -> None:
        """Nothing is open."""


def reporter_for(session: Session) -> Reporter:
    """The Narrator for this session."""
    if session.json:
        return SilentReporter()
    if session.quiet:
        return ErrorReporter(session)

    def last(step: StepRun) -> list[str]:
        return _last_lines(session, step)

    if is_terminal(sys.stderr):
        from gitml.cli.reporters.live import LiveReporter

        return LiveReporter(last)
    from gitml.cli.reporters.plain import PlainReporter

    return PlainReporter(last)


def _last_lines(session: Session, step: StepRun) -> list[str]:
    from gitml.errors import GitmlError
    from gitml.history.logs import lines_at_end

    try:
        return lines_at_end(session.ws, step, _LAST)
    except GitmlError:
        return []  # the failure itself is what counts
