"""The bytes that a record names, from the store or, where they are small, from the record itself."""

from __future__ import annotations

from collections.abc import Iterator

from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.tree import TreeEntry, decode_tree
from gitml.errors import IntegrityError
from gitml.store.local.object_folder import MAX_DEPTH
from gitml.workspace import Workspace

_CHUNK = 1 << 20


def chunks(ws: Workspace, digest: Digest) -> Iterator[bytes]:
    """A Blob's bytes, each verified before the last is given. IntegrityError when they are missing or wrong."""
    import hashlib

    inline = _inline(ws, digest)
    if inline is not None:
        yield inline
        return
    found = hashlib.sha256()
    with ws.store.open(digest) as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
            yield chunk
    if found.hexdigest() != digest[7:]:
        ws.store.quarantine(digest, f"its content is sha256:{found.hexdigest()}")
        raise IntegrityError(f"stored object {digest} is damaged; it is quarantined now", hint="run the step again")


def read(ws: Workspace, digest: Digest) -> bytes:
    """A Blob's bytes."""
    return b"".join(chunks(ws, digest))


def piece(ws: Workspace, digest: Digest, start: int, count: int) -> bytes:
    """`count` bytes of a Blob from `start`, fewer at its end; for showing, so a large one is not verified whole."""
    inline = _inline(ws, digest)
    if inline is not None:
        return inline[start : start + count]
    with ws.store.open(digest) as file:
        file.seek(start)
        return file.read(count)


def listing(ws: Workspace, digest: Digest) -> list[TreeEntry]:
    """The entries of a Tree."""
    try:
        return decode_tree(read(ws, digest))
    except ValueError as error:
        raise IntegrityError(f"{digest} is not a tree: {error}", hint="`gitml fsck` names what is broken") from error


def is_here(ws: Workspace, digest: Digest, size: int, *, tree: bool) -> bool:
    """Whether the content can be had on this machine. Folders more than MAX_DEPTH deep, which no gitml makes, are not."""
    return _is_here(ws, digest, size, tree, set(), 0)


def _is_here(
    ws: Workspace, digest: Digest, size: int, tree: bool, seen: set[tuple[Digest, int, bool]], deep: int
) -> bool:
    if (digest, size, tree) in seen or ws.store.has(digest, size, tree=tree):
        return True
    if deep > MAX_DEPTH or ws.index.inline(digest) is None:
        return False
    for entry in listing(ws, digest) if tree else ():
        if not _is_here(ws, entry.digest, entry.size, entry.kind == "d", seen, deep + 1):
            return False
    seen.add((digest, size, tree))  # a listing may name another many times
    return True


def _inline(ws: Workspace, digest: Digest) -> bytes | None:
    """The bytes from a record, None when the store has the object or no record does."""
    if ws.store.is_intact(digest):
        return None
    oid = ws.index.inline(digest)
    if oid is None:
        return None
    content = ws.records.read(oid)
    if digest_of(content) != digest:
        raise IntegrityError(f"a record holds other bytes than it says for {digest[:19]}", where=oid)
    return content
