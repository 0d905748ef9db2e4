"""What the driver has for the machines: contents by name, read from its Store and its repository."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple, cast

from gitml.cluster.content.content_ids import (
    BLOB,
    GIT_BLOB,
    GIT_COMMIT,
    GIT_KINDS,
    GIT_LISTING,
    GIT_SUBMODULE,
    GIT_TREE,
    TREE,
    commit_names,
    digest_in,
    git_tree_names,
    listing_names,
    parse_name,
    pointer_names,
    submodule_names,
    tree_names,
)
from gitml.core.model.digest import digest_of
from gitml.core.model.tree import decode_tree
from gitml.errors import GitmlError, IntegrityError
from gitml.execute.interfaces import WorkerServices
from gitml.git.objects.reader import CommitFiles

INLINE_EACH = 2**18  # bytes; what is larger is sent by itself
INLINE_TOTAL = 2**21
_POINTER_LARGEST = 1024


class InputSet(NamedTuple):
    """Contents for a machine: small ones as they are, large ones by name and size, and those that can't be had."""

    inline: dict[str, bytes]
    large: dict[str, int]
    unavailable: list[str]


class BlobSource:
    """Reads for one thread. IntegrityError from any method when what was to be here is damaged; it is quarantined then."""

    def __init__(self, services: WorkerServices) -> None:
        self.store = services.store
        self.contents = cast(CommitFiles, services.git_objects)  # which the driver has
        self.lfs_object = services.lfs_object

    def select(self, roots: Sequence[str], known: set[str]) -> InputSet:
        """What a machine needs for `roots` that is not `known` to be there, `roots` in `known` standing for all below them."""
        inputs = InputSet({}, {}, [])
        room = INLINE_TOTAL
        seen: set[str] = set()
        stack = list(reversed(roots))
        while stack:
            name = stack.pop()
            if name in known or name in seen:
                continue
            seen.add(name)
            kind, id = parse_name(name)
            try:
                size = self._size(kind, id)
            except GitmlError:
                if kind != BLOB:
                    raise
                inputs.unavailable.append(name)
                continue
            content = None
            if size <= min(INLINE_EACH, room):
                content = inputs.inline[name] = self.read(name)
                room -= size
            else:
                inputs.large[name] = size
            stack.extend(self._below(kind, id, size, content))
        return inputs

    def _size(self, kind: str, id: str) -> int:
        if kind in GIT_KINDS:
            found, size = self.contents.kind_size(id)
            return size + len(_header(found, size))
        with self._open_stored(kind, id) as file:
            return file.seek(0, os.SEEK_END)

    def _below(self, kind: str, id: str, size: int, content: bytes | None) -> list[str]:
        if kind == GIT_TREE:
            return git_tree_names(self.contents.tree(id))
        if kind == GIT_LISTING:
            return listing_names(self.contents.tree(id))
        if kind == GIT_COMMIT:
            return commit_names(self.contents.read(id))
        if kind == GIT_SUBMODULE:
            return submodule_names(self.contents.read(id))
        if kind == TREE:
            return tree_names(decode_tree(content if content is not None else self.read(f"{kind}:{id}")))
        if kind == GIT_BLOB and size <= _POINTER_LARGEST and content is not None:
            return pointer_names(content[content.index(b"\0") + 1 :], id)
        return []

    def read(self, name: str) -> bytes:
        """A whole content, as it is sent."""
        kind, id = parse_name(name)
        if kind in GIT_KINDS:
            content = self.contents.read(id)
            return _header(GIT_KINDS[kind], len(content)) + content
        with self._open_stored(kind, id) as file:
            content = file.read()
        if digest_of(content) != digest_in(name):
            raise IntegrityError(
                "the local Git LFS object is damaged", where=id, hint="remove it and run: git lfs pull"
            )
        return content

    def pieces(self, name: str, start: int, each: int) -> Iterator[bytes]:
        """A content from `start` on, in pieces of `each` bytes; never more than a few in memory."""
        kind, id = parse_name(name)
        if kind in GIT_KINDS:
            yield from self._git_pieces(kind, id, start, each)
            return
        with self._open_stored(kind, id) as file:
            file.seek(start)
            while piece := file.read(each):
                yield piece

    def _git_pieces(self, kind: str, oid: str, start: int, each: int) -> Iterator[bytes]:
        """From a temporary file: what gives a blob of Git gives it whole."""
        import tempfile

        with tempfile.TemporaryFile() as file:
            found, size = self.contents.kind_size(oid)
            file.write(_header(found, size))
            self.contents.stream(oid, file.write)
            file.seek(start)
            while piece := file.read(each):
                yield piece

    def _open_stored(self, kind: str, id: str) -> BinaryIO:
        digest = digest_in(f"{kind}:{id}")
        try:
            return self.store.open(digest)
        except IntegrityError:
            path = self.lfs_object(digest) if kind == BLOB else None
            if path is None:
                raise
            return open(path, "rb")


def _header(kind: str, size: int) -> bytes:
    return f"{kind} {size}\0".encode("ascii")
