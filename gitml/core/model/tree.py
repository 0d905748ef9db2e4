"""Tree: a directory in canonical form, nested, so that one changed file rewrites only the listings on its path.

The encoding is ``gitml tree 1\\n`` and then, for each entry in order of its name's bytes,
``<kind> <64 hex> <size> <name>\\0``. Kinds: ``f`` a file, ``x`` an executable file, ``l`` a symbolic link (its content is the
target), ``d`` a directory (its digest is that of its own listing, its size the sum of its files). One directory has
exactly one encoding, so equal directories have equal Digests. Times, owners and other mode bits are not content.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gitml.core.model.digest import Digest, from_hex, hex_of

HEADER = b"gitml tree 1\n"
KINDS = ("f", "x", "l", "d")


class TreeEntry(NamedTuple):
    """One name of a Tree: kind is one of ``f x l d``, size in bytes."""

    name: bytes
    kind: str
    digest: Digest
    size: int


def encode_tree(entries: Iterable[TreeEntry]) -> bytes:
    """The canonical bytes of a listing; the order given does not matter. ValueError for names no directory can hold."""
    parts = [HEADER]
    last = None
    for name, kind, digest, size in sorted(entries):
        _check(name, kind, last)
        parts.append(b"%s %s %d %s\0" % (kind.encode(), hex_of(digest).encode(), size, name))
        last = name
    return b"".join(parts)


def decode_tree(data: bytes) -> list[TreeEntry]:
    """The entries of an encoded Tree; ValueError unless `data` is exactly what `encode_tree` makes."""
    if not data.startswith(HEADER):
        raise ValueError("not a gitml tree")
    entries = []
    last = None
    body = data[len(HEADER) :]
    if body and not body.endswith(b"\0"):
        raise ValueError("truncated tree")
    for line in body.split(b"\0")[:-1]:
        try:
            kind_bytes, hex_bytes, size_bytes, name = line.split(b" ", 3)
            entry = TreeEntry(name, kind_bytes.decode("ascii"), from_hex(hex_bytes.decode("ascii")), int(size_bytes))
        except ValueError as error:
            raise ValueError(f"bad tree entry {line[:120]!r}") from error
        if b"%d" % entry.size != size_bytes or entry.size < 0:
            raise ValueError(f"bad size in tree entry {line[:120]!r}")
        _check(entry.name, entry.kind, last)
        last = entry.name
        entries.append(entry)
    return entries


def tree_size(entries: Iterable[TreeEntry]) -> int:
    """Bytes of all files below a listing."""
    return sum(entry.size for entry in entries)


def link_stays_inside(directory: str, target: str) -> bool:
    """Whether a link in `directory` (relative to the root, ``""`` for the root itself) leads to a place below the root."""
    if not target or target.startswith("/") or "\0" in target:
        return False
    parts = [part for part in target.split("/") if part not in ("", ".")]
    up = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    # `..` after a name leads where that name leads, if it is a link itself
    depth = len([part for part in directory.split("/") if part])
    return ".." not in parts[up:] and up <= depth


def _check(name: bytes, kind: str, last: bytes | None) -> None:
    if not name or b"/" in name or b"\0" in name or name in (b".", b".."):
        raise ValueError(f"not a file name: {name[:120]!r}")
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}")
    if last is not None and name <= last:
        raise ValueError(f"tree entries out of order or twice: {name[:120]!r}")
