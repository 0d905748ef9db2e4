"""Unpacks the layers of an image, in a process whose root is the folder that they go into: no path of a layer leads out of it.

Everything belongs to the user who unpacks, as with engines that run without root. What only root can give is left out: owners,
setuid and setgid bits, devices, file capabilities. What a layer removes of those below it, by a whiteout, is removed; what it has
itself stays (OCI image-spec 1.1, `layer.md`). Content is right when each layer, uncompressed, has the digest that the image's
configuration gives, so that it does not matter which tool fetched it, nor how it was compressed.
"""

from __future__ import annotations

import copy
import errno
import gzip
import hashlib
import os
import posixpath
import stat
import tarfile
import zlib
from collections.abc import Callable, Sequence
from typing import IO, NamedTuple, Protocol, cast

import gitml.childprocess  # noqa: F401  `remove_tree` may ask for it where no module can be found any more
from gitml.execute.sandbox.removal import remove_tree
from gitml.files import write_all

_WHITEOUT, _OPAQUE, _RESERVED = ".wh.", ".wh..wh..opq", ".wh..wh."
_PIECE = 2**20
_LARGEST_HEADER = 2**20  # bytes of a name, or of attributes, before an entry: they are held in memory
_LONGEST_PATH = 4095
_LARGEST_FILE = 2**44  # bytes that a file with holes, which take no room in a layer, may have
_SOME = 2**34  # bytes that any image may unpack to, and as many times what was fetched as the next
_RATIO = 100
# what the kernel says of paths and links that make no sense; all else is the disk's
_OF_LAYER = frozenset(
    (
        *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
        *(errno.ENOENT, errno.ENOTEMPTY, errno.EMLINK),
    )
)
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_FOLDER_MODE = 0o755


class BadLayerError(Exception):
    """A layer is not what the image's configuration says, or not as specified; its text says how."""


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes:
        """Some bytes, none at the end."""


class PackedLayer(NamedTuple):
    """A layer that can be read, uncompressed, from `stream`; `diff_id` is the digest that it must have.

    `size` is that of the file which it is read from.
    """

    stream: _Readable
    diff_id: str
    size: int


class _Hashed:
    """A stream that is hashed while it is read. BadLayerError when it has more than `most` bytes."""

    def __init__(self, stream: _Readable, most: int) -> None:
        self._stream = stream
        self._most = most
        self.size = 0
        self.hasher = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """As of the stream."""
        try:
            part = self._stream.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BadLayerError(f"it can't be uncompressed: {error}") from error
        self.size += len(part)
        if self.size > self._most:
            raise BadLayerError(f"the image unpacks to more than {_RATIO} times what is fetched of it")
        self.hasher.update(part)
        return part


