"""Ctrl-C once: stop; twice: now. SIGTERM as once."""

from __future__ import annotations

import signal
import sys
from types import FrameType, TracebackType

from gitml.cli.errors import INTERRUPTED, TERMINATED
from gitml.core.model.stop_signal import StopSignal


class InterruptHandler:
    """Within a ``with``, SIGINT and SIGTERM ask `stop`; afterwards `exit_code` says how a cancelled run ends.

    With `patience`, code that has not stopped after so many seconds gets a KeyboardInterrupt, and by a second Ctrl-C at once:
    for code that may wait for a remote answer, and where an end at any moment does no harm.
    """

    def __init__(
        self,
        *,
        quiet: bool,
        message: str = "stopping; Ctrl-C again ends the steps at once",
        patience: float | None = None,
    ) -> None:
        self.stop = StopSignal()
        self.quiet = quiet
        self.message = message
        self.patience = patience
        self.exit_code = INTERRUPTED

    def __enter__(self) -> InterruptHandler:
        self._before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
        signal.signal(signal.SIGINT, self._asked)
        signal.signal(signal.SIGTERM, self._asked)
        if self.patience is not None:
            self._before.append((signal.SIGALRM, signal.signal(signal.SIGALRM, signal.default_int_handler)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.patience is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before:
            signal.signal(number, handler)

    def _asked(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and self.stop.nothing_runs:
            raise KeyboardInterrupt
        if self.stop.level == 0:
            self.exit_code = TERMINATED if number == signal.SIGTERM else INTERRUPTED
        elif number == signal.SIGTERM:
            return  # again the same: Ctrl-C is what hurries
        self.stop.ask()
        if self.patience is not None:
            if self.stop.level > 1:
                raise KeyboardInterrupt
            signal.setitimer(signal.ITIMER_REAL, self.patience)
        if not self.quiet and self.stop.level == 1:
            try:
                sys.stderr.write(f"{self.message}\n")
            except (OSError, RuntimeError):
                return  # the signal came while stderr was being written to; nothing is lost but the line
