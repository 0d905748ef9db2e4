"""What Git LFS pointers among the code and inputs of a step stand for: where it lies on this machine, and what has to be fetched.

It is fetched into the Store, from the Git LFS of the Git remote, by gitml itself. Neither the work tree nor what Git LFS keeps is
written, and Git LFS need not be installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

from gitml.core.model.action import Action, ActionInput, CodeFile
from gitml.core.model.digest import Digest
from gitml.core.model.protocols import Source
from gitml.core.model.result import OutputRef
from gitml.execute.sandbox.sandbox import is_pointer, pointed_at
from gitml.git.command import Location
from gitml.git.lfs.pointer import local_lfs_object
from gitml.git.objects.reader import CommitFiles
from gitml.store.local.store import LocalStore
from gitml.workspace import Workspace

POINTED = "lfs"  # kind of an OutputRef that stands for content of Git LFS, which no step made
_LARGEST = 1024  # bytes of a pointer
_IN_TREE = "lfs-in-tree-1"  # kind of fact: Git tree -> its pointers


class LfsPointer(NamedTuple):
    """Content that a pointer at `path` stands for."""

    path: str
    digest: Digest
    size: int


class LfsInputs:
    """The contents of Git LFS that steps of one commit need."""

    def __init__(self, ws: Workspace, source: Source) -> None:
        self.ws = ws
        self.source = source

    @cached_property
    def is_used(self) -> bool:
        """Whether to look for pointers at all."""
        if os.path.isdir(os.path.join(self.ws.location.common_dir, "lfs")):
            return True
        attributes = self.source.lookup(".gitattributes")
        return attributes is not None and not attributes.is_tree and b"filter=lfs" in self.source.read(attributes.oid)

    def lacking(self, action: Action) -> list[OutputRef]:
        """What an Action needs and is not on this machine."""
        if not self.is_used:
            return []
        found = {item.digest: item for item in pointers(self.ws, named_by(action.code, action.inputs))}
        return [
            OutputRef(item.path, POINTED, item.digest, item.size)
            for item in found.values()
            if file_of(self.ws.location, self.ws.store, item.digest) is None
        ]


def named_by(code: Iterable[CodeFile], inputs: Iterable[ActionInput]) -> list[tuple[str, str]]:
    """(path, oid) of the code, and of the inputs that come from the commit."""
    found = [(item.path, item.oid) for item in code]
    return found + [(item.mount, item.content.rpartition(":")[2]) for item in inputs if item.content.startswith("git:")]


def pointers(ws: Workspace, items: Iterable[tuple[str, str]]) -> Iterator[LfsPointer]:
    """The pointers among files, and in directories, given as (path, oid)."""
    for path, oid in items:
        header = ws.objects.files.header(oid)
        if (
            header is None
        ):  # a notebook in the form that steps have, which is not written yet; else the step will say so
            continue
        if header.kind == "blob":
            yield from _in_blob(ws.objects.files, path, oid, header.size)
        elif header.kind == "tree":
            kept = ws.index.fact(_IN_TREE, oid)
            if kept is None:
                kept = [list(item) for item in _in_tree(ws.objects.files, "", oid)]
                ws.index.remember(_IN_TREE, oid, kept)
            for below, digest, length in kept:
                yield LfsPointer(f"{path}/{below}", Digest(digest), length)


def _in_tree(objects: CommitFiles, path: str, oid: str) -> Iterator[LfsPointer]:
    for name, entry in objects.folder(oid).items():
        below = f"{path}/{name}" if path else name
        if entry.is_tree:
            yield from _in_tree(objects, below, entry.oid)
        elif not entry.is_submodule and not entry.is_link:
            yield from _in_blob(objects, below, entry.oid, objects.kind_size(entry.oid)[1])


def _in_blob(objects: CommitFiles, path: str, oid: str, size: int) -> Iterator[LfsPointer]:
    if size <= _LARGEST and is_pointer(content := objects.read(oid)):
        yield LfsPointer(path, *pointed_at(content, path))


def file_of(location: Location, store: LocalStore, digest: Digest) -> str | None:
    """The file that holds content of Git LFS on this machine: that of Git LFS itself, or ours. Its bytes are not checked."""
    known = local_lfs_object(location, digest)
    if known is None and os.path.isfile(kept := store.path_of(digest)):
        return kept
    return known
