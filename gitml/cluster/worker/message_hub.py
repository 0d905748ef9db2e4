"""The mailbox between a run and its attempts. A short silent step never uses it: its result says all.

It is an actor of the driver's and ends with it. Attempts leave what they have to say and take away what they are told; the driver
waits for what they say. As long as an attempt calls, it lives; when its calls fail, there is no one to work for.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

QUEUE_LIMIT = 64 * 2**20  # bytes reports that the driver has not taken; beyond, who says more waits


class MessageHub:
    """An asynchronous actor: its methods run in one loop, side by side."""

    def __init__(self) -> None:
        self._reported: list[tuple[str, Any]] = []
        self._size = 0
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._outbox: dict[str, list[Any]] = {}
        self._last_call: dict[str, float] = {}

    async def exchange(self, attempt: str, reports: list[Any]) -> list[Any]:
        """From an attempt: what happened since. Gives what it is told since."""
        self._last_call[attempt] = time.monotonic()
        if reports:
            await self._room.wait()
            self._reported += [(attempt, item) for item in reports]
            self._size += sum(len(part) for item in reports for part in item if isinstance(part, bytes))
            if self._size > QUEUE_LIMIT:
                self._room.clear()
            self._arrived.set()
        return self._outbox.pop(attempt, [])

    async def receive(self, seconds: float) -> tuple[list[tuple[str, Any]], list[tuple[str, float]]]:
        """For the driver: what attempts reports, waiting up to `seconds` for it; and for how long each has been silent."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), seconds)
        reports, self._reported, self._size = self._reported, [], 0
        self._arrived.clear()
        self._room.set()
        now = time.monotonic()
        return reports, [(attempt, now - called) for attempt, called in self._last_call.items()]

    async def send(self, attempt: str, message: Any) -> None:
        """From the driver to an attempt, for when it calls next."""
        self._outbox.setdefault(attempt, []).append(message)

    async def forget(self, attempt: str) -> None:
        """The attempt is over."""
        self._outbox.pop(attempt, None)
        self._last_call.pop(attempt, None)
