"""Hashing, copying and syncing of open files; an error of the disk becomes a MachineError.

An object is a regular file that nobody may write, last modified at a fixed time: `is_untouched` finds by a stat
alone that nobody wrote to it since it was ingested.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Sequence

from gitml.core.model.digest import PREFIX, Digest
from gitml.files import opened, write_all
from gitml.platform.current import platform

CANONICAL_SECONDS = 946_684_800  # 2000-01-01 UTC: the zip format can't hold times before 1980
CANONICAL_NS = CANONICAL_SECONDS * 10**9
OBJECT_MODE = 0o444
SMALL = 1 << 20  # bytes; up to here an object is hashed again whenever it is used
BIG = 8 << 20  # bytes; from here writing to the disk goes on while the hash is computed
CHUNK = 1 << 20

_REGULAR_OR_WRITABLE = 0o170222
LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNNOTED = getattr(os, "O_NOATIME", 0)
FEW = 64  # files up to which each is synced by itself
_UNWRITTEN_EACH = (
    64 << 10
)  # unwritten bytes for each file to be synced, up to which a sync of the file system is faster
_THREADS = 8
_MANY = 6  # paths from which on threads are worth starting


def is_untouched(found: os.stat_result) -> bool:
    """Whether this is a regular file without write bits whose time is still the canonical one."""
    return found.st_mtime_ns == CANONICAL_NS and found.st_mode & _REGULAR_OR_WRITABLE == stat.S_IFREG


def is_regular(found: os.stat_result) -> bool:
    """Whether this is a plain file."""
    return stat.S_ISREG(found.st_mode)


def kind_of(mode: int) -> str:
    """What a file is, in words."""
    for is_kind, words in (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISREG, "a file"),
    ):
        if is_kind(mode):
            return words
    return "a device"


def changed_if_large(found: os.stat_result) -> int:
    """The change time of what is too large to be hashed at each use, else 0."""
    return found.st_ctime_ns if found.st_size > SMALL else 0


def open_to_read(path: str, folder: int | None = None) -> int:
    """Opens a file, in an open `folder` or at a path, and nothing but that: no link, and without waiting for a pipe's other end.

    That it was read is not noted in it, where this user may ask for that: the note would be a write for each file.
    """
    try:
        return os.open(path, LOOK | _UNNOTED, dir_fd=folder)
    except PermissionError:
        return os.open(path, LOOK, dir_fd=folder)  # another user's


def make_canonical(fd: int) -> None:
    """Gives an open file an object's mode and time."""
    os.fchmod(fd, OBJECT_MODE)
    os.utime(fd, ns=(CANONICAL_NS, CANONICAL_NS))


def read_all(fd: int, size: int) -> bytes:
    """Everything from the file's position on; `size` is what is expected."""
    part = os.read(fd, size + 1)
    if len(part) == size:  # one byte more was asked for: this is the end
        return part
    parts = [part]
    while part := os.read(fd, CHUNK):
        parts.append(part)
    return b"".join(parts)


def write_whole(path: str, content: bytes, *, durable: bool = False, mode: int = 0o666) -> None:
    """Writes a file whole or not at all, in place of what is there: beside it under a name that nobody else has, then renamed."""
    fresh = f"{path}.{os.getpid()}-{os.urandom(4).hex()}.new"
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(fresh, path)
    except BaseException:
        if os.path.lexists(fresh):
            os.unlink(fresh)
        raise
    if durable:
        sync_path(os.path.realpath(os.path.dirname(path)))


def digest_fd(fd: int, size: int) -> Digest:
    """The Digest of an open file from its position on, in constant memory."""
    if size <= SMALL:
        return Digest(PREFIX + hashlib.sha256(read_all(fd, size)).hexdigest())
    state = hashlib.sha256()
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    while count := os.readv(fd, [buffer]):
        state.update(view[:count])
    return Digest(PREFIX + state.hexdigest())


