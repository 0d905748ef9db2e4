"""A log a page at a time: however large it is, only what is looked at is read."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from gitml.core.text.format import safe_line
from gitml.history.files import contents
from gitml.history.logs import AttemptLog
from gitml.workspace import Workspace

REACH = 256 * 1024  # bytes before and after the place looked at
LONGEST = 16_384  # characters of a line that are shown as one
_STRIDE = 1 << 20
_COLOURS = re.compile(rb"\x1b\[[0-9;:]*m")


class LogPage(NamedTuple):
    """The bytes `start` to `end` of a log of `size`, as lines safe for a terminal; `offsets` say where each begins."""

    start: int
    end: int
    size: int
    lines: tuple[str, ...]
    offsets: tuple[int, ...]


def size_of(part: AttemptLog) -> int:
    """How many bytes of a log there are now."""
    if part.log is not None:
        return part.log.size
    try:
        return os.stat(part.path).st_size if part.path is not None else 0
    except FileNotFoundError:
        return 0


def page_at(ws: Workspace, part: AttemptLog, offset: int, reach: int = REACH) -> LogPage:
    """The page around `offset`, whole lines as far as they are not longer than the page itself."""
    size = size_of(part)
    offset = max(0, min(offset, size))
    start, end = max(0, offset - reach), min(size, offset + reach)
    data = _piece(ws, part, start, end - start)
    end = start + len(data)
    if start > 0 and (cut := data.find(b"\n") + 1):
        data, start = data[cut:], start + cut
    if end < size and (cut := data.rfind(b"\n") + 1):
        data = data[:cut]
        end = start + cut
    lines: list[str] = []
    offsets: list[int] = []
    at = start
    for raw in data.split(b"\n")[: None if data and not data.endswith(b"\n") else -1]:
        text = safe_line(_COLOURS.sub(b"", raw).decode("utf-8", "surrogateescape"))
        for begin in range(0, max(1, len(text)), LONGEST):
            lines.append(text[begin : begin + LONGEST])
            offsets.append(at)
        at += len(raw) + 1
    return LogPage(start, end, size, tuple(lines), tuple(offsets))


def find(ws: Workspace, part: AttemptLog, wanted: str, offset: int, *, backwards: bool = False) -> int | None:
    """Where `wanted` next begins at or after `offset` (before it when `backwards`), letters of ASCII alike in either case."""
    needle = wanted.encode("utf-8", "surrogateescape").lower()
    if not needle:
        return None
    size = size_of(part)
    over = len(needle) - 1
    if backwards:
        end = min(offset, size)
        while end > 0:
            start = max(0, end - _STRIDE)
            at = _piece(ws, part, start, end - start + over).lower().rfind(needle, 0, end - start + over)
            if at >= 0:
                return start + at
            end = start
        return None
    start = max(0, offset)
    while start < size:
        at = _piece(ws, part, start, _STRIDE + over).lower().find(needle)
        if at >= 0:
            return start + at
        start += _STRIDE
    return None


def _piece(ws: Workspace, part: AttemptLog, start: int, count: int) -> bytes:
    if part.log is not None:
        return contents.piece(ws, part.log.digest, start, count)
    if part.path is None:
        return b""
    try:
        with open(part.path, "rb") as file:
            file.seek(start)
            return file.read(count)
    except FileNotFoundError:
        return b""
