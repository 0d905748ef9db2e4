"""Writing to files: the calls of the operating system that every package needs and Python has not."""

from __future__ import annotations

import os


def write_all(fd: int, content: bytes | memoryview) -> None:
    """Writes all of `content` to an open file; one call of the system may take a part of it only."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def sync_file_system(path: str) -> bool:
    """Writes all that is unwritten on the file system of `path` to the disk (syncfs). OSError when something can't be written.

    False where there is no such call.
    """
    import ctypes  # 10 ms that most commands do without

    try:
        call = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError):
        return False
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if call(fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(fd)
    return True
