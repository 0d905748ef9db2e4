"""A few threads that do what waits for networks and disks. They never hold up the end of the process."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

T = TypeVar("T")
S = TypeVar("S")


class ThreadPoolFuture(Generic[T]):
    """Something a thread does. `result` waits for it, and raises what it raised."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._value: list[T] = []

    def perform(self) -> None:
        """Does it; called in a thread."""
        try:
            self._value.append(self._work())
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()

    def drop(self, error: BaseException) -> None:
        """Ends it undone."""
        self._error = error
        self._ended.set()

    def result(self) -> T:
        """What came of it."""
        self._ended.wait()
        if self._error is not None:
            raise self._error
        return self._value[0]


class ThreadPool:
    """So many threads, each doing one Job after another in the order in which they were started."""

    def __init__(self, count: int) -> None:
        self._todo: queue.SimpleQueue[ThreadPoolFuture[Any] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(max(1, count))]
        for thread in self._threads:
            thread.start()

    def start(self, work: Callable[[], T]) -> ThreadPoolFuture[T]:
        """Has `work` done."""
        job = ThreadPoolFuture(work)
        self._todo.put(job)
        return job

    def dismiss(self, wait: float = 0.0) -> None:
        """Lets the threads go: what they are doing they end, what was not begun is dropped. Waits for them so many seconds."""
        while True:
            try:
                job = self._todo.get_nowait()
            except queue.Empty:
                break
            if job is not None:
                job.drop(InterruptedError("dismissed"))
        for _ in self._threads:
            self._todo.put(None)
        end = time.monotonic() + wait
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _work(self) -> None:
        while (job := self._todo.get()) is not None:
            job.perform()


class MemoryLimit:
    """So many bytes of memory for what several threads hold at once."""

    def __init__(self, size: int) -> None:
        self._size = self._left = size
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Waits until there is room; what is larger than all of it gets all of it."""
        share = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= share)
            self._left -= share
        try:
            yield
        finally:
            with self._changed:
                self._left += share
                self._changed.notify_all()


def in_parallel(ask: Callable[[S], T], items: Sequence[S], count: int) -> list[T]:
    """``ask(item)`` for every item, some at once; the answers in order, or the first failure."""
    if len(items) <= 1:
        return [ask(item) for item in items]
    crew = ThreadPool(min(count, len(items)))
    try:
        jobs = [crew.start(lambda item=item: ask(item)) for item in items]  # type: ignore[misc]
        return [job.result() for job in jobs]
    finally:
        crew.dismiss()
