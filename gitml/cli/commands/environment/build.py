"""`gitml env build`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from gitml.cli.commands.environment.show import environment_as_json
from gitml.cli.errors import DONE, FAILED
from gitml.cli.interrupts import InterruptHandler
from gitml.cli.pipeline_arguments import PipelineArguments, pipeline_arguments
from gitml.cli.reporters.preparation import PreparationFilter
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.format import cells, clipped, duration, size
from gitml.cli.text.terminal import is_terminal, paint, safe, width

if TYPE_CHECKING:
    from gitml.analysis.environment_build import BuildOutcome
    from gitml.analysis.environments import PipelineEnvironment
    from gitml.core.model.stop_signal import StopSignal
    from gitml.execute.process import StopRequests

_COLOURS = {"built": "green", "there": "cyan", "failed": "red", "elsewhere": "yellow"}


@verb("build", json=True, reaches=ALWAYS)
@pipeline_arguments
def build(session: Session, wanted: PipelineArguments) -> int:
    """Build the environments of a pipeline's steps on this machine, those that are not built yet.

    One that fails keeps no other from being built; then the exit code is 1. Steps of clusters have theirs built there.
    """
    from gitml.analysis.environment_build import build_environments
    from gitml.execute.process import StoppedError

    loaded, steps = wanted.load(session)
    done: list[BuildOutcome] = []
    progress = _Progress(session)
    with InterruptHandler(quiet=session.quiet, message="stopping") as handler, _stop_requests(handler.stop) as stop:
        try:
            for outcome in build_environments(session.ws, loaded, steps, stop, progress.report):
                done.append(outcome)
                progress.clear()
                session.show(_line(outcome))
        except StoppedError:
            return handler.exit_code
        finally:
            progress.clear()
    session.result([_as_json(outcome) for outcome in done])
    return FAILED if any(outcome.outcome == "failed" for outcome in done) else DONE


def _line(outcome: BuildOutcome) -> str:
    one = outcome.found
    if outcome.outcome == "failed":
        what = safe(outcome.error or "") + (f" ({safe(outcome.hint)})" if outcome.hint else "")
    elif outcome.outcome == "elsewhere":
        what = f"{safe(one.target)} builds it when a step needs it"
    elif one.place is None:
        what = "as it is installed"
    else:
        what = safe(one.place) + ("" if one.bytes is None else f", {size(one.bytes)}")
        what += f", in {duration(outcome.seconds)}" if outcome.outcome == "built" else ""
    return f"{paint(f'{outcome.outcome:<9}', _COLOURS[outcome.outcome])}  {safe(one.spec)}  {what}"


def _as_json(outcome: BuildOutcome) -> dict[str, Any]:
    fault = {"problem": outcome.error, "hint": outcome.hint} if outcome.error is not None else {}
    return {
        **environment_as_json(outcome.found),
        **fault,
        "outcome": outcome.outcome,
        "seconds": round(outcome.seconds, 3),
    }


class _Progress:
    """What goes on while environments build, on stderr: at a terminal a line that changes, else a line now and then."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._live = not session.quiet and not session.json and is_terminal(sys.stderr)
        self._filter = PreparationFilter()
        self._width = 0

    def report(self, one: PipelineEnvironment, words: str) -> None:
        line = f"{safe(one.spec)}: {safe(words)}"
        if not self._live:
            if self._filter.wants(one.spec, words, time.monotonic()):
                self._session.remark(line)
            return
        line = clipped(line, width() - 1)
        sys.stderr.write("\r" + line + " " * (self._width - cells(line)))
        sys.stderr.flush()
        self._width = max(self._width, cells(line))

    def clear(self) -> None:
        """Takes the line that changes away."""
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
            self._width = 0


@contextmanager
def _stop_requests(asked: StopSignal) -> Iterator[StopRequests]:
    """What stops a builder on Ctrl-C: its `fd` becomes readable with every signal that this process gets."""
    from gitml.execute.process import StopRequests

    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    class Interrupts(StopRequests):
        fd = reader

        def requested(self) -> int:
            with suppress(BlockingIOError):
                os.read(reader, 64)
            return asked.level  # NONE, SOFT and NOW are its levels

    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield Interrupts()
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
