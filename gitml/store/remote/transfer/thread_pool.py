"""A few threads for what waits for networks and disks. Unlike a ThreadPoolExecutor they never delay the end of the process."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
S = TypeVar("S")
_POLL = 0.1  # seconds between two calls of `poll` while no work ends


class ThreadPool:
    """So many threads, each performing one piece of work after another in the order in which they were submitted."""

    def __init__(self, count: int) -> None:
        self._todo: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._perform, daemon=True) for _ in range(max(1, count))]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Has `work` performed by a thread."""
        from concurrent.futures import Future  # which loads logging

        future: Future[T] = Future()
        self._todo.put((future, work))
        return future

    def completed(
        self, work: Sequence[tuple[S, Callable[[], Any]]], poll: Callable[[], None]
    ) -> Iterator[tuple[S, Any, BaseException | None]]:
        """Submits all of `work`; gives (what, its value, or its error) as each ends. `poll` is called now and then meanwhile."""
        done: queue.SimpleQueue[tuple[S, Future[Any]]] = queue.SimpleQueue()

        def ended(what: S, future: Future[Any]) -> None:
            done.put((what, future))

        for what, one in work:
            self.submit(one).add_done_callback(partial(ended, what))
        for _ in work:
            while True:
                try:
                    what, future = done.get(timeout=_POLL)
                    break
                except queue.Empty:
                    poll()
            error = future.exception()
            yield what, None if error else future.result(), error

    def shut_down(self, wait: float = 0.0) -> None:
        """Ends the threads after what they perform now; what was not begun is dropped. Waits for them at most `wait` seconds."""
        while True:
            try:
                item = self._todo.get_nowait()
            except queue.Empty:
                break
            if item is not None:
                item[0].set_exception(InterruptedError("dropped"))
        for _ in self._threads:
            self._todo.put(None)
        end = time.monotonic() + wait
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _perform(self) -> None:
        while (item := self._todo.get()) is not None:
            future, work = item
            try:
                value = work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(value)


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
    pool = ThreadPool(min(count, len(items)))
    try:
        return [future.result() for future in [pool.submit(partial(ask, item)) for item in items]]
    finally:
        pool.shut_down()
