"""How far something is that is made before a step can start: which words of it are worth a line in a log."""

from __future__ import annotations

PERIOD = 10.0  # seconds from a line about something to the next about the same


class PreparationFilter:
    """Chooses from the words that are reported several times a second: a new stage at once, the same again after PERIOD.

    The stage is what stands before the first colon.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, float]] = {}

    def wants(self, name: str, what: str, now: float) -> bool:
        """Whether `what` is to be printed of the step, or the environment, `name`; `now` in seconds."""
        stage = what.partition(":")[0]
        before = self._last.get(name)
        if before is not None and before[0] == stage and now - before[1] < PERIOD:
            return False
        self._last[name] = stage, now
        return True
