"""Copying a file within the kernel, while another thread hashes it: half of the work of reading, writing and hashing in turn."""

from __future__ import annotations

import errno
import hashlib
import os
import queue
import threading
from collections.abc import Callable
from contextlib import closing

from gitml.files import write_all
from gitml.platform.current import platform
from gitml.store.local import disk

_PIECE = 8 << 20
_OURS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # what a copy by hand would meet too


class GrowingFileHash:
    """The sha256 of a file that grows, or is being copied: in a thread of its own, from the page cache, never ahead of `upto`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._state = hashlib.sha256()
        self._ends: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def upto(self, end: int) -> None:
        """What is before `end` may be hashed."""
        self._ends.put(end)

    def hexdigest(self) -> str:
        """The sha256 of all up to the last end; the OSError that reading it met."""
        self.close()
        if self._error is not None:
            raise self._error
        return self._state.hexdigest()

    def close(self) -> None:
        """Ends the thread."""
        self._ends.put(None)
        self._thread.join()

    def _follow(self) -> None:
        buffer = bytearray(disk.CHUNK)
        view = memoryview(buffer)
        at = 0
        try:
            while (end := self._ends.get()) is not None:
                while at < end and (count := os.preadv(self._fd, [view[: end - at]], at)):
                    self._state.update(view[:count])
                    at += count
        except OSError as error:
            self._error = error


def copy_in_kernel(source: int, target: int, at: int) -> int | None:
    """Copies a piece from `at` on to the same place; how many bytes, 0 at the end, None where the kernel can't.

    OSError when there is no room, or a disk fails.
    """
    try:
        return platform.copy_piece(source, target, _PIECE, at)
    except OSError as error:
        if error.errno in _OURS:
            raise
        return None


def copy_hashed(source: int, target: int, start: int, moved: Callable[[int], None]) -> str:
    """Copies an open file from `start` on to the same place of another; the sha256 of all of the first.

    It is read twice, from the page cache the second time. The caller checks that it was not changed meanwhile.
    """
    at = start
    by_hand = False
    with closing(GrowingFileHash(source)) as hashing:
        hashing.upto(at)
        while True:
            count = None if by_hand else copy_in_kernel(source, target, at)
            if not count:  # the end; or a file system that says so when it means that it can't
                by_hand = True
                piece = os.pread(source, disk.CHUNK, at)
                if not piece:
                    break
                os.lseek(target, at, os.SEEK_SET)
                write_all(target, piece)
                count = len(piece)
            at += count
            hashing.upto(at)
            moved(count)
        os.ftruncate(target, at)
        if at >= disk.BIG:
            os.fsync(target)  # while the hash of the last pieces is still computed
        return hashing.hexdigest()
