"""A remote store in a folder that several machines or clones share: ``file:///srv/store``, and Git LFS of a local remote.

Objects are written beside their place, synced and renamed, so no reader meets half of one, whenever the writer is killed.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from gitml.core.config.remotes import MANIFEST_LARGEST, RemoteSpec, StoredObject
from gitml.core.model.digest import Digest, hex_of
from gitml.core.model.protocols import Download, RemoteObject
from gitml.errors import GitmlError, Guard, IntegrityError, RemoteError, how_to_mend
from gitml.files import opened, write_all
from gitml.store.local import disk
from gitml.store.remote.backends.partial_upload import KEPT, STALE, is_temporary, kept_name, lock_alone
from gitml.store.remote.layout import (
    NOTE,
    NOTE_LARGEST,
    OBJECTS,
    TREES,
    damaged_object,
    digest_in,
    key_of,
    missing_object,
)
from gitml.store.remote.transfer.file_copy import copy_hashed

_FULL = (errno.ENOSPC, errno.EDQUOT)


class FolderRemote:
    """The remote store below `root`. Nothing is made until something is put."""

    parallel = 3

    def __init__(self, spec: RemoteSpec, root: str, key: Callable[[str, Digest], str] = key_of) -> None:
        self.name = spec.name
        self.root = root
        self.place = f"file://{root}"
        self.identity = spec.identity
        self._key = key
        self._folders: set[str] = set()

    def present(self, wanted: Sequence[StoredObject]) -> set[Digest]:
        """Which of these are there in that size."""
        self._reach()
        return {item.digest for item in wanted if self._size(self._path(OBJECTS, item.digest)) == item.size}

    def lacking(self, wanted: Sequence[StoredObject]) -> set[Digest]:
        """Which of these an upload has to transfer."""
        return {item.digest for item in wanted} - self.present(wanted)

    def expect(self, wanted: Sequence[StoredObject]) -> None:
        """Nothing is prepared for these."""

    def put(self, item: StoredObject, source: str | bytes, moved: Callable[[int], None]) -> None:
        """Copies a file or bytes there, hashed on the way. A large file goes on where a copy of it was cut off."""
        if isinstance(source, bytes):
            self._write(OBJECTS, item.digest, source)
            moved(len(source))
            return
        path = self._path(OBJECTS, item.digest)
        with Guard(source):
            kept = kept_name(item.digest, source) if item.size >= KEPT else ""
        with self._fresh(path, kept) as (fresh, fd):
            with Guard(source):
                reading = opened(source, os.O_RDONLY | os.O_NOFOLLOW)
            with reading as given:
                found = _copied(given, fd, moved)
            if found != hex_of(item.digest):
                raise damaged_object(item.digest, found)
            self._publish(fresh, fd, path)

    def get(self, item: StoredObject, start: int = 0) -> Download:
        """The object's bytes from `start` on."""
        path = self._path(OBJECTS, item.digest)
        try:
            fd = self._opened(path)
        except FileNotFoundError:
            self._reach()
            raise missing_object(item.digest, self.place) from None
        if fd is None:
            raise IntegrityError(f"{item.digest[:19]}… is no ordinary file there", where=path, hint="remove it there")
        return Download(start, self._chunks(fd, start), fd)

    def with_manifest(self, trees: Sequence[Digest]) -> set[Digest]:
        """Which of these Trees have a manifest there."""
        self._reach()
        return {tree for tree in trees if self._size(self._path(TREES, tree)) is not None}

    def manifest(self, tree: Digest) -> bytes | None:
        """The manifest of a Tree."""
        return self._read(self._path(TREES, tree), MANIFEST_LARGEST)

    def put_manifests(self, manifests: Mapping[Digest, bytes]) -> None:
        """Writes manifests."""
        for tree, content in manifests.items():
            self._write(TREES, tree, content)

    def close(self) -> None:
        """Nothing is open."""

    # Keeping house

    def listed(self) -> Iterator[RemoteObject]:
        """Everything in it; temporaries whose writer is gone are removed on the way."""
        for folder in (OBJECTS, TREES):
            for place, _, names in os.walk(os.path.join(self.root, folder)):
                for name in names:
                    path = os.path.join(place, name)
                    known = digest_in(os.path.relpath(path, self.root))
                    try:
                        found = os.lstat(path)
                        if known is not None and stat.S_ISREG(found.st_mode):
                            yield RemoteObject(known[1], found.st_size, known[0] == TREES, found.st_mtime)
                        elif known is None and is_temporary(name) and found.st_mtime < time.time() - STALE:
                            os.unlink(path)
                    except FileNotFoundError:
                        continue

    def delete(self, item: RemoteObject) -> None:
        """Deletes one."""
        try:
            os.unlink(self._path(TREES if item.manifest else OBJECTS, item.digest))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._refused(error) from error

    def note(self) -> bytes | None:
        """The notes of gc."""
        return self._read(os.path.join(self.root, NOTE), NOTE_LARGEST)

    def set_note(self, content: bytes) -> None:
        """Keeps the notes of gc."""
        self._write_to(os.path.join(self.root, NOTE), content)

    # Files

    def _path(self, folder: str, digest: Digest) -> str:
        return f"{self.root}/{self._key(folder, digest)}"

    def _reach(self) -> None:
        """RemoteError unless the folder is there, or can be made: a share that is not mounted must not pass for an empty one."""
        if os.path.isdir(self.root):
            return
        if os.path.exists(self.root):
            raise RemoteError("not a folder", where=self.place, hint="fix the URL in gitml.yaml")
        if not os.path.isdir(os.path.dirname(self.root.rstrip("/"))):
            raise RemoteError("no such folder", where=self.place, hint="mount it, or make it")

    def _size(self, path: str) -> int | None:
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._refused(error) from error
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def _read(self, path: str, most: int) -> bytes | None:
        """A small file; of one that is too large more than it may have, of what is no ordinary file nothing."""
        try:
            fd = self._opened(path)
        except FileNotFoundError:
            self._reach()
            return None
        if fd is None:
            return b""
        with open(fd, "rb") as file:
            try:
                return file.read(most + 1)
            except OSError as error:
                raise self._refused(error) from error

    def _opened(self, path: str) -> int | None:
        """A file to be read; None for a pipe, a device, a folder or a link: a reader could wait for ever."""
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):  # to open some devices does something
                return None
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ELOOP):  # it became a socket or a link
                return None
            raise self._refused(error) from error
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        return None

    def _write(self, folder: str, digest: Digest, content: bytes) -> None:
        self._write_to(self._path(folder, digest), content)

    def _write_to(self, path: str, content: bytes) -> None:
        with self._fresh(path) as (fresh, fd):
            write_all(fd, content)
            self._publish(fresh, fd, path)

    def _fresh(self, path: str, kept: str = "") -> _Fresh:
        folder = os.path.dirname(path)
        if folder not in self._folders:
            self._reach()
            try:
                self._make(folder)
            except OSError as error:
                raise self._refused(error) from error
            self._folders.add(folder)
        return _Fresh(self, folder, kept)

    def _make(self, folder: str) -> None:
        """Makes a folder with the mode of its parent, so that all users of the store may write everywhere in it."""
        if os.path.isdir(folder):
            if os.path.islink(folder) and os.path.dirname(os.path.dirname(folder)) == self.root.rstrip("/"):
                # objects/ab, which gitml makes itself; the whole of objects may well lie on another disk
                raise RemoteError("a link is where a folder of the store must be", where=folder, hint="remove it there")
            return
        above = os.path.dirname(folder)
        self._make(above)
        try:
            os.mkdir(folder)
        except FileExistsError:
            return
        rights = stat.S_IMODE(os.stat(above).st_mode)
        if len(folder) > len(self.root.rstrip("/")) or rights & stat.S_ISGID:
            os.chmod(folder, rights)
        disk.sync_path(os.path.realpath(above))

    def _publish(self, fresh: str, fd: int, path: str) -> None:
        os.fchmod(fd, 0o444)
        os.fsync(fd)
        os.rename(fresh, path)
        disk.sync_path(os.path.dirname(path))

    def _refused(self, error: OSError) -> RemoteError:
        hint = "free some space there" if error.errno in _FULL else how_to_mend(error, self.root)
        return RemoteError(f"the remote refused: {error.strerror or error}", where=self.place, hint=hint)

    def _chunks(self, fd: int, start: int) -> Iterator[bytes]:
        try:
            os.lseek(fd, start, os.SEEK_SET)
            while chunk := os.read(fd, disk.CHUNK):
                yield chunk
        except OSError as error:
            raise self._refused(error) from error
        finally:
            os.close(fd)


