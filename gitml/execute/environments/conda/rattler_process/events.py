"""What the process prints, and what it refuses."""

from __future__ import annotations

import json
import time
from typing import Any

from rattler import InstallerReporter

_INTERVAL = 0.5  # seconds between two lines


class RefusedError(Exception):
    """A package that is not what the lock has, or that reaches beyond its prefix."""


def say(**event: Any) -> None:
    """Prints one event."""
    print(json.dumps(event), flush=True)


class InstallProgress(InstallerReporter):  # type: ignore[misc]
    """Counts packages and bytes, and prints them now and then. Threads of rattler call it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.linked = 0
        self.bytes = 0
        self._printed = 0.0

    def on_link_complete(self, index: int) -> None:
        """One package is installed."""
        self.linked += 1
        self.print_now_and_then()

    def received(self, count: int) -> None:
        """So many bytes of an archive have come."""
        self.bytes += count
        self.print_now_and_then()

    def print_now_and_then(self) -> None:
        """Prints how far it is unless that was printed just now."""
        now = time.monotonic()
        if now - self._printed >= _INTERVAL:
            self._printed = now
            say(doing={"linked": self.linked, "total": self.total, "bytes": self.bytes})
