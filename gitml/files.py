"""Writing to files: the calls of the operating system that every package needs and Python has not."""

from __future__ import annotations

import os


def write_all(fd: int, content: bytes | memoryview) -> None:
    """Writes all of `content` to an open file; one call of the system may take a part of it only."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
