"""Keeps the small contents that come with reports, in a thread: the disk takes many together in hardly longer than one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gitml.errors import GitmlError, MachineError
from gitml.execute.interfaces import WorkerServices

Keep = Callable[[WorkerServices, Mapping[str, bytes]], None]


class WriteRequest(NamedTuple):
    """Contents to keep, and what is called when they are: with the error, or None."""

    contents: Mapping[str, bytes]
    done: Callable[[GitmlError | None], None]


class ReportWriter:
    """The thread. It has services of its own, made when the first content comes."""

    def __init__(self, make_services: Callable[[], WorkerServices], keep: Keep) -> None:
        self._make = make_services
        self._keep = keep
        self._services: WorkerServices | None = None
        self._waiting: queue.SimpleQueue[WriteRequest | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="gitml-keep", daemon=True).start()

    def put(self, contents: Mapping[str, bytes], done: Callable[[GitmlError | None], None]) -> None:
        """Has contents kept; from any thread."""
        self._waiting.put(WriteRequest(contents, done))

    def close(self) -> None:
        """Ends the thread once it has kept what it was given."""
        self._waiting.put(None)

    def _work(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while not self._waiting.empty():
                batch.append(self._waiting.get())
            some = [item for item in batch if item is not None]
            if some:
                self._keep_all(some)
            if None in batch:
                return

    def _keep_all(self, batch: list[WriteRequest]) -> None:
        """All together, or each alone when one of them is wrong."""
        error = self._tried({name: content for item in batch for name, content in item.contents.items()})
        for item in batch:
            alone = error is not None and len(batch) > 1
            item.done(self._tried(item.contents) if alone else error)

    def _tried(self, contents: Mapping[str, bytes]) -> GitmlError | None:
        try:
            self._services = self._services or self._make()
            self._keep(self._services, contents)
        except GitmlError as error:
            return error
        except Exception as error:  # whatever it is: it must reach the attempt that waits for the contents
            return MachineError(f"it can't be kept: {' '.join(str(error).split())[:200] or type(error).__name__}")
        return None
