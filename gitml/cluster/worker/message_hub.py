"""The mailbox between a run and its attempts. A short silent step never uses it: its result says all.

It is an actor of the driver's and ends with it. Attempts leave what they have to say and take away what they are told; the driver
waits for what they say. As long as an attempt calls, it lives; when its calls fail, there is no one to work for.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

QUEUE_LIMIT = 64 * 2**20  # bytes reports that the driver has not taken; beyond, who says more waits

CALL_PERIOD = 1.0  # seconds between calls to the hub when there is nothing to say
ANSWER_TIMEOUT = 30.0  # seconds that a call to the hub is not answered after which nobody is there


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


class HubClient:
    """The attempt's line to the hub of that name: one call at a time, never waited for while the step goes on."""

    def __init__(self, hub: str, attempt: str) -> None:
        self.name = hub
        self.attempt = attempt
        self.outbox: list[Any] = []
        self._in_flight: list[Any] = []  # by the call that is not answered yet
        self._hub: Any = None
        self._answer: Future[Any] | None = None
        self._called = time.monotonic()

    def exchange(self) -> list[Any]:
        """Sends `outbox` if the last call was answered; returns the messages of the run. ConnectionError if it is gone."""
        now = time.monotonic()
        messages: list[Any] = []
        if self._answer is not None:
            if self._answer.done():
                messages = self._messages_of(self._answer)
                self._answer, self._in_flight = None, []
            elif now - self._called > ANSWER_TIMEOUT:
                raise ConnectionError("the run can't be reached")
        if self._answer is None and (self.outbox or now - self._called >= CALL_PERIOD):
            hub = self._connected()
            self._in_flight, self.outbox = self.outbox, []
            # a Future: in a task that was cancelled Ray's own ways to wait break off with KeyboardInterrupt
            self._answer = hub.exchange.remote(self.attempt, self._in_flight).future()
            self._called = now
        return messages

    def undelivered(self) -> list[Any]:
        """What is still to be said, after what was said and may not have come through."""
        return [*self._in_flight, *self.outbox]

    def _connected(self) -> Any:
        import ray

        if self._hub is None:
            try:
                self._hub = ray.get_actor(self.name)
            except ValueError as error:
                raise ConnectionError("the run is gone") from error
        return self._hub

    def _messages_of(self, answer: Future[Any]) -> list[Any]:
        import ray

        try:
            return list(answer.result())
        except ray.exceptions.RayError as error:
            raise ConnectionError("the run is gone") from error