def digest_while_syncing(fd: int, size: int) -> Digest:
    """As `digest_fd`, while another thread has the file written to the disk: both take the time of the slower."""
    if size < BIG:
        return digest_fd(fd, size)
    syncing = in_threads([lambda: os.fsync(fd)])
    try:
        return digest_fd(fd, size)
    finally:
        syncing()


def copy_and_digest(source: int, target: int) -> Digest:
    """Copies one open file to another in constant memory; the Digest is of the bytes that were written."""
    state = hashlib.sha256()
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    while count := os.readv(source, [buffer]):
        state.update(view[:count])
        write_all(target, view[:count])
    return Digest(PREFIX + state.hexdigest())


def copy(source: int, target: int) -> None:
    """Copies one open file to another, by the kernel where it can."""
    if not platform.copy_rest(source, target):
        # What the kernel had copied already is where both positions stand: the rest follows by hand.
        while part := os.read(source, CHUNK):
            write_all(target, part)


def is_at(path: str, fd: int) -> bool:
    """Whether an open file is what lies at `path` now: else another process has renamed or removed it meanwhile."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)


def reopen(path: str) -> int | None:
    """Opens for reading and writing, and locks, what an earlier try may have left at `path`, made when missing.

    None while another process or thread has it, or when it just got its name. What is complete is read-only already while it
    waits for that: it is made writable again. PermissionError for another user's file, and where this user may not write at all.
    """
    fd = _reopened(path)
    is_mine = False
    try:
        if fd is not None:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_mine = is_at(path, fd)
    except BlockingIOError:
        pass
    finally:
        if fd is not None and not is_mine:
            os.close(fd)
    return fd if is_mine else None


def _reopened(path: str) -> int | None:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
    except PermissionError:
        try:
            owner = os.lstat(path).st_uid
        except FileNotFoundError:  # it got its name meanwhile; or this user may make nothing here
            return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
        if owner != os.geteuid():
            raise
    try:
        with opened(path, os.O_RDONLY | flags) as fd:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not is_at(path, fd):  # it has its name now, under which it stays read-only
                return None
            os.fchmod(fd, 0o600)
            return os.open(path, os.O_RDWR | flags)
    except (BlockingIOError, FileNotFoundError):
        return None


def sync_path(path: str) -> None:
    """Has the file or folder at `path` written to the disk."""
    with opened(path, os.O_RDONLY | os.O_NOFOLLOW) as fd:
        os.fsync(fd)


def sync_paths(paths: Sequence[str]) -> None:
    """Has many files or folders written to the disk; in threads, because the disk serves many at once."""
    if len(paths) < _MANY:
        for path in paths:
            sync_path(path)
        return

    def sync(part: Sequence[str]) -> None:
        for path in part:
            sync_path(path)

    in_threads([lambda part=paths[n::_THREADS]: sync(part) for n in range(_THREADS)])()  # type: ignore[misc]


def in_threads(jobs: Sequence[Callable[[], object]]) -> Callable[[], None]:
    """Starts each job in a thread; the returned function waits for all and raises the first failure."""
    import threading

    failures: list[BaseException] = []

    def guarded(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()

    def finish() -> None:
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    return finish


def begin_sync(folder: str) -> Callable[[], None]:
    """Begins a sync of the file system of `folder`; the returned function waits for its end, and raises what it raised."""
    return in_threads([lambda: platform.sync_file_system(folder)])


def is_worth_one_request(count: int, folder: str) -> bool:
    """Whether a sync of the whole file system is as good as one of each of `count` files, and faster.

    A sync of each file costs a request to the disk of its own. One of the file system writes everything that is unwritten, of
    any process: so it is worth it only where there is little of that for each file, and where it is as safe.
    """
    if count <= FEW or not platform.file_system_sync_is_safe(folder):
        return False
    return platform.unwritten_bytes() <= count * _UNWRITTEN_EACH
