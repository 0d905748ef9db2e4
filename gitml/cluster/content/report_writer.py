"""Keeps the small contents that come with reports, in a thread: the disk takes many together in hardly longer than one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gitml.cluster.content.content_ids import digest_in
from gitml.core.model.digest import digest_of
from gitml.errors import GitmlError, IntegrityError, MachineError
from gitml.execute.interfaces import WorkerServices
from gitml.store.local.store import LocalStore

_BATCH = 4096


class WriteRequest(NamedTuple):
    """Contents to keep, and what is called when they are: with the error, or None."""

    contents: Mapping[str, bytes]
    done: Callable[[GitmlError | None], None]


class ReportWriter:
    """The thread. It has services of its own, made when the first content comes."""

    def __init__(self, make_services: Callable[[], WorkerServices]) -> None:
        self._make = make_services
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
            keep_contents(self._services, contents)
        except GitmlError as error:
            return error
        except Exception as error:  # whatever it is: it must reach the attempt that waits for the contents
            return MachineError(f"it can't be kept: {' '.join(str(error).split())[:200] or type(error).__name__}")
        return None


def keep_contents(services: WorkerServices, contents: Mapping[str, bytes]) -> None:
    """Puts small contents into the driver's Store, in the order given; IntegrityError for one that is not what its name says."""
    store = services.store
    assert isinstance(store, LocalStore)
    new = []
    for name, content in contents.items():
        digest = digest_in(name)
        if digest_of(content) != digest:
            raise IntegrityError(f"other bytes arrived than a machine said, for {digest[:19]}…", hint="run again")
        if not store.holds(digest, len(content)):
            new.append((digest, content))
    for start in range(0, len(new), _BATCH):
        store.publish_contents(new[start : start + _BATCH])
