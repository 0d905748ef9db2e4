"""What can go wrong, by whom it can be mended. The library raises these; only `cli` turns them into text and exit codes."""

from __future__ import annotations

import errno
import os

_FULL = "free some space: `gitml du` tells what gitml takes, `gitml gc` what it can do without"
_HINTS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "raise the limit of file sizes (`ulimit -f`), then run again",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`), then run again",
    errno.EROFS: "mount the file system writable",
    errno.EIO: "the disk fails: look at the system's log and save what you can",
}
_DENIED = (errno.EACCES, errno.EPERM)
_OURS = ("gitml", "envs")  # folders that are gitml's as a whole, so that one command can give all of it back


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
    """The MachineError for what the operating system refused at `path`: what it said, where, and the mend."""
    said = error.strerror or str(error)
    hint = how_to_mend(error, path) or "see that the disk is mounted and healthy, then run again"
    return MachineError(f"{what}: {said}", where=path, hint=hint)


def how_to_mend(error: OSError, path: str) -> str | None:
    """What a person can do about an OSError at `path`, None when there is nothing special about it."""
    if error.errno in _DENIED:
        named = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
        return how_to_be_let(named if os.path.isabs(named) else path)
    return _HINTS.get(error.errno or 0)


def how_to_be_let(path: str) -> str:
    """What denies this user `path` (itself or a folder above), whose it is, and the command that mends it."""
    place = _denying(os.path.abspath(path))
    if place is None:
        return "see who owns it and whether you may write there"
    import shlex

    owner, me = os.stat(place).st_uid, os.geteuid()
    if owner == me:
        return f"chmod u+rw{'x' if os.path.isdir(place) else ''} {shlex.quote(place)}"
    return f"it belongs to {_name(owner)}: sudo chown -R {_name(me)} {shlex.quote(_whole(place))}"


def _denying(path: str) -> str | None:
    """The folder or file that denies, None when all let this user in. Folders first: they decide who makes and removes files."""
    place, wanted = os.path.dirname(path), os.W_OK | os.X_OK
    while True:
        if os.path.exists(place):
            if not _lets(place, wanted):
                return place
            wanted = os.X_OK  # only the folder itself is written to
        above = os.path.dirname(place)
        if above == place:
            break
        place = above
    if not os.path.exists(path) or _lets(path, os.R_OK | os.W_OK | (os.X_OK if os.path.isdir(path) else 0)):
        return None
    return path


def _lets(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _whole(place: str) -> str:
    """`place`, or the folder above that is gitml's as a whole: where one file is another user's, others are too."""
    found = place
    while (above := os.path.dirname(place)) != place:
        if os.path.basename(place) in _OURS and os.stat(place).st_uid == os.stat(found).st_uid:
            found = place
        place = above
    return found


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
