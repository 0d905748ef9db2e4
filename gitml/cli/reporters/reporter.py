"""Chooses the reporter of a run: none, lines, or a live picture."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from gitml.cli.session import Session
from gitml.cli.text.terminal import is_terminal
from gitml.core.model.events import RunStarted, StepFinished

if TYPE_CHECKING:
    from gitml.core.model.events import Emit, Event
    from gitml.core.records.record import Run, StepRun

_LAST = 20  # lines of a failed step's log that are shown


@contextmanager
def reporter_for(session: Session) -> Iterator[Emit]:
    """Who takes the events of a run in this session, and leaves the terminal in order however the run ends."""

    def last(step: StepRun) -> list[str]:
        from gitml.errors import GitmlError
        from gitml.history.logs import lines_at_end

        try:
            return lines_at_end(session.ws, step, _LAST)
        except GitmlError:
            return []  # the failure itself is what counts

    if session.json:
        yield lambda event: None  # the result has everything, and stderr is for errors in JSON
    elif session.quiet:
        yield _failures_only(last)
    elif is_terminal(sys.stderr):
        from gitml.cli.reporters.live import LiveReporter

        with closing(LiveReporter(last)) as picture:
            yield picture
    else:
        from gitml.cli.reporters.plain import PlainReporter

        with closing(PlainReporter(last)) as lines:
            yield lines


def _failures_only(last_lines: Callable[[StepRun], list[str]]) -> Emit:
    """With ``-q``: prints the failed steps and nothing else."""
    run: Run | None = None

    def show(event: Event) -> None:
        nonlocal run
        if isinstance(event, RunStarted):
            run = event.run
        elif isinstance(event, StepFinished) and event.step.outcome == "failed":
            from gitml.cli.reporters.plain import failure_lines, partial_lines

            lines = failure_lines(None, event.step, last_lines(event.step)) + partial_lines(run, event.step)
            sys.stderr.write("".join([f"{line}\n" for line in lines]))

    return show
