"""One file of the work tree, read as it lies there: a tracked link may lead to a device, a pipe, or out of the repository."""

from __future__ import annotations

import os
import stat

from gitml.errors import InputError, machine_error
from gitml.git.command import Location

_HINT = "put the file itself in its place"
LARGEST = 8 << 20
"""Bytes of a file of settings; of a larger one as many and one more are read, so that its reader sees that it is too large."""


def read_worktree_file(location: Location, path: str) -> bytes | None:
    """The bytes of the regular file at `path` in the work tree; None when there is none, or no work tree."""
    return (
        None if location.worktree is None else read_regular_file(os.path.join(location.worktree, path), path, LARGEST)
    )


def read_regular_file(full: str, shown: str, most: int) -> bytes | None:
    """The bytes of a file, of one that is larger than `most` one more than that; None when there is none, or a folder.

    InputError for a link, a pipe, a device: they are not opened.
    """
    try:
        mode = os.lstat(full).st_mode
        if stat.S_ISLNK(mode):
            raise InputError("a link, where a file must be", where=shown, hint=_HINT)
        if not _is_file(mode, shown):
            return None
        fd = os.open(full, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            return file.read(most + 1) if _is_file(os.fstat(fd).st_mode, shown) else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise machine_error(error, full, "can't read it") from error


def _is_file(mode: int, path: str) -> bool:
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return stat.S_ISREG(mode)
    raise InputError("not a regular file", where=path, hint=_HINT)
