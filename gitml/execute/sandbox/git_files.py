"""Git's own files as bytes: a pack with its index, and the index of a work tree. Git's `gitformat-pack` and `gitformat-index`."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from gitml.core.model.protocols import Entry
from gitml.files import write_all

_KINDS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_ALGORITHMS = {40: "sha1", 64: "sha256"}
_LARGE = 1 << 31  # an offset from here on lies in a table of its own
_ASSUMED, _EXTENDED, _SKIPPED = 0x8000, 0x4000, 0x4000
_LONGEST = 0xFFF
_WORD = 0xFFFFFFFF


class PackWriter:
    """Writes a pack of whole objects into the folder `place`, object by object, and at the end its index."""

    def __init__(self, place: str, oid_length: int) -> None:
        self._place = place
        self._algorithm = _ALGORITHMS[oid_length]
        self._objects: dict[str, tuple[int, int]] = {}
        self._offset = 12
        self._path = os.path.join(place, "pack")
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        write_all(self._fd, struct.pack(">4sII", b"PACK", 2, 0))

    def __contains__(self, oid: str) -> bool:
        return oid in self._objects

    def add(self, oid: str, kind: str, content: bytes) -> None:
        """Adds an object that is not in it yet."""
        size = len(content)
        byte = _KINDS[kind] << 4 | size & 15
        size >>= 4
        head = bytearray()
        while size:
            head.append(byte | 0x80)
            byte = size & 0x7F
            size >>= 7
        head.append(byte)
        packed = bytes(head) + zlib.compress(content, 1)
        write_all(self._fd, packed)
        self._objects[oid] = (self._offset, zlib.crc32(packed))
        self._offset += len(packed)

    def close(self) -> None:
        """Writes what was left open: the number of objects, the checksum, the index."""
        os.pwrite(self._fd, struct.pack(">I", len(self._objects)), 8)
        hasher = hashlib.new(self._algorithm)
        at = 0
        while chunk := os.pread(self._fd, 1 << 20, at):
            hasher.update(chunk)
            at += len(chunk)
        write_all(self._fd, hasher.digest())
        os.close(self._fd)
        name = os.path.join(self._place, f"pack-{hasher.hexdigest()}")
        os.rename(self._path, f"{name}.pack")
        content = self._index(hasher.digest())
        fd = os.open(f"{name}.idx", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        try:
            write_all(fd, content + hashlib.new(self._algorithm, content).digest())
        finally:
            os.close(fd)

    def _index(self, checksum: bytes) -> bytes:
        oids = sorted(self._objects)
        counts = [0] * 256
        for oid in oids:
            counts[int(oid[:2], 16)] += 1
        fanout, total = [], 0
        for count in counts:
            total += count
            fanout.append(total)
        offsets, large = [], []
        for oid in oids:
            offset = self._objects[oid][0]
            if offset >= _LARGE:
                large.append(offset)
                offset = _LARGE | len(large) - 1
            offsets.append(offset)
        return b"".join(
            [
                struct.pack(">4sI256I", b"\377tOc", 2, *fanout),
                *map(bytes.fromhex, oids),
                struct.pack(f">{len(oids)}I", *[self._objects[oid][1] for oid in oids]),
                struct.pack(f">{len(oids)}I", *offsets),
                struct.pack(f">{len(large)}Q", *large),
                checksum,
            ]
        )


class IndexEntry(NamedTuple):
    """A file of a Git index. `stat` is by what Git sees that it is unchanged, None where Git is to look.

    One that is `skipped` need not be there, one that is `assumed` is unchanged whatever is there.
    """

    path: bytes
    entry: Entry
    stat: os.stat_result | None = None
    skipped: bool = False
    assumed: bool = False


def index_bytes(entries: Iterable[IndexEntry], oid_length: int) -> bytes:
    """A Git index of version 3 with these files, which are in the order of their paths."""
    parts = [b""]
    for path, entry, stat, skipped, assumed in entries:
        flags = min(len(path), _LONGEST) | (_ASSUMED if assumed else 0) | (_EXTENDED if skipped else 0)
        more = struct.pack(">H", _SKIPPED) if skipped else b""
        head = struct.pack(">10I", *_numbers(entry, stat)) + bytes.fromhex(entry.oid) + struct.pack(">H", flags) + more
        length = len(head) + len(path)
        parts.append(head + path + bytes((length + 8 & ~7) - length))
    parts[0] = struct.pack(">4sII", b"DIRC", 3, len(parts) - 1)
    content = b"".join(parts)
    return content + hashlib.new(_ALGORITHMS[oid_length], content).digest()


def _numbers(entry: Entry, stat: os.stat_result | None) -> tuple[int, ...]:
    """The times, place, mode, owner and size of a file, as an index has them."""
    mode = 0o100644 if entry.mode == "100664" else int(entry.mode, 8)
    if stat is None:
        return (0, 0, 0, 0, 0, 0, mode, 0, 0, 0)
    times = (*divmod(stat.st_ctime_ns, 10**9), *divmod(stat.st_mtime_ns, 10**9))
    numbers = (*times, stat.st_dev, stat.st_ino, mode, stat.st_uid, stat.st_gid, stat.st_size)
    return tuple([number & _WORD for number in numbers])
