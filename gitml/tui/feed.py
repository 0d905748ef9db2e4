"""Feed: threads that answer questions about a repository, each with a Workspace of its own, while the screen goes on.

A Workspace belongs to the thread that opened it (its index and its readers of Git do), so nothing of it leaves a question but
plain values. Of several questions under one key only the newest that has not begun is answered.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from gitml.errors import GitmlError, IntegrityError
from gitml.workspace import Workspace, open_workspace

Ask = Callable[[Workspace], Any]
Deliver = Callable[[Any, Exception | None], None]
"""Takes the answer, or what went wrong instead; called in a thread of the feed."""

THREADS = 3


class _Question(NamedTuple):
    ask: Ask
    deliver: Deliver
    alone: bool


class Feed:
    """Answers questions about the repository that `start` lies in until it is closed."""

    def __init__(
        self, start: str, environ: Mapping[str, str], tell_of_many: Callable[[int], None] | None = None
    ) -> None:
        self.start = start
        self.environ = environ
        self.tell_of_many = tell_of_many or (lambda count: None)
        self._waiting: OrderedDict[Hashable, _Question] = OrderedDict()
        self._changed = threading.Condition()
        self._alone = threading.Lock()  # what moves refs or takes locks: a process holds kernel locks as one
        self._opening = threading.Lock()  # the first brings the index level, the others find it so
        self._busy = 0
        self._closed = False
        self._threads: list[threading.Thread] = []

    def ask(self, key: Hashable, ask: Ask, deliver: Deliver, *, alone: bool = False) -> None:
        """Has `ask` called in a thread, and `deliver` with what it gives; `alone` keeps two such from going on at once."""
        with self._changed:
            if self._closed:
                return
            self._waiting.pop(key, None)
            self._waiting[key] = _Question(ask, deliver, alone)
            if len(self._waiting) + self._busy > len(self._threads) and len(self._threads) < THREADS:
                thread = threading.Thread(target=self._work, name="gitml feed", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify()

    def forget(self, key: Hashable) -> None:
        """Drops a question that was not begun."""
        with self._changed:
            self._waiting.pop(key, None)

    @property
    def idle(self) -> bool:
        """Whether every question was answered."""
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
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if self._closed:
                    break
                _, question = self._waiting.popitem(last=False)
                self._busy += 1
            try:
                ws = self._answer(ws, question)
            finally:
                with self._changed:
                    self._busy -= 1
        if ws is not None:
            ws.close()

    def _answer(self, ws: Workspace | None, question: _Question) -> Workspace | None:
        """Answers one question; gives the Workspace for the next, None when that one has to be opened anew."""
        try:
            with self._opening:
                if ws is None:
                    ws = open_workspace(self.start, self.environ, self.tell_of_many)
                    _open_index(ws)
                ws.catch_up()
            try:
                with self._alone if question.alone else contextlib.nullcontext():
                    value = question.ask(ws)
            finally:
                ws.leave()  # snapshots of the work tree that the question looked at
        except Exception as error:  # whatever it is, it is shown where the answer was to be
            if ws is not None and isinstance(error, IntegrityError):
                ws.close()  # a damaged index was set aside: the next opening begins anew
                ws = None
            question.deliver(None, error)
            return ws
        question.deliver(value, None)
        return ws


def _open_index(ws: Workspace) -> None:
    """Has the index read what is new, once for all threads; a question that needs it tells why it can't be had."""
    with contextlib.suppress(GitmlError):
        assert ws.index
