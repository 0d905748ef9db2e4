"""The log of one attempt: the first 8 MiB as written, then only the end, so that no step fills the disk with words."""

from __future__ import annotations

import os
import time
from collections import deque

from gitml.execute.lines import last_line

HEAD = 8 * 2**20
TAIL = 2**20
EVERY = 0.2
LOOK_BACK = 8192


class Log:
    """Takes what a step writes. The file at `path` comes into being with the first byte; `written` counts all bytes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.written = 0
        self._fd = -1
        self._late: deque[bytes] = deque()
        self._late_size = 0
        self._recent = b""
        self._reported = 0.0
        self._said = ""

    def write(self, chunk: bytes) -> str | None:
        """Keeps `chunk`; gives the last complete line when it is time to show one, else None."""
        if self._fd < 0:
            self._fd = _create(self.path)
        room = HEAD - self.written
        self.written += len(chunk)
        if room > 0:
            _write_all(self._fd, chunk[:room])
        if room < len(chunk):
            self._keep_late(chunk[max(room, 0) :])
        if len(chunk) >= LOOK_BACK:
            self._recent = chunk[-LOOK_BACK:]
        else:
            self._recent = (self._recent + chunk)[-LOOK_BACK:]
        return self._line_to_show()

    def tail(self) -> bytes:
        """The last few KiB written."""
        return self._recent

    def close(self) -> bool:
        """Completes the file; False when the step wrote nothing and there is no file."""
        if self._fd < 0:
            return False
        late = b"".join(self._late)[-TAIL:]
        left_out = self.written - HEAD - len(late)
        try:
            if left_out > 0:
                _write_all(self._fd, b"\n[... %d bytes left out ...]\n" % left_out)
            _write_all(self._fd, late)
        finally:
            os.close(self._fd)
            self._fd = -1
        return True

    def _keep_late(self, chunk: bytes) -> None:
        self._late.append(chunk)
        self._late_size += len(chunk)
        while self._late_size - len(self._late[0]) >= TAIL:
            self._late_size -= len(self._late.popleft())

    def _line_to_show(self) -> str | None:
        now = time.monotonic()
        if now - self._reported < EVERY:
            return None
        line = last_line(self._recent, complete=True)
        if not line or line == self._said:
            return None
        self._reported = now
        self._said = line
        return line


def _create(path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o644)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, 0o644)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
