"""StopSignal: how a user interface asks a run to end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class StopSignal:
    """`level` 0: go on; 1: end the running steps and record what was done; 2: kill them at once."""

    def __init__(self) -> None:
        self.level = 0
        self.nothing_runs = False

    @contextmanager
    def before_anything_runs(self) -> Iterator[None]:
        """Within it nothing has to be ended or recorded: Ctrl-C may interrupt it at any moment."""
        self.nothing_runs = True
        try:
            yield
        finally:
            self.nothing_runs = False

    def ask(self) -> None:
        """Once: stop; again: now. Safe to call from a signal handler."""
        self.level = min(2, self.level + 1)
