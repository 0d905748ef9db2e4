"""Packs: many small contents as one object, so that ten thousand files are a few transfers.

``gitml pack 1\\n``, the number of contents and ``\\n``, for each ``<64 hex> <size>\\n``, and then the contents in that order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from gitml.core.config.remotes import StoredObject
from gitml.core.model.digest import Digest, digest_of, from_hex, hex_of

HEADER = b"gitml pack 1\n"
LARGEST = 1 << 20  # bytes; a file of a directory that is as large or larger is an object of its own
TARGET = 8 << 20  # bytes of contents after which a pack is closed
MAX_SIZE = (
    128 << 20
)  # a pack that claims to be larger is refused: one of a million files of a few bytes each, or of their listing


def encode_index(items: Sequence[StoredObject]) -> bytes:
    """What a pack of these contents begins with."""
    lines = [b"%s %d\n" % (hex_of(item.digest).encode(), item.size) for item in items]
    return b"".join([HEADER, b"%d\n" % len(items), *lines])


def decode_index(data: bytes | bytearray) -> tuple[list[StoredObject], int]:
    """The contents that a pack says it has, and where the first begins; ValueError when `data` does not begin like a pack."""
    lines = list(_lines(data))
    return [item for item, _ in lines], lines[-1][1] if lines else _begin(data)[1]


def length_of_index(data: bytes | bytearray) -> int:
    """Where the first content of a pack begins; ValueError when `data` does not begin like a pack."""
    place = _begin(data)[1]
    for _, place in _lines(data):  # noqa: B007
        pass
    return place


def contents_of(data: bytes | bytearray) -> Iterator[tuple[Digest, memoryview]]:
    """(Digest, content) of all that a pack holds, each verified; ValueError for the first that is not what its name says."""
    place, size = length_of_index(data), sum(item.size for item, _ in _lines(data))
    view = memoryview(data)
    if place + size != len(data):
        raise ValueError("a pack of another length than it says")
    for item, _ in _lines(data):
        content = view[place : place + item.size]
        place += item.size
        if digest_of(content) != item.digest:
            raise ValueError(f"a pack with other bytes than it says for {item.digest[:19]}")
        yield item.digest, content


def _begin(data: bytes | bytearray) -> tuple[int, int]:
    """(how many contents, where the index begins)."""
    if not data.startswith(HEADER):
        raise ValueError("not a pack of format 1")
    end = data.find(b"\n", len(HEADER), len(HEADER) + 10)
    if end < 0 or not data[len(HEADER) : end].isdigit():
        raise ValueError("a pack that does not say how much it holds")
    return int(data[len(HEADER) : end]), end + 1


def _lines(data: bytes | bytearray) -> Iterator[tuple[StoredObject, int]]:
    """(a content that the index names, where what follows begins), without a list of them: there may be a million."""
    count, place = _begin(data)
    for _ in range(count):
        stop = data.find(b"\n", place, place + 90)
        if stop < 0 or data[place + 64 : place + 65] != b" " or not data[place + 65 : stop].isdigit():
            raise ValueError("a pack whose index is damaged")
        name = from_hex(data[place : place + 64].decode("ascii", "replace"))
        item = StoredObject(name, int(data[place + 65 : stop]))
        place = stop + 1
        yield item, place


def grouped(items: Sequence[StoredObject]) -> Iterator[Sequence[StoredObject]]:
    """`items` in order, cut into what becomes a pack each."""
    cuts, size = [0], 0
    for number, item in enumerate(items):
        if size and size + item.size > TARGET:
            cuts.append(number)
            size = 0
        size += item.size
    for begin, end in pairwise((*cuts, len(items))):
        if begin < end:
            yield items[begin:end]
