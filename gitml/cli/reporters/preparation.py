"""How far something is that is made before a step can start: which words of it are worth a line in a log."""

from __future__ import annotations

import re

from gitml.cli.text.format import duration

PERIOD = 10.0  # seconds from a line about something to the next about the same
_NUMBER = re.compile(r"[0-9][0-9.,]*")


class PreparationFilter:
    """Chooses from the words that are reported about once a second: a new stage at once, the same again after PERIOD.

    The stage is what stands before the first colon, whatever numbers are in it.
    """

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self._last: dict[str, tuple[str, float]] = {}

    def line(self, name: str, what: str, now: float) -> str | None:
        """What is to be printed of the step, or the environment, `name`, with the time since the first; None for nothing.

        `now` is in seconds.
        """
        stage = _NUMBER.sub("", what.partition(":")[0])
        before = self._last.get(name)
        if before is not None and before[0] == stage and now - before[1] < PERIOD:
            return None
        self._last[name] = stage, now
        since = now - self._begun.setdefault(name, now)
        return f"{what}, {duration(since)}" if since >= 1 and not what.startswith("built ") else what
