"""Content on its way in from another machine: written as it comes, hashed while it is written, an object once it is proven."""

from __future__ import annotations

import hashlib
import os

from gitml.core.model.digest import PREFIX, Digest, hex_of
from gitml.errors import IntegrityError
from gitml.store.local import disk
from gitml.store.local.disk import Guard
from gitml.store.local.store import LocalStore, PendingObject


class BlobWriter:
    """A Blob of `size` bytes that arrives in pieces, in order. `position` is how much is here: go on there after a cut."""

    def __init__(self, store: LocalStore, digest: Digest, size: int) -> None:
        self.position = 0
        self.size = size
        self._store = store
        self._digest = digest
        self._hash = hashlib.sha256()
        self._path = store.temporary()
        with Guard(self._path):
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, piece: bytes | memoryview) -> None:
        """Adds the next piece; MachineError when the disk refuses."""
        hashed = disk.in_threads([lambda: self._hash.update(piece)]) if len(piece) > disk.SMALL else None
        with Guard(self._path):
            disk.write_all(self._fd, piece)
        if hashed is None:
            self._hash.update(piece)
        else:
            hashed()
        self.position += len(piece)

    def commit(self) -> None:
        """Makes it an object; IntegrityError, with nothing kept, when it is not what its name says."""
        found = PREFIX + self._hash.hexdigest()
        if found != self._digest or self.position != self.size:
            self.abandon()
            raise IntegrityError(
                f"other bytes arrived than asked for: {found[:19]}… for {self._digest[:19]}…",
                where=hex_of(self._digest),
                hint="run again; if it stays so, `gitml fsck` on the machine that it comes from",
            )
        with Guard(self._path):
            disk.make_canonical(self._fd)
            written = os.fstat(self._fd)
            self._close()
        self._store.publish([PendingObject(self._digest, self._path, written.st_ino, disk.changed_if_large(written))])

    def abandon(self) -> None:
        """Gives it up; nothing is left of it."""
        self._close()
        if os.path.lexists(self._path):
            os.unlink(self._path)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
