"""What uploads and downloads share: progress, stopping, and retries."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from gitml.core.model.digest import Digest
from gitml.core.model.events import Transferring
from gitml.errors import GitmlError, RemoteError

T = TypeVar("T")

_REPORTS = 0.2  # seconds between two reports
_WINDOW = 5.0  # seconds that the rate is taken over
_PAUSES = (0.5, 2.0)  # seconds before a second and a third try


class TransferStoppedError(GitmlError):
    """A transfer was stopped on request. What was transferred so far stays."""

    code = "stopped"
    exit_code = 130


class PartialTree(NamedTuple):
    """What is wanted of a Tree, by (Digest, size, whether it is a Tree); `listings` are those of it that no remote store has."""

    contents: tuple[tuple[Digest, int, bool], ...]
    listings: tuple[tuple[Digest, bytes], ...] = ()


class TransferRoot(NamedTuple):
    """Content that is transferred as a whole: a Blob, or a Tree with all below it. `name` is for people (``train.model``).

    A download of a Tree may be of a `part` of it.
    """

    digest: Digest
    size: int
    tree: bool
    name: str = ""
    part: PartialTree | None = None

    def contents(self) -> tuple[tuple[Digest, int, bool], ...]:
        """What is there once it was downloaded: (Digest, size, whether it is a Tree)."""
        return ((self.digest, self.size, self.tree),) if self.part is None else self.part.contents


class UploadResult(NamedTuple):
    """What became of an upload. `there` counts roots that needed nothing, `missing` names those whose bytes are elsewhere.

    `refused` are (name, why) of roots that are damaged on this machine: nothing of them was made visible. `confirmed`: the remote
    was asked whether it still is the one that is known.
    """

    remote: str
    sent: tuple[TransferRoot, ...]
    there: int
    missing: tuple[TransferRoot, ...]
    refused: tuple[tuple[str, str], ...]
    objects: int
    bytes: int
    confirmed: bool = False


class TransferMeter:
    """Counts what is moved, from any thread, and reports it from the one that calls `report`."""

    def __init__(
        self,
        direction: str,
        remote: str,
        emit: Callable[[Transferring], None],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.total = self.of = self.items = 0
        self.done = 0
        self._direction, self._remote, self._emit, self._stopped = direction, remote, emit, stopped
        self._lock = threading.Lock()
        self._ended = False
        self._begun = self._reported = time.monotonic()
        self._recent: deque[tuple[float, int]] = deque([(self._begun, 0)])

    def moved(self, count: int) -> None:
        """So many bytes more. TransferStoppedError when it is to end."""
        with self._lock:
            self.done += count
        self.check_stopped()

    def take_back(self, count: int) -> None:
        """So many bytes must be moved again."""
        with self._lock:
            self.done -= count

    def check_stopped(self) -> None:
        """TransferStoppedError when it is to end."""
        if self._ended or self._stopped():
            raise TransferStoppedError("stopped", hint="the next time it goes on from here")

    def end(self) -> None:
        """Ends the transfer, well or not: threads that still perform a part of it stop."""
        self._ended = True

    def poll(self) -> None:
        """What is done while nothing ends: TransferStoppedError when it is to end, else a report."""
        self.check_stopped()
        self.report()

    def report(self, *, now: bool = False) -> None:
        """Emits how far it is, if that was not emitted a moment ago."""
        at = time.monotonic()
        if not now and at - self._reported < _REPORTS:
            return
        self._reported = at
        self._recent.append((at, self.done))
        while len(self._recent) > 2 and at - self._recent[0][0] > _WINDOW:
            self._recent.popleft()
        began, before = self._recent[0]
        rate = (self.done - before) / (at - began) if at > began else 0.0
        left = (self.total - self.done) / rate if rate > 0 and at - self._begun > 1 else None
        self._emit(
            Transferring(
                self._direction, self._remote, self.done, self.total, self.items, self.of, max(rate, 0.0), left
            )
        )


def with_retries(work: Callable[[Callable[[int], None]], T], meter: TransferMeter) -> T:
    """``work(moved)``, again after a pause when the remote failed; what the failed try had moved is taken back."""
    for pause in (*_PAUSES, None):
        count = 0

        def moved(size: int) -> None:
            nonlocal count
            count += size
            meter.moved(size)

        try:
            return work(moved)
        except RemoteError:
            if pause is None:
                raise
        except BaseException:
            meter.take_back(count)
            raise
        meter.take_back(count)
        _pause(pause, meter)
    raise AssertionError("unreachable")


def _pause(seconds: float, meter: TransferMeter) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        meter.check_stopped()
        time.sleep(min(0.1, left))
