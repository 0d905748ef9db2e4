"""A commit's files as a Source, and what a directory of them holds that needs care."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from gitml.core.model.links import init_command
from gitml.core.model.protocols import Entry, Source
from gitml.errors import InputError
from gitml.git.objects.reader import Objects, tree_of_commit

LARGEST = 32 << 20
"""Bytes of a file of a commit that is read whole: settings have limits of their own, and no code is as large."""


class TreeSource:
    """The files of the Git tree `tree`."""

    def __init__(self, objects: Objects, tree: str) -> None:
        self._files = objects.files
        self.tree = tree

    def lookup(self, path: str) -> Entry | None:
        """What is at `path` (the root for ``""``), None when nothing is. InputError when the way leads through a submodule."""
        entry = Entry("40000", self.tree)
        if not path:
            return entry
        names = path.split("/")
        for depth, name in enumerate(names):
            if not entry.is_tree:
                if entry.is_submodule:
                    raise in_submodule(path, "/".join(names[:depth]))
                return None
            found = self._files.folder(entry.oid).get(name)
            if found is None:
                return None
            entry = found
        return entry

    def link_above(self, path: str) -> str | None:
        """The first link among the folders that lead to `path`; None when there is none."""
        names = path.split("/")
        entry: Entry | None = Entry("40000", self.tree)
        for depth, name in enumerate(names[:-1]):
            entry = self._files.folder(entry.oid).get(name) if entry is not None and entry.is_tree else None
            if entry is None:
                return None
            if entry.is_link:
                return "/".join(names[: depth + 1])
        return None

    def children(self, oid: str) -> Mapping[str, Entry]:
        """The names directly in the tree `oid`."""
        return self._files.folder(oid)

    def top(self) -> Collection[str]:
        """The names at the root."""
        return self._files.folder(self.tree).keys()

    def names_in(self, folder: str) -> Collection[str]:
        """The names in a folder."""
        entry = TreeSource.lookup(self, folder)
        return self._files.folder(entry.oid).keys() if entry is not None and entry.is_tree else ()

    def read(self, oid: str) -> bytes:
        """The content of the blob `oid`, text of gitml's or code. InputError for more than 32 MiB."""
        return self._files.read(oid, LARGEST)


class CommitSource(TreeSource):
    """The files of `commit`, a full commit id. IntegrityError when the commit is not here."""

    def __init__(self, objects: Objects, commit: str) -> None:
        super().__init__(objects, tree_of_commit(objects.read(commit)))
        self.commit = commit


class ListableSource(Source, Protocol):
    """A Source that can list a folder without anything counting as used."""

    def names_in(self, folder: str) -> Collection[str]:
        """The names in a folder."""


class FolderSource:
    """The files of `folder` of another Source, as if it were the root."""

    def __init__(self, inner: ListableSource, folder: str) -> None:
        self.inner = inner
        self.folder = folder

    def lookup(self, path: str) -> Entry | None:
        """What is at `path`."""
        return self.inner.lookup(self._whole(path))

    def link_above(self, path: str) -> str | None:
        """The first link among the folders that lead to `path`, below the root."""
        link = self.inner.link_above(self._whole(path))
        below = self.folder + "/"
        return link.removeprefix(below) if link is not None and link.startswith(below) else None

    def children(self, oid: str) -> Mapping[str, Entry]:
        """The names directly in the tree `oid`."""
        return self.inner.children(oid)

    def top(self) -> Collection[str]:
        """The names at the root."""
        return self.inner.names_in(self.folder)

    def read(self, oid: str) -> bytes:
        """The content of the blob `oid`."""
        return self.inner.read(oid)

    def _whole(self, path: str) -> str:
        return f"{self.folder}/{path}" if path else self.folder


def settings_in(source: Source, entry: Entry, path: str) -> bytes:
    """What a file says that gitml obeys. InputError for a link, a folder, a submodule: it must lie there itself."""
    if entry.is_link or entry.is_tree or entry.is_submodule:
        what = "a link" if entry.is_link else "a folder" if entry.is_tree else "a submodule"
        raise InputError(f"{what}, where a file must be", where=path, hint="put the file itself in its place")
    try:
        return source.read(entry.oid)
    except InputError as error:
        error.where = path
        raise


def in_submodule(path: str, submodule: str) -> InputError:
    """The error for a path that leads into a submodule whose commit is not here."""
    return InputError(f"{submodule} is a submodule whose commit is not here", where=path, hint=init_command(submodule))
