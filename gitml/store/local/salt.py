"""The salt of a clone: random bytes that key the digests of secret parameters. It never leaves the Git folder."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from gitml import layout
from gitml.errors import machine_error

SIZE = 32


def salt_in(folder: str, *, read_only: bool = False) -> bytes:
    """This user's salt in gitml's `folder`, made when there is none; where none can be written, a `read_only` command gets any.

    A file of another user, who may read it, is no salt; each user of a shared repository has one of their own. MachineError when
    it can't be read or written.
    """
    first = os.path.join(folder, layout.SALT)
    path = first if _is_ours(first) is not False else f"{first}-{os.geteuid()}"
    try:
        found = _read(path)
        if found is None:
            _make(path)
            found = _read(path)
    except OSError as error:
        if read_only:
            return os.urandom(SIZE)  # nothing was ever kept under another
        raise machine_error(error, path) from error
    if found is None:
        raise machine_error(OSError(5, "it has no salt after it was written"), path)
    return found


def _is_ours(path: str) -> bool | None:
    """Whether the file is this user's; None when there is none."""
    try:
        return os.lstat(path).st_uid == os.geteuid()
    except FileNotFoundError:
        return None


def _read(path: str) -> bytes | None:
    """The salt; None when there is no whole one."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return None
        if found.st_mode & 0o077 and found.st_uid == os.geteuid():
            os.fchmod(fd, 0o600)
        salt = os.read(fd, SIZE + 1)
        return salt if len(salt) == SIZE else None
    finally:
        os.close(fd)


def _make(path: str) -> None:
    """Writes a new one in the place of what is no salt; of two processes at once both get that of the first."""
    new = f"{path}.{os.getpid()}-{os.urandom(4).hex()}"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(fd, os.urandom(SIZE))
            os.fsync(fd)
        finally:
            os.close(fd)
        if os.path.lexists(path) and _read(path) is None:
            os.rename(new, path)
        else:
            with suppress(FileExistsError):
                os.link(new, path)
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(new)
