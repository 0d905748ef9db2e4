"""How far uv is with an environment, from what it prints and how much it has written."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable

from gitml.core.text.format import count, size
from gitml.platform.current import platform

_WINDOW = 10.0  # seconds over which the rate is taken
_LONGEST = 4096  # bytes of a line that is looked at
_LINE = re.compile(
    r"(Resolved|Prepared|Installed) ([0-9]+) packages?\b|\s*(Downloading|Building|Downloaded|Built) (\S+)"
)


class UvProgress:
    """Reports what uv does, in words, when it begins something new and each time `tick` is called.

    uv names packages that it builds, and those above 1 MiB that it downloads; of the others only how many there are. Bytes are
    those that it wrote, which is what packages take unpacked, where the platform knows them.
    """

    def __init__(self, report: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._now = now
        self._line = b""
        self._doing = "resolving packages"
        self._packages = 0
        self._under_way: dict[str, None] = {}
        self._written: deque[tuple[float, int]] = deque()

    def heard(self, chunk: bytes) -> None:
        """What uv printed, in any pieces."""
        *lines, rest = (self._line + chunk).split(b"\n")
        self._line = rest[:_LONGEST]
        for line in lines:
            self._take(line[:_LONGEST].decode("utf-8", "replace"))

    def tick(self, pid: int) -> None:
        """To be called now and then while uv runs as `pid`."""
        written = platform.bytes_written(pid)
        if written is not None:
            self._written.append((self._now(), written))
            while len(self._written) > 2 and self._written[-1][0] - self._written[0][0] > _WINDOW:
                self._written.popleft()
        self._report(self.words())

    def words(self) -> str:
        """``downloading 57 packages: 340 MiB, 14 MiB/s, torch under way``."""
        details = []
        if self._doing == "downloading" and self._written:
            details.append(size(self._written[-1][1]))
            rate = self._rate()
            details += [f"{size(rate)}/s"] if rate else []
        names = list(self._under_way)
        if names:
            more = f" and {len(names) - 2} more" if len(names) > 2 else ""
            details.append(f"{', '.join(names[:2])}{more} under way")
        doing = f"{self._doing} {count(self._packages, 'package')}" if self._packages else self._doing
        return f"{doing}: {', '.join(details)}" if details else doing

    def _rate(self) -> int:
        (first, before), (last, after) = self._written[0], self._written[-1]
        return int((after - before) / (last - first)) if last > first else 0

    def _take(self, line: str) -> None:
        found = _LINE.match(line)
        if found is None:
            return
        if found[1]:
            self._packages = int(found[2])
            self._doing = {"Resolved": "downloading", "Prepared": "installing", "Installed": "compiling"}[found[1]]
            self._under_way.clear()
        elif found[3] in ("Downloading", "Building"):
            self._under_way[found[4][:60]] = None
        else:
            self._under_way.pop(found[4][:60], None)
