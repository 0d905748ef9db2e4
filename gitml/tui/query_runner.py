"""QueryRunner: threads that answer queries about a repository, each with a Workspace of its own, while the screen goes on.

A Workspace belongs to the thread that opened it (its index and its readers of Git do), so nothing of it leaves a query but
plain values. Of the queries of one key that have not started only the newest runs.

Queries of one lane run one after another, and a waiting query holds no thread: one that waits for a lock of another process
delays its own lane only.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from gitml.errors import GitmlError, IntegrityError
from gitml.workspace import Workspace, open_workspace

Query = Callable[[Workspace], Any]
Deliver = Callable[[Any, Exception | None], object]
"""Takes the result, or the error; called in a thread of the query runner."""

THREADS = 3
EXCLUSIVE = "exclusive"  # the lane of what moves refs or takes locks: a process holds kernel locks as one


class _Query(NamedTuple):
    query: Query
    deliver: Deliver
    lane: Hashable


class QueryRunner:
    """Answers queries about the repository that `start` lies in until it is closed."""

    def __init__(self, start: str, environ: Mapping[str, str]) -> None:
        self.start = start
        self.environ = dict(environ)  # as the user set it; see Workspace
        self.on_many_records: Callable[[int], None] = lambda count: None
        self._waiting: OrderedDict[Hashable, _Query] = OrderedDict()
        self._changed = threading.Condition()
        self._opening = threading.Lock()  # the first thread updates the index, the others find it updated
        self._busy: list[Hashable] = []  # the lanes of what is being answered
        self._closed = False
        self._threads: list[threading.Thread] = []

    def submit(self, key: Hashable, query: Query, deliver: Deliver, *, lane: Hashable = None) -> None:
        """Calls `query` in a thread and `deliver` with its result; without a `lane` the key is the lane."""
        with self._changed:
            if self._closed:
                return
            self._waiting.pop(key, None)
            self._waiting[key] = _Query(query, deliver, key if lane is None else lane)
            if len(self._waiting) + len(self._busy) > len(self._threads) and len(self._threads) < THREADS:
                thread = threading.Thread(target=self._work, name="gitml query", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify()

    def cancel(self, key: Hashable) -> None:
        """Drops a query that has not started."""
        with self._changed:
            self._waiting.pop(key, None)

    @property
    def idle(self) -> bool:
        """Whether every query was answered."""
        with self._changed:
            return not self._waiting and not self._busy

    def close(self, patience: float = 2.0) -> None:
        """Ends the threads as they finish what they are at; one that needs more than `patience` seconds ends with the process."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(patience)

    def _work(self) -> None:
        ws: Workspace | None = None
        while True:
            with self._changed:
                while (query := self._next()) is None and not self._closed:
                    self._changed.wait()
                if query is None or self._closed:
                    break
                self._busy.append(query.lane)
            try:
                ws = self._run(ws, query)
            finally:
                with self._changed:
                    self._busy.remove(query.lane)
                    self._changed.notify_all()
        if ws is not None:
            ws.close()

    def _next(self) -> _Query | None:
        """Takes the query that waits longest among those whose lane is free."""
        for key, query in self._waiting.items():
            if query.lane not in self._busy:
                return self._waiting.pop(key)
        return None

    def _run(self, ws: Workspace | None, query: _Query) -> Workspace | None:
        """Runs one query; returns the Workspace for the next, None when that one must be opened again."""
        try:
            with self._opening:
                if ws is None:
                    ws = open_workspace(self.start, self.environ, self.on_many_records, read_only=True)
                    # What is shown asks no place; what a person does may, see Page.run_online.
                    ws.consent.offline = True
                    with contextlib.suppress(GitmlError):  # the query that needs the index reports why
                        assert ws.index  # is updated once for all threads
                ws.catch_up()
            try:
                value = query.query(ws)
            finally:
                ws.leave()  # snapshots of the work tree that the query looked at
        except Exception as error:  # whatever it is, it is shown where the answer was to be
            if ws is not None and isinstance(error, IntegrityError):
                ws.close()  # a damaged index was set aside: the next opening begins anew
                ws = None
            query.deliver(None, error)
            return ws
        query.deliver(value, None)
        return ws
