"""Where things lie in a remote store, relative to its URL.

``objects/ab/<62 hex>``  an object: a file, or a pack
``trees/ab/<62 hex>``    the manifest of a Tree
``gc.json``              the notes of gc
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from gitml.core.config.remotes import MANIFEST_LARGEST, RemoteSpec, StoredObject
from gitml.core.model.digest import Digest, from_hex, hex_of
from gitml.core.model.protocols import RemoteObject
from gitml.errors import IntegrityError

OBJECTS, TREES, NOTE = "objects", "trees", "gc.json"
NOTE_LARGEST = 24 << 20
"""Bytes of the notes of gc; of larger ones no more than that is read."""
_STALE = 86400.0  # seconds; a temporary that old was left by a writer that is gone


def key_of(folder: str, digest: Digest) -> str:
    """``objects/ab/cdef…``."""
    name = hex_of(digest)
    return f"{folder}/{name[:2]}/{name[2:]}"


def lfs_key_of(folder: str, digest: Digest) -> str:
    """Where Git LFS keeps an object: ``objects/ab/cd/abcdef…``."""
    name = hex_of(digest)
    return f"{folder}/{name[:2]}/{name[2:4]}/{name}"


def digest_in(key: str) -> tuple[str, Digest] | None:
    """(folder, Digest) of a key that `key_of` made, None for any other."""
    parts = key.split("/")
    if len(parts) != 3 or parts[0] not in (OBJECTS, TREES) or len(parts[1]) != 2:
        return None
    try:
        return parts[0], from_hex(parts[1] + parts[2])
    except ValueError:
        return None


def missing_object(digest: Digest, place: str) -> IntegrityError:
    """The error for an object that a remote does not have."""
    return IntegrityError(f"{digest[:19]}… is not there", where=place, hint="gitml fsck --remote NAME --repair")


def damaged_object(digest: Digest, found: str) -> IntegrityError:
    """The error for an object of this machine whose bytes are not what its name says."""
    return IntegrityError(f"{digest[:19]}… is damaged: its content is sha256:{found}", hint="gitml fsck --repair")


class KeyedRemote(ABC):
    """What remote stores have in common that keep files at paths below `root`: a backend looks at, reads and writes these."""

    def __init__(self, spec: RemoteSpec, root: str, place: str, key: Callable[[str, Digest], str] = key_of) -> None:
        self.name = spec.name
        self.identity = spec.identity
        self.place = place
        self.root = root
        self._key = key

    def present(self, wanted: Sequence[StoredObject]) -> set[Digest]:
        """Which of these are there in that size."""
        sizes = self._sizes([self._path(OBJECTS, item.digest) for item in wanted])
        return {item.digest for item, size in zip(wanted, sizes, strict=True) if size == item.size}

    def lacking(self, wanted: Sequence[StoredObject]) -> set[Digest]:
        """Which of these an upload has to transfer."""
        return {item.digest for item in wanted} - self.present(wanted)

    def expect(self, wanted: Sequence[StoredObject]) -> None:  # noqa: B027 - not every backend has something to do
        """Nothing is prepared for these."""

    def with_manifest(self, trees: Sequence[Digest]) -> set[Digest]:
        """Which of these Trees have a manifest there."""
        sizes = self._sizes([self._path(TREES, tree) for tree in trees])
        return {tree for tree, size in zip(trees, sizes, strict=True) if size is not None}

    def manifest(self, tree: Digest) -> bytes | None:
        """The manifest of a Tree."""
        return self._read(self._path(TREES, tree), MANIFEST_LARGEST)

    def put_manifests(self, manifests: Mapping[Digest, bytes]) -> None:
        """Writes manifests."""
        self._write_each([(self._path(TREES, tree), content) for tree, content in manifests.items()])

    def note(self) -> bytes | None:
        """The notes of gc."""
        return self._read(f"{self.root}/{NOTE}", NOTE_LARGEST)

    def set_note(self, content: bytes) -> None:
        """Keeps the notes of gc."""
        self._write(f"{self.root}/{NOTE}", content)

    def listed(self) -> Iterator[RemoteObject]:
        """Everything in it; temporaries whose writer is gone are removed on the way."""
        for folder in (OBJECTS, TREES):
            for path, size, written in self._files(folder):
                known = digest_in("/".join(path.rsplit("/", 3)[1:]))
                if known is not None:
                    yield RemoteObject(known[1], size, folder == TREES, written)
                elif is_temporary(path.rpartition("/")[2]) and written < time.time() - _STALE:
                    self._remove(path)

    def delete(self, item: RemoteObject) -> None:
        """Deletes one."""
        self._remove(self._path(TREES if item.manifest else OBJECTS, item.digest))

    def close(self) -> None:  # noqa: B027
        """Nothing is open that does not end with the process, or serves others too."""

    def _path(self, folder: str, digest: Digest) -> str:
        return f"{self.root}/{self._key(folder, digest)}"

    def _write_each(self, contents: Sequence[tuple[str, bytes]]) -> None:
        for path, content in contents:
            self._write(path, content)

    @abstractmethod
    def _sizes(self, paths: Sequence[str]) -> Iterable[int | None]:
        """The bytes of each file, None for one that is not there."""

    @abstractmethod
    def _read(self, path: str, most: int) -> bytes | None:
        """A small file; of one that is too large more than it may have, of what is no ordinary file nothing."""

    @abstractmethod
    def _write(self, path: str, content: bytes) -> None:
        """Writes a file, whole or not at all."""

    @abstractmethod
    def _remove(self, path: str) -> None:
        """Removes a file, if it is there."""

    @abstractmethod
    def _files(self, folder: str) -> Iterator[tuple[str, int, float]]:
        """(path, bytes, when it was written) of each file in a folder of the store."""


def is_temporary(name: str) -> bool:
    """Whether a file is one that is being written."""
    return name.startswith(".") and name.endswith(".tmp")
