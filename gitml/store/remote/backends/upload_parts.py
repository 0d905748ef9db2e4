"""Uploading a large object in parts, which stay when the upload is cut off: the next one brings what is missing."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Sequence, Set
from typing import Any, Protocol

from gitml.core.config.remotes import StoredObject
from gitml.core.model.digest import hex_of
from gitml.store.local import disk
from gitml.store.remote.layout import damaged_object
from gitml.store.remote.transfer.thread_pool import ThreadPool

PIECE = 8 << 20  # bytes of a part, unless the object is so large that they would be too many
AHEAD = 4  # parts of one object under way at once
_MOST = 9000  # parts; S3 takes ten thousand
_MIB = 1 << 20


class PartialUpload(Protocol):
    """One object on its way to a remote in numbered parts. It appears there when it is finished, whole.

    A tag names a part by its number and what is in it.
    """

    def begin(self) -> Set[str]:
        """Begins, or goes on with what an earlier upload left: the tags of the parts that are there."""

    def tag(self, number: int, content: bytes) -> str:
        """The tag that this content would have as a part."""

    def put(self, number: int, content: bytes) -> str:
        """Uploads a part, from 1 on in any order and several at once; gives its tag."""

    def finish(self, tags: Sequence[str]) -> None:
        """Makes the object of these parts, in order."""

    def drop(self) -> None:
        """Gives the upload up, with its parts."""


def upload_in_parts(parts: PartialUpload, source: str, item: StoredObject, moved: Callable[[int], None]) -> None:
    """Uploads a file, hashed on the way: IntegrityError, and nothing there, when it is not what `item` says.

    What `moved` raises ends it; the parts that arrived stay for the next time.
    """
    size = part_size(item.size)
    with disk.Guard(source):
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    crew = ThreadPool(AHEAD)
    try:
        there = parts.begin()
        state = hashlib.sha256()
        under_way: deque[tuple[Any, int]] = deque()
        tags: list[str] = []

        def ended() -> None:
            job, count = under_way.popleft()
            tags.append(job if isinstance(job, str) else job.result())
            moved(count)

        number = 0
        while True:
            with disk.Guard(source):
                content = _piece(fd, size)
            if not content:
                break
            number += 1
            state.update(content)
            tag = parts.tag(number, content) if there else ""
            if tag in there:
                under_way.append((tag, len(content)))
            else:
                put = crew.start(lambda number=number, content=content: parts.put(number, content))  # type: ignore[misc]
                under_way.append((put, len(content)))
            if len(under_way) >= AHEAD:
                ended()
        while under_way:
            ended()
        if state.hexdigest() != hex_of(item.digest):
            parts.drop()
            raise damaged_object(item.digest, state.hexdigest())
        parts.finish(tags)
    finally:
        crew.dismiss()
        os.close(fd)


def _piece(fd: int, size: int) -> bytes:
    """So many bytes of an open file, fewer only at its end."""
    got = [os.read(fd, size)]
    left = size - len(got[0])
    while left and got[-1]:
        got.append(os.read(fd, left))
        left -= len(got[-1])
    return got[0] if len(got) == 1 else b"".join(got)


def part_size(size: int) -> int:
    """Bytes of the parts of an object: always the same for the same object, so that another upload can go on with them."""
    return max(PIECE, -(-size // _MOST // _MIB) * _MIB)