class _Fresh:
    """A temporary beside its place, open for reading and writing; gone in the end unless it was renamed.

    One with a `kept` name stays for the next upload to resume when this one fails, unless the disk is full or it was wrong.
    """

    def __init__(self, remote: FolderRemote, folder: str, kept: str) -> None:
        self._remote = remote
        self._kept = kept
        self._folder = folder
        self.path = f"{folder}/{kept}"
        self.fd = -1

    def __enter__(self) -> tuple[str, int]:
        try:
            if self._kept and self._goes_on():
                return self.path, self.fd
            self._kept = ""
            self.path = f"{self._folder}/.{os.getpid()}-{os.urandom(6).hex()}.tmp"
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            self.fd = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise self._remote._refused(error) from error
        return self.path, self.fd

    def _goes_on(self) -> bool:
        """Opens what was left; False when another process or another user is at it: then this one begins its own."""
        try:
            fd = disk.reopen(self.path)
        except PermissionError:
            return False
        if fd is None:
            return False
        if lock_alone(fd) and disk.is_at(self.path, fd):
            self.fd = fd
            return True
        os.close(fd)
        return False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        of_use = bool(self._kept) and not isinstance(error, IntegrityError) and getattr(error, "errno", 0) not in _FULL
        if error is not None and not of_use and os.path.lexists(self.path):
            os.unlink(self.path)
        os.close(self.fd)
        if isinstance(error, OSError) and not isinstance(error, GitmlError):
            raise self._remote._refused(error) from error


def _copied(source: int, target: int, moved: Callable[[int], None]) -> str:
    """Copies an open file to another, going on from what is there and is the same; the sha256 of the source."""
    before = os.fstat(source)
    begun = 0
    while (chunk := os.pread(target, disk.CHUNK, begun)) and os.pread(source, len(chunk), begun) == chunk:
        begun += len(chunk)
        moved(len(chunk))
    os.ftruncate(target, begun)
    found = copy_hashed(source, target, begun, moved)
    after = os.fstat(source)
    unchanged = (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
    return found if unchanged else "unknown: it was changed meanwhile"
