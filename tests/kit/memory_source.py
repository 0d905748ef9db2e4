"""MemorySource: the Source protocol over a dictionary of files, with the object ids that Git would give them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from gitml.core.model.protocols import Entry
from gitml.errors import InputError

FILE, EXECUTABLE, LINK, SUBMODULE, TREE = "100644", "100755", "120000", "160000", "40000"


class Link(str):
    """A symbolic link to this target."""


class Program(str):
    """An executable file with this content."""


class Submodule(str):
    """A commit of another repository, by its id."""


Content = str | bytes  # or a Link, a Program, a Submodule


class MemorySource:
    """The files of one commit: `files` maps a path to its content. `read_oids` tells which blobs were read."""

    def __init__(self, files: Mapping[str, Content]) -> None:
        self.blobs: dict[str, bytes] = {}
        self.trees: dict[str, dict[str, Entry]] = {}
        self.read_oids: list[str] = []
        self.root = self._tree({tuple(path.split("/")): content for path, content in files.items()})

    def lookup(self, path: str) -> Entry | None:
        entry = Entry(TREE, self.root)
        if not path:
            return entry
        for name in path.split("/"):
            if entry.is_submodule:
                raise InputError(f"{path} leads through a submodule")
            found = self.trees[entry.oid].get(name) if entry.is_tree else None
            if found is None:
                return None
            entry = found
        return entry

    def link_above(self, path: str) -> str | None:
        for index, char in enumerate(path):
            entry = self.lookup(path[:index]) if char == "/" else None
            if entry is not None and entry.is_link:
                return path[:index]
        return None

    def children(self, oid: str) -> Mapping[str, Entry]:
        return self.trees[oid]

    def top(self) -> Collection[str]:
        return self.trees[self.root].keys()

    def read(self, oid: str) -> bytes:
        self.read_oids.append(oid)
        return self.blobs[oid]

    def _tree(self, files: Mapping[tuple[str, ...], Content]) -> str:
        below: dict[str, dict[tuple[str, ...], Content]] = {}
        entries: dict[str, Entry] = {}
        for parts, content in files.items():
            if len(parts) > 1:
                below.setdefault(parts[0], {})[parts[1:]] = content
            else:
                entries[parts[0]] = self._entry(content)
        for name, inner in below.items():
            entries[name] = Entry(TREE, self._tree(inner))
        encoded = b"".join(
            f"{entry.mode} {name}".encode("utf-8", "surrogateescape") + b"\0" + bytes.fromhex(entry.oid)
            for name, entry in sorted(entries.items(), key=lambda item: item[0] + "/" * item[1].is_tree)
        )
        oid = object_id("tree", encoded)
        self.trees[oid] = entries
        return oid

    def _entry(self, content: Content) -> Entry:
        if isinstance(content, Submodule):
            return Entry(SUBMODULE, str(content))
        mode = LINK if isinstance(content, Link) else EXECUTABLE if isinstance(content, Program) else FILE
        encoded = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        oid = object_id("blob", encoded)
        self.blobs[oid] = encoded
        return Entry(mode, oid)


class MemoryFacts:
    """The Facts protocol over a dictionary."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Any] = {}

    def fact(self, kind: str, id: str) -> Any | None:
        return self.known.get((kind, id))

    def remember(self, kind: str, id: str, value: Any) -> None:
        self.known[kind, id] = value


def object_id(kind: str, content: bytes) -> str:
    """The id Git gives an object."""
    return hashlib.sha1(b"%s %d\0%s" % (kind.encode(), len(content), content)).hexdigest()
