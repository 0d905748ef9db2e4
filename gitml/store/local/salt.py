"""The salt of a clone: random bytes that key the digests of secret parameters. It never leaves the Git folder."""

from __future__ import annotations

import os
from contextlib import suppress

from gitml import layout
from gitml.errors import machine_error
from gitml.files import opened
from gitml.store.local import disk

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
    with suppress(FileNotFoundError), opened(path, disk.LOOK) as fd:
        found = os.fstat(fd)
        if not disk.is_regular(found):
            return None
        if found.st_mode & 0o077 and found.st_uid == os.geteuid():
            os.fchmod(fd, 0o600)
        salt = os.read(fd, SIZE + 1)
        return salt if len(salt) == SIZE else None
    return None


def _make(path: str) -> None:
    """Writes a new one in the place of what is no salt; of two processes at once both get that of the first."""
    new = f"{path}.{os.getpid()}-{os.urandom(4).hex()}"
    try:
        with opened(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as fd:
            os.write(fd, os.urandom(SIZE))
            os.fsync(fd)
        if os.path.lexists(path) and _read(path) is None:
            os.rename(new, path)
        else:
            with suppress(FileExistsError):
                os.link(new, path)
        disk.sync_path(os.path.realpath(os.path.dirname(path)))
    finally:
        with suppress(FileNotFoundError):
            os.unlink(new)
