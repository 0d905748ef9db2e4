"""Open files by descriptors, folders by size: what every package needs of the operating system and Python has not."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager


@contextmanager
def closing_fd(fd: int) -> Iterator[int]:
    """The open file `fd`, closed at the end."""
    try:
        yield fd
    finally:
        os.close(fd)


def opened(path: str, flags: int = os.O_RDONLY, mode: int = 0o777) -> AbstractContextManager[int]:
    """``with opened(path, flags) as fd:``: as `os.open`, closed at the end."""
    return closing_fd(os.open(path, flags | os.O_CLOEXEC, mode))


def write_all(fd: int, content: bytes | memoryview) -> None:
    """Writes all of `content` to an open file; one call of the system may take a part of it only."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def bytes_below(folder: str) -> int:
    """The bytes of all files below a folder, those with several names counted once; 0 where there is none."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                found = os.lstat(os.path.join(place, name))
            except OSError:
                continue
            if (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                total += found.st_size
    return total


PART = ".part"
"""What the name of a file ends with that is being fetched."""


def locked_part(path: str) -> int | None:
    """A descriptor of the file beside `path` that its content is fetched into, locked; None while another has it.

    What an earlier process left there is gone on with. The file is made where there is none; who has completed it renames it.
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
