"""The executors of one run, by target, used as one: each is started when its first step is to begin."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence

from gitml.core.model.digest import Digest
from gitml.core.model.protocols import Capabilities, Executor, Task, TaskEvent, TaskFinished
from gitml.core.model.resources import Resources


class Executors:
    """`make` starts the executor of a target. Attempts have names of their own in all of them."""

    def __init__(self, make: Callable[[str], Executor]) -> None:
        self._make = make
        self._made: dict[str, Executor] = {}
        self._of: dict[str, Executor] = {}  # by attempt

    def takes(self, target: str, resources: Resources, nodes: int = 1, environment: Digest | None = None) -> bool:
        """Whether the target has room for a step that asks for this, on each of so many machines."""
        return self._on(target).takes(resources, nodes, environment)

    def capabilities(self, target: str) -> Capabilities:
        """What the executor of the target can do."""
        return self._on(target).capabilities

    def submit(self, target: str, task: Task) -> None:
        """Starts a Task there."""
        executor = self._on(target)
        self._of[task.attempt] = executor
        executor.submit(task)

    def wait(self, timeout: float) -> Sequence[TaskEvent]:
        """What happened, waiting up to `timeout` seconds for the first of it."""
        used = list(self._made.values())  # also one without attempts: it hears of machines that come
        if len(used) == 1:
            return self._noted(used[0].wait(timeout))
        deadline = time.monotonic() + timeout
        while True:
            events = [event for executor in used for event in executor.wait(0.0)]
            left = deadline - time.monotonic()
            if events or left <= 0:
                return self._noted(events)
            poll = select.poll()
            for executor in used:
                for fd in executor.descriptors():
                    poll.register(fd, select.POLLIN)
            poll.poll(left * 1000)

    def cancel(self, attempt: str, *, now: bool) -> None:
        """Asks a Task to end."""
        self._of[attempt].cancel(attempt, now=now)

    def dismiss(self) -> None:
        """Says that nothing more will be asked."""
        for executor in self._made.values():
            executor.dismiss()

    def close(self) -> None:
        """Ends everything that still runs, everywhere."""
        try:
            while self._made:
                self._made.popitem()[1].close()
        except BaseException:
            self.close()
            raise

    def _on(self, target: str) -> Executor:
        if target not in self._made:
            self._made[target] = self._make(target)
        return self._made[target]

    def _noted(self, events: Sequence[TaskEvent]) -> Sequence[TaskEvent]:
        for event in events:
            if isinstance(event, TaskFinished):
                self._of.pop(event.attempt, None)
        return events
