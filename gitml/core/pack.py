"""Packs: many small contents as one object, so that ten thousand files are a few transfers.

``gitml pack 1\\n``, the number of contents and ``\\n``, for each ``<64 hex> <size>\\n``, and then the contents in that order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from gitml.core.digest import Digest, digest_of, from_hex, hex_of
from gitml.core.remotes import Stored

HEADER = b"gitml pack 1\n"
LARGEST = 1 << 20  # bytes; a file of a directory that is as large or larger is an object of its own
TARGET = 8 << 20  # bytes of contents after which a pack is closed
MAX_SIZE = 1 << 30  # a pack that claims to be larger is refused


def encode_index(items: Sequence[Stored]) -> bytes:
    """What a pack of these contents begins with."""
    lines = [b"%s %d\n" % (hex_of(item.digest).encode(), item.size) for item in items]
    return b"".join([HEADER, b"%d\n" % len(items), *lines])


def decode_index(data: bytes) -> tuple[list[Stored], int]:
    """The contents that a pack says it has, and where the first begins; ValueError when `data` does not begin like a pack."""
    if not data.startswith(HEADER):
        raise ValueError("not a pack of format 1")
    end = data.find(b"\n", len(HEADER))
    if end < 0 or not data[len(HEADER) : end].isdigit() or end - len(HEADER) > 9:
        raise ValueError("a pack that does not say how much it holds")
    count = int(data[len(HEADER) : end])
    items = []
    place = end + 1
    for _ in range(count):
        stop = data.find(b"\n", place, place + 90)
        if stop < 0 or data[place + 64 : place + 65] != b" " or not data[place + 65 : stop].isdigit():
            raise ValueError("a pack whose index is damaged")
        items.append(
            Stored(from_hex(data[place : place + 64].decode("ascii", "replace")), int(data[place + 65 : stop]))
        )
        place = stop + 1
    return items, place


def contents_of(data: bytes) -> Iterator[tuple[Digest, memoryview]]:
    """(Digest, content) of all that a pack holds, each verified; ValueError for the first that is not what its name says."""
    items, place = decode_index(data)
    view = memoryview(data)
    if place + sum(item.size for item in items) != len(data):
        raise ValueError("a pack of another length than it says")
    for item in items:
        content = view[place : place + item.size]
        place += item.size
        if digest_of(content) != item.digest:
            raise ValueError(f"a pack with other bytes than it says for {item.digest[:19]}")
        yield item.digest, content


def grouped(items: Sequence[Stored]) -> Iterator[Sequence[Stored]]:
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
