"""Blobs that are being fetched: each into a file beside its place, which one process has locked and the next goes on with."""

from __future__ import annotations

import fcntl
import os

PART = ".part"


def locked_part(path: str) -> int | None:
    """A descriptor of the file that the blob at `path` is fetched into, locked; None while another process has it.

    The file is made where there is none. Who has completed it renames it to `path`.
    """
    while True:
        fd = os.open(path + PART, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        if _is_at(fd, path + PART):
            return fd
        os.close(fd)  # it was completed, or removed, a moment ago


def remove_part(path: str) -> bool:
    """Removes the part at `path`, unless a process works on it; whether it did."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def _is_at(fd: int, path: str) -> bool:
    try:
        found, here = os.fstat(fd), os.stat(path)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (here.st_dev, here.st_ino)
