"""What threads have to tell the one that runs a session: a queue, and a descriptor that wakes who waits for it."""

from __future__ import annotations

import os
import queue
import select
from collections.abc import Callable, Iterator
from contextlib import suppress

Item = Callable[[], None]


class EventQueue:
    """Things to be done in the session's own thread, told by any."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)

    def tell(self, item: Item) -> None:
        """Has something done by who waits; from any thread."""
        self._items.put(item)
        with suppress(OSError):  # the pipe is full, which wakes as well, or closed
            os.write(self._writer, b"x")

    def take(self) -> Iterator[Item]:
        """What was told since."""
        with suppress(BlockingIOError):
            while os.read(self.reader, 4096):
                pass
        while not self._items.empty():
            yield self._items.get()

    def wait(self, seconds: float) -> None:
        """Waits until something is told, or so long."""
        poll = select.poll()
        poll.register(self.reader, select.POLLIN)
        poll.poll(seconds * 1000 + 1)

    def close(self) -> None:
        """What is told from now on goes nowhere."""
        for fd in (self.reader, self._writer):
            os.close(fd)
        self.reader = self._writer = -1
