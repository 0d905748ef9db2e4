"""How an attempt speaks with its run: by a call to the Hub now and then, which is never waited for."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

CALL = 1.0  # seconds between calls to the hub when there is nothing to say
DEAF = 30.0  # seconds that a call to the hub is not answered after which nobody is there


class Line:
    """The attempt's line to the hub of that name: one call at a time, never waited for while the step goes on."""

    def __init__(self, hub: str, attempt: str) -> None:
        self.name = hub
        self.attempt = attempt
        self.to_say: list[Any] = []
        self._said: list[Any] = []  # by the call that is not answered yet
        self._hub: Any = None
        self._answer: Future[Any] | None = None
        self._called = time.monotonic()

    def exchange(self) -> list[Any]:
        """Says what there is to say if the last call was answered; gives what is told. ConnectionError when nobody is there."""
        now = time.monotonic()
        told: list[Any] = []
        if self._answer is not None:
            if self._answer.done():
                told = self._taken(self._answer)
                self._answer, self._said = None, []
            elif now - self._called > DEAF:
                raise ConnectionError("the run can't be reached")
        if self._answer is None and (self.to_say or now - self._called >= CALL):
            hub = self._found()
            self._said, self.to_say = self.to_say, []
            # a Future: in a task that was cancelled Ray's own ways to wait break off with KeyboardInterrupt
            self._answer = hub.say.remote(self.attempt, self._said).future()
            self._called = now
        return told

    def unheard(self) -> list[Any]:
        """What is still to be said, after what was said and may not have come through."""
        return [*self._said, *self.to_say]

    def _found(self) -> Any:
        import ray

        if self._hub is None:
            try:
                self._hub = ray.get_actor(self.name)
            except ValueError as error:
                raise ConnectionError("the run is gone") from error
        return self._hub

    def _taken(self, answer: Future[Any]) -> list[Any]:
        import ray

        try:
            return list(answer.result())
        except ray.exceptions.RayError as error:
            raise ConnectionError("the run is gone") from error
