"""Repairs that are made on the way are reported to a listener; and when this machine started: what is older survived no crash."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

_BOOT: list[float] = []
_listeners: list[Callable[[str], None]] = []


def listen(hear: Callable[[str], None]) -> None:
    """Has `hear` called with each repair that is made on the way, in words."""
    _listeners[:] = [hear]


def announce(text: str) -> None:
    """Reports a repair to who listens."""
    for hear in _listeners:
        hear(text)


def boot_time() -> float:
    """When this machine started, in seconds since 1970; 0 where that can't be known. What is older is on the disk or lost."""
    if not _BOOT:
        clock = getattr(time, "CLOCK_BOOTTIME", None) if sys.platform == "linux" else None
        _BOOT.append(0.0 if clock is None else time.time() - time.clock_gettime(clock))
    return _BOOT[0]
