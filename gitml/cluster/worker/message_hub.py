"""The mailbox between a run and its attempts. A short silent step never uses it: its result says all.

It is an actor of the driver's and ends with it. Attempts leave what they have to say and take away what they are told; the driver
waits for what they say. As long as an attempt calls, it lives; when its calls fail, there is no one to work for.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

MOST_WAITING = 64 * 2**20  # bytes said that the driver has not taken; beyond, who says more waits


class Hub:
    """An asynchronous actor: its methods run in one loop, side by side."""

    def __init__(self) -> None:
        self._said: list[tuple[str, Any]] = []
        self._size = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._told: dict[str, list[Any]] = {}
        self._heard: dict[str, float] = {}

    async def say(self, attempt: str, said: list[Any]) -> list[Any]:
        """From an attempt: what happened since. Gives what it is told since."""
        self._heard[attempt] = time.monotonic()
        if said:
            await self._room.wait()
            self._said += [(attempt, item) for item in said]
            self._size += sum(len(part) for item in said for part in item if isinstance(part, bytes))
            if self._size > MOST_WAITING:
                self._room.clear()
            self._news.set()
        return self._told.pop(attempt, [])

    async def hear(self, seconds: float) -> tuple[list[tuple[str, Any]], list[tuple[str, float]]]:
        """For the driver: what attempts said, waiting up to `seconds` for it; and for how long each has been silent."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)
        said, self._said, self._size = self._said, [], 0
        self._news.clear()
        self._room.set()
        now = time.monotonic()
        return said, [(attempt, now - heard) for attempt, heard in self._heard.items()]

    async def tell(self, attempt: str, told: Any) -> None:
        """From the driver to an attempt, for when it calls next."""
        self._told.setdefault(attempt, []).append(told)

    async def forget(self, attempt: str) -> None:
        """The attempt is over."""
        self._told.pop(attempt, None)
        self._heard.pop(attempt, None)
