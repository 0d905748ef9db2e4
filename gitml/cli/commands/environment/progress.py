"""What goes on while environments are built and locked, as a person sees it, and how Ctrl-C stops it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gitml.cli.reporters.preparation import PreparationFilter
from gitml.cli.session import Session
from gitml.cli.text.format import cells, clipped, duration
from gitml.cli.text.terminal import is_terminal, safe, width

if TYPE_CHECKING:
    from gitml.core.model.stop_signal import StopSignal
    from gitml.execute.process import StopRequests


class BuildLine:
    """What goes on while environments build, on stderr: at a terminal a line that changes, else a line now and then."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._live = not session.quiet and not session.json and is_terminal(sys.stderr)
        self._filter = PreparationFilter()
        self._begun: dict[str, float] = {}
        self._width = 0

    def report(self, name: str, words: str) -> None:
        """Shows what goes on for the environment `name`."""
        if not self._live:
            line = self._filter.line(name, words, time.monotonic())
            if line is not None:
                self._session.remark(f"{safe(name)}: {safe(line)}")
            return
        begun = self._begun.setdefault(name, time.monotonic())
        line = f"{safe(name)}: {safe(words)}, {duration(time.monotonic() - begun)}"
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
def stop_requests(asked: StopSignal) -> Iterator[StopRequests]:
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
