"""How an attempt speaks with its run: by a call to the Hub now and then, which is never waited for."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

CALL_PERIOD = 1.0  # seconds between calls to the hub when there is nothing to say
ANSWER_TIMEOUT = 30.0  # seconds that a call to the hub is not answered after which nobody is there


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
