"""The mailbox between the driver of a run and its attempts. A short silent step never uses it: its report holds all.

The hub is an actor of the driver and ends with it. Attempts leave reports and take messages in one call; the driver waits for
reports. As long as an attempt calls, it lives; when its calls fail, the run is gone.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

QUEUE_LIMIT = 64 * 2**20  # bytes of reports that the driver has not taken; an attempt that has more waits

CALL_PERIOD = 1.0  # seconds between calls to the hub when there is nothing to report
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
        """From an attempt: its reports since the last call. Returns the messages for it."""
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
        """For the driver: reports, waiting up to `seconds` for the first; and for how long each attempt has been silent."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), seconds)
        reports, self._reported, self._size = self._reported, [], 0
        self._arrived.clear()
        self._room.set()
        now = time.monotonic()
        return reports, [(attempt, now - called) for attempt, called in self._last_call.items()]

    async def send(self, attempt: str, message: Any) -> None:
        """From the driver: a message for an attempt, delivered with its next call."""
        self._outbox.setdefault(attempt, []).append(message)

    async def forget(self, attempt: str) -> None:
        """The attempt has ended."""
        self._outbox.pop(attempt, None)
        self._last_call.pop(attempt, None)


class HubClient:
    """An attempt's connection to the hub of that name: one call at a time, never waited for while the step runs."""

    def __init__(self, hub: str, attempt: str) -> None:
        self.name = hub
        self.attempt = attempt
        self.outbox: list[Any] = []
        self._in_flight: list[Any] = []  # with the call that is not answered yet
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
        """Reports that are not sent, after those that were sent and may not have arrived."""
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
