"""What can go wrong, by who can fix it. The library raises these; only `cli` turns them into text and exit codes."""

from __future__ import annotations

import errno
import os
from types import TracebackType

from gitml.permissions import permission_hint

FREE_SPACE = "free some space: `gitml du` shows what gitml uses, `gitml gc` removes what it can do without"
_HINTS = {
    errno.ENOSPC: FREE_SPACE,
    errno.EDQUOT: FREE_SPACE,
    errno.EFBIG: "raise the limit of file sizes (`ulimit -f`), then run again",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`), then run again",
    errno.EROFS: "mount the file system writable",
    errno.ENAMETOOLONG: "use a shorter name: Linux takes 255 bytes a name and 4,095 a path",
    errno.E2BIG: "pass less on the command line: put long values into a file",
    errno.EIO: "the disk fails: look at the system's log and save what you can",
}
_DENIED = (errno.EACCES, errno.EPERM)


class GitmlError(Exception):
    """An expected failure. Shown as ``gitml: message (where): hint`` with the class's exit code, never a traceback."""

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint


class InputError(GitmlError):
    """The user's files, names or options are wrong."""

    code = "input"
    exit_code = 2


class IntegrityError(GitmlError):
    """Stored bytes, a record or an object are not what their name says."""

    code = "integrity"
    exit_code = 3


class BusyError(GitmlError):
    """Another process holds what is needed."""

    code = "busy"
    exit_code = 4


class MachineError(GitmlError):
    """The disk or the operating system refused."""

    code = "machine"
    exit_code = 5


class RemoteError(GitmlError):
    """A remote, a server or a cluster did not do its part."""

    code = "remote"
    exit_code = 6


class TrustError(GitmlError):
    """Not allowed, or not to be trusted."""

    code = "trust"
    exit_code = 7


def machine_error(error: OSError, path: str, what: str = "the disk refused") -> MachineError:
    """The MachineError for what the operating system refused at `path`: its words, where, and the fix."""
    said = error.strerror or str(error)
    hint = how_to_mend(error, path) or "see that the disk is mounted and healthy, then run again"
    return MachineError(f"{what}: {said}", where=path, hint=hint)


class Guard:
    """``with Guard(path, what):`` turns an OSError into the MachineError for it."""

    __slots__ = ("_path", "_what")

    def __init__(self, path: str, what: str = "the disk refused") -> None:
        self._path = path
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, OSError):
            raise machine_error(error, self._path, self._what) from error


def how_to_mend(error: OSError, path: str) -> str | None:
    """What a person can do about an OSError at `path`, None when there is nothing special about it."""
    if error.errno in _DENIED:
        named = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
        return permission_hint(named if os.path.isabs(named) else path)
    return _HINTS.get(error.errno or 0)


def how_to_mend_database(code: int, path: str) -> str | None:
    """The same for a primary result code of SQLite, by what it says went wrong with the file at `path`."""
    import sqlite3

    if code == sqlite3.SQLITE_FULL:
        return FREE_SPACE
    if code == sqlite3.SQLITE_IOERR:
        return f"{FREE_SPACE}; with enough of it the disk fails: look at the system's log"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return permission_hint(path)
    return None
