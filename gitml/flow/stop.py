"""StopSignal: how a user interface asks a run to end."""

from __future__ import annotations


class StopSignal:
    """`level` 0: go on; 1: end the running steps and record what was done; 2: kill them at once."""

    def __init__(self) -> None:
        self.level = 0

    def ask(self) -> None:
        """Once: stop; again: now. Safe to call from a signal handler."""
        self.level = min(2, self.level + 1)
