"""Bytes on their way to a file, hashed while they are written."""

from __future__ import annotations

import hashlib
import queue
import threading

from gitml.files import write_all
from gitml.store.local import disk

_EARLY = (
    32 << 20
)  # bytes after which the kernel is asked to begin to write, so that the sync at the end has little left
_WAITING = 8  # pieces that hashing may lag behind


class HashedWriter:
    """Writes to an open file. Hashing goes on in a thread of its own when `size`, what is expected, is large."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self._state = hashlib.sha256()
        self._queue: queue.Queue[bytes | None] | None = None
        self._thread: threading.Thread | None = None
        if size >= disk.BIG:
            self._queue = queue.Queue(_WAITING)
            self._thread = threading.Thread(target=self._hash, daemon=True)
            self._thread.start()

    def write(self, chunk: bytes) -> None:
        """Adds a piece."""
        if self._queue is not None:
            self._queue.put(chunk)
        else:
            self._state.update(chunk)
        # The kernel isn't asked to write early: that blocks, and costs more than the sync at the end saves.
        write_all(self.fd, chunk)

    def seen(self, chunk: bytes) -> None:
        """Takes a piece that is in the file already."""
        self._state.update(chunk)

    def hexdigest(self) -> str:
        """The sha256 of all that was added; ends the thread."""
        self.close()
        return self._state.hexdigest()

    def close(self) -> None:
        """Ends the thread."""
        if self._queue is not None and self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._queue = None

    def _hash(self) -> None:
        waiting = self._queue
        assert waiting is not None
        while (chunk := waiting.get()) is not None:
            self._state.update(chunk)
