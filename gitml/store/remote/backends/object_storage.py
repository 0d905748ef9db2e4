"""A remote store on what fsspec reaches: S3, Google Cloud Storage, Azure Blob Storage, a folder over SSH.

fsspec and the package for the kind are loaded when the first remote of the kind is opened. They find credentials where the
usual tools of each service do: the environment, profiles, the machine's own identity, the keys and known hosts of SSH.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar

from gitml.core.config.remotes import RemoteSpec, StoredObject
from gitml.core.kinds.remote_kinds import REMOTE_KINDS
from gitml.core.model.digest import Digest, digest_of, hex_of
from gitml.core.model.protocols import Download, RemoteObject
from gitml.errors import GitmlError, Guard, IntegrityError, RemoteError, TrustError
from gitml.store.local import disk
from gitml.store.remote.backends.partial_upload import AHEAD, PIECE, PartialUpload, upload_in_parts
from gitml.store.remote.backends.sftp import upload_over_sftp
from gitml.store.remote.layout import OBJECTS, KeyedRemote, damaged_object, missing_object
from gitml.store.remote.transfer.thread_pool import ThreadPool, in_parallel

_QUERY = re.compile(r"\?[^\s'\"<>]*")
_USER = re.compile(r"//[^/\s@]+@")
_TRACE = re.compile(
    r"\s*\bRequestId:.*", re.DOTALL
)  # of Azure: what only its own log understands, then all again as XML
_LONG = 300
_NOT_TRUSTED = re.compile(
    r"credential|accessdenied|access denied|forbidden|unauthori[sz]ed|permission|signaturedoesnotmatch|invalidaccesskey|"
    r"expiredtoken|authenticat|host key|hostkey|connection string|base64-encoded|config profile|\b40[13]\b",
    re.IGNORECASE,
)
_UNREACHABLE = re.compile(
    r"connect|resolve|timed? ?out|timeout|name or service|network|unreachable|refused", re.IGNORECASE
)


def is_missing(error: BaseException) -> bool:
    """Whether the error of a library means that there is no such object."""
    if isinstance(error, FileNotFoundError):
        return True
    return type(error).__name__ in ("NoSuchKey", "SFTPNoSuchFile", "ResourceNotFoundError", "SFTPNoSuchPath")


def is_past_end(error: BaseException) -> bool:
    """Whether the error of a library means that a range begins behind the end of an object.

    Numbers in its text mean nothing: an address or a digest may have the digits of the status in it.
    """
    if is_missing(error):
        return False
    if any(str(getattr(error, name, None)) == "416" for name in ("code", "status", "status_code")):
        return True
    text = f"{type(error).__name__} {error}"
    return "InvalidRange" in text or "not satisfiable" in text


def remote_error(error: BaseException, place: str, scheme: str) -> GitmlError:
    """The GitmlError for what a library raised."""
    if isinstance(error, GitmlError):
        return error
    kind = type(error).__name__
    text = without_secrets(str(error)) or kind
    if isinstance(error, PermissionError) or _NOT_TRUSTED.search(kind) or _NOT_TRUSTED.search(text):
        return TrustError(f"the remote does not let us in: {text}", where=place, hint=REMOTE_KINDS[scheme].login)
    if "NoSuchBucket" in text or "NoSuchBucket" in kind or "ContainerNotFound" in text:
        return RemoteError("no such bucket or container", where=place, hint="make it, or fix the URL in gitml.yaml")
    if isinstance(error, (ConnectionError, TimeoutError)) or _UNREACHABLE.search(kind) or _UNREACHABLE.search(text):
        return RemoteError(
            f"the remote can't be reached: {text}", where=place, hint="see the network and the URL, try again"
        )
    return RemoteError(f"the remote refused: {text}", where=place, hint="try again: what has arrived is kept")


def without_secrets(text: str) -> str:
    """A message in one line, without what may be secret: queries and users of URLs."""
    line = " ".join(_TRACE.sub("", text).split())
    return _USER.sub("//…@", _QUERY.sub("?…", line))[:_LONG]


T = TypeVar("T")

_MANY = 1000  # names; from here on listing is cheaper than asking for each
_ASKING = 16  # questions at once


class FileSystemKind(NamedTuple):
    """How fsspec reaches a kind: what opens its file system, and what that can do.

    `ranges`: a piece from the middle can be asked for. `atomic`: what is put appears whole. `partial` begins an upload in parts
    at a path of the file system, None for services that can't go on with one that was cut off; `drop_stale` gives up those
    below a path that nobody went on with. `is_host`: a place is a host and a folder of it, over a connection that may be cut.
    """

    open: Callable[[RemoteSpec], Any]
    ranges: bool = True
    atomic: bool = True
    partial: Callable[[Any, str], PartialUpload] | None = None
    drop_stale: Callable[[Any, str], None] | None = None
    is_host: bool = False


class ObjectStorageRemote(KeyedRemote):
    """The remote store that a spec names, on the file system that its `kind` opens."""

    parallel = 6

    def __init__(self, spec: RemoteSpec, kind: FileSystemKind) -> None:
        super().__init__(spec, spec.path[spec.path.index("/") :].rstrip("/") if kind.is_host else spec.path, spec.url)
        self._kind = kind
        self._spec = spec
        self._lock = threading.Lock()
        self._root_lock = threading.Lock()
        self._is_root_checked = False
        self._opened: Any = self._call(lambda: kind.open(spec))

    def present(self, wanted: Sequence[StoredObject]) -> set[Digest]:
        """Which of these are there in that size."""
        if len(wanted) < _MANY:
            return super().present(wanted)
        sizes = {item.digest: item.size for item in self.listed() if not item.manifest}
        return {item.digest for item in wanted if sizes.get(item.digest) == item.size}

    def put(self, item: StoredObject, source: str | bytes, moved: Callable[[int], None]) -> None:
        """Uploads a file or bytes. A large file goes on where an upload of it was cut off, where the service lets one."""
        path = self._path(OBJECTS, item.digest)
        if isinstance(source, str) and item.size <= PIECE:
            with Guard(source), open(source, "rb", buffering=0) as file:
                content = file.read()
            if digest_of(content) != item.digest:
                raise damaged_object(item.digest, hex_of(digest_of(content)))
            source = content
        if isinstance(source, bytes):
            self._write(path, source)
            moved(len(source))
            return
        begin = self._kind.partial
        if begin is not None:
            self._wrote(lambda: upload_in_parts(begin(self._fs, path), source, item, moved))
        elif not self._kind.atomic:
            self._wrote(lambda: upload_over_sftp(self._fs, source, path, item, moved))
        else:
            self._put_whole(source, path, item, moved)
        if self._size(path) != item.size:
            raise RemoteError(f"{item.digest[:19]}… did not arrive whole", where=self.place, hint="try again")

    def get(self, item: StoredObject, start: int = 0) -> Download:
        """The object's bytes from `start` on."""
        path = self._path(OBJECTS, item.digest)
        return Download(
            start, self._ranges(path, item, start) if self._kind.ranges else self._stream(path, item, start)
        )

    def listed(self) -> Iterator[RemoteObject]:
        """Everything in it; uploads that were given up are cleared away on the way."""
        drop_stale = self._kind.drop_stale
        if drop_stale is not None:
            self._call(lambda: drop_stale(self._fs, f"{self.root}/{OBJECTS}/"))
        yield from super().listed()

    # Calls of fsspec

    @property
    def _fs(self) -> Any:
        """The file system; one over SSH is opened again when its connection was lost."""
        with self._lock:
            if self._kind.is_host and self._opened.client.is_closed():
                self._opened = self._kind.open(self._spec)
            return self._opened

    def _call(self, ask: Callable[[], T]) -> T:
        """The value of `ask`. FileNotFoundError stays; any other error of a library is raised as an error of gitml."""
        try:
            return ask()
        except Exception as error:
            if is_missing(error):
                self._check_root()
                raise FileNotFoundError(str(error)) from error
            raise remote_error(error, self.place, self._spec.scheme) from error

    def _check_root(self) -> None:
        """RemoteError when the bucket, or over SSH the folder and the one it would be made in, is missing: one that is mistyped
        must not pass for an empty one. Asked once, when the first thing is missing.
        """
        is_host = self._kind.is_host
        with self._root_lock:
            if self._is_root_checked:
                return
            for top in (self.root, os.path.dirname(self.root)) if is_host else (self.root.partition("/")[0],):
                try:
                    self._fs.info(top)
                except Exception as error:
                    if is_missing(error):
                        continue
                    # Who may use what is in a bucket need not be allowed to look at the bucket.
                self._is_root_checked = True
                return
        what = "folder" if is_host else "bucket or container"
        raise RemoteError(f"no such {what}", where=self.place, hint="make it, or fix the URL in gitml.yaml")

    def _wrote(self, write: Callable[[], object]) -> None:
        """Writes; where something that this needs is missing that is an error of the remote."""
        try:
            self._call(write)
        except FileNotFoundError as error:
            raise RemoteError(
                f"nothing can be written there: {without_secrets(str(error))}",
                where=self.place,
                hint="see that the bucket, container or folder exists, then try again",
            ) from error

    def _size(self, path: str) -> int | None:
        try:
            found = self._call(lambda: self._fs.info(path))
        except FileNotFoundError:
            return None
        return int(found["size"]) if found.get("type") == "file" else None

    def _sizes(self, paths: Sequence[str]) -> Iterable[int | None]:
        return in_parallel(self._size, paths, _ASKING)

    def _files(self, folder: str) -> Iterator[tuple[str, int, float]]:
        try:
            found = self._call(lambda: self._fs.find(f"{self.root}/{folder}", detail=True))
        except FileNotFoundError:
            return
        for path, info in found.items():
            yield path, int(info["size"]), _written(info)

    def _read(self, path: str, most: int) -> bytes | None:
        try:
            if not self._kind.ranges:
                if self._size(path) is None:
                    self._call(lambda: self._fs.info(path))  # FileNotFoundError, unless it is a pipe or the like
                    return b""
                with self._call(lambda: self._fs.open(path, "rb")) as file:
                    return bytes(self._call(lambda: file.read(most + 1)))
            size = self._size(path)
            if size is None:
                return None
            return bytes(self._call(lambda: self._within(path, 0, min(size, most + 1)))) if size else b""
        except FileNotFoundError:
            return None

    def _write_each(self, contents: Sequence[tuple[str, bytes]]) -> None:
        in_parallel(lambda item: self._write(*item), contents, _ASKING)

    def _write(self, path: str, content: bytes) -> None:
        if self._kind.atomic:
            self._wrote(lambda: self._fs.pipe_file(path, content))
        else:
            self._moved_in(path, lambda fresh: self._fs.pipe_file(fresh, content))

    def _put_whole(self, source: str, path: str, item: StoredObject, moved: Callable[[int], None]) -> None:
        """Uploads a file in one go, hashed before."""
        with Guard(source):
            before = os.stat(source)
            with open(source, "rb", buffering=0) as file:
                found = disk.digest_fd(file.fileno(), before.st_size)
        if found != item.digest:
            raise damaged_object(item.digest, hex_of(found))
        self._wrote(lambda: self._fs.put_file(source, path, chunksize=PIECE, callback=_counting(moved)))
        with Guard(source):
            after = os.stat(source)
        if (before.st_mtime_ns, before.st_size, before.st_ino) != (after.st_mtime_ns, after.st_size, after.st_ino):
            self._remove(path)
            raise damaged_object(item.digest, "unknown: it was changed meanwhile")

    def _remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._call(lambda: self._fs.rm_file(path))

    def _moved_in(self, path: str, write: Callable[[str], object]) -> None:
        """Writes under another name and renames, where a cut would leave a part under the name itself."""
        folder, _, name = path.rpartition("/")
        fresh = f"{folder}/.{name[:12]}-{os.urandom(6).hex()}.tmp"

        def done() -> None:
            try:
                write(fresh)
                self._fs.mv(fresh, path)
            except BaseException:
                with contextlib.suppress(Exception):  # the failure itself is what counts
                    self._fs.rm_file(fresh)
                raise

        self._wrote(done)

    def _ranges(self, path: str, item: StoredObject, start: int) -> Iterator[bytes]:
        """Pieces in order, some of them asked for ahead."""
        places = deque((at, min(at + PIECE, item.size)) for at in range(start, item.size, PIECE))
        if len(places) <= 1:
            for begin, end in places:
                yield self._piece(path, item.digest, begin, end)
            return
        pool = ThreadPool(min(AHEAD, len(places)))
        try:
            under_way: deque[Any] = deque()
            while places or under_way:
                while places and len(under_way) < AHEAD:
                    begin, end = places.popleft()
                    under_way.append(pool.submit(partial(self._piece, path, item.digest, begin, end)))
                yield under_way.popleft().result()
        finally:
            pool.shut_down()

    def _piece(self, path: str, digest: Digest, begin: int, end: int) -> bytes:
        try:
            return bytes(self._call(lambda: self._within(path, begin, end)))
        except FileNotFoundError:
            raise missing_object(digest, self.place) from None

    def _within(self, path: str, begin: int, end: int) -> Any:
        try:
            return self._fs.cat_file(path, start=begin, end=end)
        except Exception as error:
            if is_past_end(error):
                return b""  # the object is shorter: whoever receives it finds that out
            raise

    def _stream(self, path: str, item: StoredObject, start: int) -> Iterator[bytes]:
        try:
            if self._size(path) is None:
                self._call(lambda: self._fs.info(path))
                raise IntegrityError(
                    f"{item.digest[:19]}… is no ordinary file there", where=path, hint="remove it there"
                )
            file = self._call(lambda: self._fs.open(path, "rb"))
        except FileNotFoundError:
            raise missing_object(item.digest, self.place) from None
        try:
            if start:
                self._call(lambda: file.seek(start))
            while chunk := self._call(lambda: file.read(1 << 20)):
                yield chunk
        finally:
            self._call(file.close)


def _counting(moved: Callable[[int], None]) -> Any:
    from fsspec.callbacks import Callback

    class Counting(Callback):  # type: ignore[misc]
        value: int

        def relative_update(self, inc: int = 1) -> None:
            moved(inc)

        def absolute_update(self, value: int) -> None:
            moved(value - self.value)
            self.value = value

    return Counting()


def _written(info: Mapping[str, Any]) -> float:
    for name in ("LastModified", "last_modified", "mtime", "updated"):
        found = info.get(name)
        if isinstance(found, datetime):
            return found.timestamp()
        if isinstance(found, (int, float)):
            return float(found)
        if isinstance(found, str):
            try:
                return datetime.fromisoformat(found.replace("Z", "+00:00")).timestamp()
            except ValueError:
                continue
    return time.time()  # not known: as if it were new, so that it is kept
