"""Objects of Git on a machine that has no repository: each a file that its id is the hash of, so that none can lie.

A file holds what Git hashes, uncompressed: ``<kind> <size>\\0`` and the content. It may be lost or cut by a crash, and is hashed
whenever it is read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping

from gitml.core.model.protocols import Entry
from gitml.errors import Guard, IntegrityError
from gitml.files import write_all
from gitml.git.objects.reader import parse_tree, tree_of_commit

_CHUNK = 2**20
_PARTIAL = "tmp-"
_ALGORITHMS = {40: "sha1", 64: "sha256"}


class LooseObjects:
    """The folder `root`; fulfils `execute.interfaces.GitObjectReader`. For one thread; processes may share a folder."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._trees: dict[str, Mapping[str, Entry]] = {}

    def path_of(self, oid: str) -> str:
        """Where the object is, or would be."""
        return f"{self.root}/{oid[:2]}/{oid[2:]}"

    def size(self, oid: str) -> int | None:
        """Bytes of the object's file, None when it is not here."""
        try:
            return os.stat(self.path_of(oid)).st_size
        except FileNotFoundError:
            return None

    def incoming(self, oid: str, size: int) -> LooseObjectWriter:
        """An object of `size` bytes that arrives in pieces."""
        return LooseObjectWriter(self, oid, size)

    def read(self, oid: str) -> bytes:
        """The content of the object `oid`. IntegrityError when it is not here."""
        return self._loaded(oid)[1]

    def tree(self, oid: str) -> Mapping[str, Entry]:
        """The names directly in the tree `oid`."""
        known = self._trees.get(oid)
        if known is None:
            kind, content = self._loaded(oid)
            if kind != b"tree":
                raise IntegrityError(f"not a tree: {oid}", where=self.path_of(oid))
            known = self._trees[oid] = parse_tree(content, len(oid) // 2)
        return known

    def folder(self, oid: str) -> Mapping[str, Entry]:
        """The same, with submodules as folders: what is here of a folder is all of it."""
        entries = self.tree(oid)
        if not any(entry.is_submodule for entry in entries.values()):
            return entries
        return {name: self._followed(entry) for name, entry in entries.items()}

    def _followed(self, entry: Entry) -> Entry:
        return Entry("40000", tree_of_commit(self.read(entry.oid))) if entry.is_submodule else entry

    def stream(self, oid: str, write: Callable[[bytes], object]) -> int:
        """Gives the content of the blob `oid` to `write` in chunks; its size. IntegrityError, at the end, when it is damaged."""
        try:
            file = open(self.path_of(oid), "rb", buffering=0)  # noqa: SIM115
        except FileNotFoundError:
            raise self._missing(oid) from None
        with file:
            hasher = hashlib.new(_ALGORITHMS[len(oid)])
            chunk = file.read(_CHUNK)
            hasher.update(chunk)
            content = chunk[chunk.find(b"\0") + 1 :]
            size = len(content)
            write(content)
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
                size += len(chunk)
                write(chunk)
        if hasher.hexdigest() != oid:
            raise self._damaged(oid)
        return size

    def read_many(self, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """(oid, content) of each blob in order."""
        for oid in oids:
            yield oid, self.read(oid)

    def _loaded(self, oid: str) -> tuple[bytes, bytes]:
        try:
            with open(self.path_of(oid), "rb", buffering=0) as file:
                raw = file.read()
        except FileNotFoundError:
            raise self._missing(oid) from None
        if hashlib.new(_ALGORITHMS[len(oid)], raw).hexdigest() != oid:
            raise self._damaged(oid)
        header, _, content = raw.partition(b"\0")
        return header.partition(b" ")[0], content

    def _missing(self, oid: str) -> IntegrityError:
        return IntegrityError(f"Git object {oid} did not come to this machine", where=self.root, hint="run again")

    def _damaged(self, oid: str) -> IntegrityError:
        """It is removed, so that it comes again."""
        path = self.path_of(oid)
        if os.path.lexists(path):
            os.unlink(path)
        return IntegrityError(f"Git object {oid} was damaged on this machine", where=path, hint="run again")


def is_partial(name: str) -> bool:
    """Whether a file in a shelf's folder is an object on its way in."""
    return name.startswith(_PARTIAL)


class LooseObjectWriter:
    """An object of Git on its way in, in order. `position` is how much is here: go on there after a cut."""

    def __init__(self, shelf: LooseObjects, oid: str, size: int) -> None:
        self.position = 0
        self.size = size
        self._shelf = shelf
        self._oid = oid
        self._hash = hashlib.new(_ALGORITHMS[len(oid)])
        self._path = os.path.join(shelf.root, f"{_PARTIAL}{os.getpid()}-{os.urandom(6).hex()}")
        os.makedirs(shelf.root, exist_ok=True)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)

    def write(self, piece: bytes | memoryview) -> None:
        """Adds the next piece; MachineError when the disk refuses."""
        self._hash.update(piece)
        with Guard(self._shelf.root):
            write_all(self._fd, piece)
        self.position += len(piece)

    def commit(self) -> None:
        """Makes it an object; IntegrityError, with nothing kept, when it is not what its id says."""
        if self._hash.hexdigest() != self._oid:
            self.abandon()
            raise IntegrityError(f"other bytes arrived than asked for, for Git object {self._oid}", hint="git fsck")
        os.close(self._fd)
        self._fd = -1
        target = self._shelf.path_of(self._oid)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(self._path, target)

    def abandon(self) -> None:
        """Gives it up; nothing is left of it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if os.path.lexists(self._path):
            os.unlink(self._path)
