"""Looks at the cluster beside the run, so that a head or a machine that is gone is noticed although Ray waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

PERIOD = 2.0  # seconds between looks
PATIENCE = 15.0  # seconds without an answer after which the head is asked once more
LAST = 5.0  # seconds for the answer to that, after which it counts as lost


class HealthCheck(Generic[Answer]):
    """A thread that calls `look` now and then and passes its answer to `report`. It ends with the process, or after `close`."""

    def __init__(self, look: Callable[[], Answer], report: Callable[[Answer], None]) -> None:
        self._ask = look
        self._report = report
        self._answered = time.monotonic()
        self._asked = 0.0  # when what was answered last was asked
        self._doubted: float | None = None  # when it was found silent for too long
        self._why = "it does not answer"
        self._closed = False
        self._wake = threading.Event()
        threading.Thread(target=self._look, name="gitml-watch", daemon=True).start()

    def lost(self) -> str | None:
        """Why the head counts as lost, None as long as it does not. To be asked from one thread.

        This process may itself have stood still, stopped from a terminal or with its machine, and asked nothing meanwhile: so
        silence alone proves nothing before the head was asked again.
        """
        now = time.monotonic()
        if now - self._answered <= PATIENCE:
            self._doubted = None
        elif self._doubted is None:
            self._doubted = now
            self.look_now()
        elif now - self._doubted > LAST:
            return self._why
        return None

    def answered_since(self, moment: float) -> bool:
        """Whether a question that was asked after `moment` was answered."""
        return self._asked > moment

    def look_now(self) -> None:
        """Does not wait until the next look is due."""
        self._wake.set()

    def close(self) -> None:
        """Looks no more; does not wait."""
        self._closed = True
        self._wake.set()

    def _look(self) -> None:
        while not self._closed:
            self._wake.wait(PERIOD)
            self._wake.clear()
            if self._closed:
                return
            asked = time.monotonic()
            try:
                seen = self._ask()
            except Exception as error:  # whatever it is, it is no answer
                self._why = " ".join(str(error).split())[:200] or type(error).__name__
                continue
            self._answered = time.monotonic()
            self._asked = asked
            if not self._closed:
                self._report(seen)
