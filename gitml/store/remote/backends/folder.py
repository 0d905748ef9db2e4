"""A remote store in a folder that several machines or clones share: ``file:///srv/store``, and Git LFS of a local remote.

Objects are written beside their place, synced and renamed, so no reader meets half of one, whenever the writer is killed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from gitml.core.config.remotes import RemoteSpec, StoredObject
from gitml.core.model.digest import Digest, hex_of
from gitml.core.model.protocols import Download
from gitml.errors import Guard, IntegrityError, RemoteError, how_to_mend
from gitml.files import closing_fd, opened, write_all
from gitml.store.local import disk
from gitml.store.remote.backends.partial_upload import KEPT, kept_name
from gitml.store.remote.layout import OBJECTS, KeyedRemote, damaged_object, key_of, missing_object
from gitml.store.remote.transfer.file_copy import copy_hashed

_FULL = (errno.ENOSPC, errno.EDQUOT)


class FolderRemote(KeyedRemote):
    """The remote store below `root`. Nothing is made until something is put."""

    parallel = 3

    def __init__(self, spec: RemoteSpec, root: str, key: Callable[[str, Digest], str] = key_of) -> None:
        super().__init__(spec, root, f"file://{root}", key)
        self._folders: set[str] = set()

    def put(self, item: StoredObject, source: str | bytes, moved: Callable[[int], None]) -> None:
        """Copies a file or bytes there, hashed on the way. A large file goes on where a copy of it was cut off."""
        if isinstance(source, bytes):
            self._write(self._path(OBJECTS, item.digest), source)
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

    # Files

    def _reach(self) -> None:
        """RemoteError unless the folder is there, or can be made: a share that is not mounted must not pass for an empty one."""
        if os.path.isdir(self.root):
            return
        if os.path.exists(self.root):
            raise RemoteError("not a folder", where=self.place, hint="fix the URL in gitml.yaml")
        if not os.path.isdir(os.path.dirname(self.root.rstrip("/"))):
            raise RemoteError("no such folder", where=self.place, hint="mount it, or make it")

    def _sizes(self, paths: Sequence[str]) -> Iterable[int | None]:
        self._reach()
        return map(self._size, paths)

    def _size(self, path: str) -> int | None:
        with self._answering(), suppress(FileNotFoundError, NotADirectoryError):
            found = os.lstat(path)
            return found.st_size if stat.S_ISREG(found.st_mode) else None
        return None

    def _files(self, folder: str) -> Iterator[tuple[str, int, float]]:
        for place, _, names in os.walk(f"{self.root}/{folder}"):
            for path in (f"{place}/{name}" for name in names):
                with self._answering(), suppress(FileNotFoundError):
                    found = os.lstat(path)
                    if stat.S_ISREG(found.st_mode):
                        yield path, found.st_size, found.st_mtime

    def _remove(self, path: str) -> None:
        with self._answering(), suppress(FileNotFoundError):
            os.unlink(path)

    def _read(self, path: str, most: int) -> bytes | None:
        try:
            fd = self._opened(path)
        except FileNotFoundError:
            self._reach()
            return None
        if fd is None:
            return b""
        with open(fd, "rb") as file, self._answering():
            return file.read(most + 1)

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

    def _write(self, path: str, content: bytes) -> None:
        with self._fresh(path) as (fresh, fd):
            write_all(fd, content)
            self._publish(fresh, fd, path)

    @contextmanager
    def _fresh(self, path: str, kept: str = "") -> Iterator[tuple[str, int]]:
        """A temporary beside its place, open for reading and writing; gone in the end unless it was renamed.

        One with a `kept` name stays for the next upload to resume when this one fails, unless the disk is full or it was wrong.
        """
        folder = os.path.dirname(path)
        with self._answering():
            if folder not in self._folders:
                self._reach()
                self._make(folder)
                self._folders.add(folder)
            fresh = f"{folder}/{kept}"
            fd = _left(fresh) if kept else None
            if fd is None:
                kept = ""
                fresh = f"{folder}/.{os.getpid()}-{os.urandom(6).hex()}.tmp"
                fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with closing_fd(fd):
                try:
                    yield fresh, fd
                except BaseException as error:
                    is_of_use = (
                        kept and not isinstance(error, IntegrityError) and getattr(error, "errno", 0) not in _FULL
                    )
                    if not is_of_use and os.path.lexists(fresh):
                        os.unlink(fresh)
                    raise

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

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """What the disk of the folder refuses is the remote's failure."""
        try:
            yield
        except OSError as error:
            raise self._refused(error) from error

    def _chunks(self, fd: int, start: int) -> Iterator[bytes]:
        with closing_fd(fd), self._answering():
            os.lseek(fd, start, os.SEEK_SET)
            while chunk := os.read(fd, disk.CHUNK):
                yield chunk


def _left(path: str) -> int | None:
    """Opens what an upload left; None when another process or another user is at it: then this one begins its own."""
    try:
        return disk.reopen(path)
    except OSError:  # or where nothing can be locked
        return None


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
