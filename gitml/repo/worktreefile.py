"""One file of the work tree, read as it lies there: a tracked link may lead to a device, a pipe, or out of the repository."""

from __future__ import annotations

import os
import stat

from gitml.errors import InputError, machine_error
from gitml.repo.git import Location

_HINT = "put the file itself in its place"
LARGEST = 8 << 20
"""Bytes of a file of settings; of a larger one as many and one more are read, so that its reader sees that it is too large."""


def read_worktree_file(location: Location, path: str) -> bytes | None:
    """The bytes of the regular file at `path` in the work tree; None when there is none, or no work tree."""
    if location.worktree is None:
        return None
    full = os.path.join(location.worktree, path)
    try:
        if os.path.islink(full):
            root, real = os.path.realpath(location.worktree), os.path.realpath(full)
            if not real.startswith(root.rstrip("/") + "/"):
                raise InputError(f"a link that leads out of the repository, to {real}", where=path, hint=_HINT)
        if not _is_file(os.stat(full).st_mode, path):
            return None
        fd = os.open(full, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            return file.read(LARGEST + 1) if _is_file(os.fstat(fd).st_mode, path) else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise machine_error(error, full, "can't read it") from error


def _is_file(mode: int, path: str) -> bool:
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return stat.S_ISREG(mode)
    raise InputError("not a regular file", where=path, hint=_HINT)
