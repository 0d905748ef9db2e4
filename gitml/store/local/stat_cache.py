"""The stat cache of large objects: the inode, size and change time that each had when its content was last known to be right.

Nothing but the kernel sets a change time, so an object whose stat agrees was not written to since, by whatever name and however
its other times were put back. An object whose stat does not agree is hashed before it is used. So is each once a boot: what
a disk damages changes no time, and after a power loss the data may be newer than the times. Losing an entry costs a hash.

``checked/ab/<62 hex>``  a line: inode, change time in nanoseconds, size, boot id; padded with blanks
"""

from __future__ import annotations

import os
from contextlib import suppress

from gitml.core.model.digest import Digest, hex_of
from gitml.files import opened
from gitml.permissions import ALONE, SharedMode
from gitml.platform.current import platform

_WIDTH = 120  # bytes of an entry: it is written over in place, which costs less than to cut it first


class StatCache:
    """The entries below `root`, and what this process noted or read of them."""

    def __init__(self, root: str, sharing: SharedMode = ALONE) -> None:
        self._sharing = sharing
        self._folder = os.path.join(root, "checked")
        self._known: dict[Digest, str] = {}
        self._boot: str | None = None

    def agrees(self, digest: Digest, found: os.stat_result) -> bool:
        """Whether an object with this stat is as it was when it was last known to be right."""
        line = self._line(found)
        if self._known.get(digest) == line:
            return True
        try:
            with open(self._path(digest), "rb", buffering=0) as file:
                if file.read(_WIDTH) != line.encode():
                    return False
        except OSError:
            return False
        self._known[digest] = line
        return True

    def note(self, digest: Digest, found: os.stat_result) -> None:
        """Notes that the content is right as long as the object has this stat; in this process only where it can't be kept."""
        line = self._line(found)
        self._known[digest] = line
        path = self._path(digest)
        with suppress(OSError):
            if not os.path.isdir(os.path.dirname(path)):
                self._sharing.make_folder(os.path.dirname(path))
            try:
                file = opened(path, _CREATE, 0o666)
            except PermissionError:  # another user's, in a folder that both may write to
                os.unlink(path)
                file = opened(path, _CREATE, 0o666)
            with file as fd:
                os.write(fd, line.encode())
            self._sharing.open_up(path)

    def forget(self, digest: Digest) -> None:
        """Drops the entry of an object that goes."""
        self._known.pop(digest, None)
        with suppress(OSError):
            os.unlink(self._path(digest))

    def _path(self, digest: Digest) -> str:
        name = hex_of(digest)
        return f"{self._folder}/{name[:2]}/{name[2:]}"

    def _line(self, found: os.stat_result) -> str:
        if self._boot is None:
            self._boot = platform.boot_id() or "unknown"
        return f"{found.st_ino} {found.st_ctime_ns} {found.st_size} {self._boot}".ljust(_WIDTH - 1) + "\n"


_CREATE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