class _Entry(tarfile.TarInfo):
    """An entry whose name and attributes are of a size that can be held in memory."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENDED and self.size > _LARGEST_HEADER:
            raise BadLayerError("an entry has attributes of more than 1 MiB")
        return super()._proc_member(archive)  # type: ignore[misc, no-any-return]  # a hook that typeshed leaves out


class LayerUnpacker:
    """Unpacks layers into the root of this process, the lowest first. `report` is called with the bytes written, now and then.

    `packed` is what all the layers take as they were fetched, in bytes.
    """

    def __init__(self, packed: int, report: Callable[[int], object] = lambda size: None) -> None:
        self._report = report
        self._written = 0
        self._left = max(_SOME, _RATIO * packed)
        self._folders: dict[str, tuple[int, int]] = {}  # mode and time (ns) of each, set in the end
        self._own: set[str] = {"/"}  # what the layer has itself, and the folders above it

    def unpack(self, layer: PackedLayer) -> None:
        """Adds a layer. BadLayerError when it is broken, OSError when the disk refuses."""
        self._own = {"/"}
        stream = _Hashed(layer.stream, self._left)
        try:
            self._add_all(stream)
        except tarfile.ReadError as error:
            if str(error) != "empty file" or stream.read(1):
                raise BadLayerError(f"it can't be read: {error}") from error
        except OSError as error:
            if error.errno not in _OF_LAYER:
                raise
            where = str(error.filename2 or error.filename)[:80]  # of a link, its own name is the second
            raise BadLayerError(f"{where!r} can't be made: {error.strerror}") from error
        except RecursionError as error:
            raise BadLayerError("something in it is nested too deeply") from error
        except MemoryError as error:
            raise BadLayerError("its entries take too much memory") from error
        except (
            tarfile.TarError,
            ValueError,
            LookupError,
            ArithmeticError,
        ) as error:  # of `tarfile`, for a damaged header
            raise BadLayerError(f"it can't be read: {error}") from error
        while stream.read(_PIECE):
            continue
        if "sha256:" + stream.hasher.hexdigest() != layer.diff_id:
            raise BadLayerError("its bytes are not those of its digest")
        self._left -= stream.size

    def _add_all(self, stream: _Hashed) -> None:
        """Adds what an archive has."""
        with tarfile.open(
            fileobj=cast("IO[bytes]", stream),  # it is read, and nothing else
            mode="r|",
            bufsize=_PIECE,
            tarinfo=_Entry,
            encoding="utf-8",
            errors="surrogateescape",
        ) as archive:
            for entry in archive:
                archive.members = []  # type: ignore[attr-defined]  # else all are held in memory
                self._add(archive, entry)

    def finish(self) -> None:
        """Gives the folders their modes and times, which what is put into them would change."""
        for path, (mode, time) in sorted(self._folders.items(), reverse=True):
            try:
                found = os.lstat(path)
            except OSError:
                continue
            if stat.S_ISDIR(found.st_mode):
                os.chmod(path, mode)
                os.utime(path, ns=(time, time))

    def _add(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        path = _path(entry.name)
        folder, name = posixpath.split(path)
        if name.startswith(_WHITEOUT):
            self._remove(folder, name)
            return
        if path == "/":
            if entry.isdir():
                self._folders[path] = _of_folder(entry)
            return
        self._make_folder(folder)
        _clear(path, keep_folder=entry.isdir())
        if not (entry.ischr() or entry.isblk()):  # devices only root can make: steps have those of the machine in /dev
            self._create(archive, entry, path)
        while path not in self._own:
            self._own.add(path)
            path = posixpath.dirname(path)

    def _create(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
        if entry.isdir():
            if not os.path.isdir(path):
                os.mkdir(path, _FOLDER_MODE)
            self._folders[path] = _of_folder(entry)
        elif entry.issym():
            os.symlink(entry.linkname, path)
            os.utime(path, ns=(_time(entry), _time(entry)), follow_symlinks=False)
        elif entry.islnk():
            self._link(_path(entry.linkname), path)
        elif entry.isfifo():
            os.mkfifo(path, 0o600)
        elif entry.isreg():
            self._write(archive, entry, path)
        else:
            raise BadLayerError(f"{path!r} is of an unknown kind")

    def _write(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
        parts = _parts(entry)
        stored = copy.copy(entry)
        stored.size = sum([length for _, length in parts])
        stored.sparse = None  # else what reads it would make up the holes, of any size
        content = archive.extractfile(stored)
        if content is None:
            raise BadLayerError(f"{path!r} has no content")
        fd = os.open(path, _CREATE, 0o600)
        try:
            for start, length in parts:
                os.lseek(fd, start, os.SEEK_SET)
                if _copy(content, fd, length) != length:
                    raise BadLayerError(f"{path!r} ends early")
            if entry.sparse is not None:
                os.ftruncate(fd, entry.size)
            # the user who owns it must be able to read it, as root can in the image; its execute bits are kept
            mode = entry.mode & 0o777 | 0o400
            os.fchmod(fd, mode | 0o100 if mode & 0o111 else mode)
            os.utime(fd, ns=(_time(entry), _time(entry)))
        finally:
            os.close(fd)
        self._written += stored.size
        self._report(self._written)

    def _link(self, target: str, path: str) -> None:
        try:
            found = os.lstat(target)
        except (FileNotFoundError, NotADirectoryError):
            raise BadLayerError(f"{path!r} is a hard link to {target!r}, which is not there") from None
        if stat.S_ISDIR(found.st_mode):
            raise BadLayerError(f"{path!r} is a hard link to a folder")
        try:
            os.link(target, path, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            raise BadLayerError(f"{path!r} is one hard link too many") from error

    def _make_folder(self, path: str) -> None:
        if os.path.isdir(path):
            return
        try:
            os.makedirs(path, _FOLDER_MODE, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise BadLayerError(f"{path!r} is no folder, and something lies in it") from None

    def _remove(self, folder: str, name: str) -> None:
        """Does what a whiteout says, to what the layers below have."""
        if name == _OPAQUE:
            for below in _names(folder):
                self._remove_lower(posixpath.join(folder, below))
        elif not name.startswith(_RESERVED):  # those that a union file system made for itself mean nothing
            hidden = name.removeprefix(_WHITEOUT)
            if hidden in ("", ".", ".."):
                raise BadLayerError(f"{name!r} removes what is no name")
            self._remove_lower(posixpath.join(folder, hidden))

    def _remove_lower(self, path: str) -> None:
        if path not in self._own:
            remove_tree(path)
            return
        if os.path.isdir(path) and not os.path.islink(path):
            for name in _names(path):
                self._remove_lower(posixpath.join(path, name))


def _path(name: str) -> str:
    """The absolute path, in normal form, that `name` in a layer means; BadLayerError when it leads out of the image."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    path = "/" + "/".join(parts)
    if ".." in parts or "\0" in path:
        raise BadLayerError(f"{name[:200]!r} leads out of the image")
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise BadLayerError(f"{name[:80]!r}… is too long for a path")
    return path


def _clear(path: str, *, keep_folder: bool) -> None:
    """Removes what a lower layer has at `path`, but for a folder that another one joins."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise BadLayerError(f"{path!r} lies below what is no folder") from None
    if not (keep_folder and stat.S_ISDIR(found.st_mode)):
        remove_tree(path)


def _names(folder: str) -> Sequence[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return ()


def _parts(entry: tarfile.TarInfo) -> Sequence[tuple[int, int]]:
    """(offset, bytes) of each part of a file that the archive has: all of it, but for what is a hole."""
    if entry.sparse is None:
        return [(0, entry.size)]
    parts = cast("list[tuple[int, int]]", entry.sparse)  # typeshed has it as bytes
    if entry.size > _LARGEST_FILE or any(not 0 <= number <= entry.size for part in parts for number in part):
        raise BadLayerError(f"{entry.name[:80]!r} has holes that are none")
    return parts


def _copy(content: IO[bytes], fd: int, length: int) -> int:
    """Copies so many bytes, or what there is; the bytes copied."""
    size = 0
    while piece := content.read(min(_PIECE, length - size)):
        write_all(fd, piece)
        size += len(piece)
    return size


def _of_folder(entry: tarfile.TarInfo) -> tuple[int, int]:
    return entry.mode & 0o1777 | 0o700, _time(entry)


def _time(entry: tarfile.TarInfo) -> int:
    """In ns; what no file system holds is its beginning."""
    seconds = float(entry.mtime)
    return int(seconds) * 10**9 if 0 <= seconds < 2**33 else 0
