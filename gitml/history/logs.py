"""Logs of steps: of recorded runs from the store or the record, of runs in progress from the files being written.

They are read whole, followed, or a page at a time, for which only that page is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from gitml.core.language.diagnostics import nearest
from gitml.core.records.record import LogRef, StepRun
from gitml.core.text.format import safe_line
from gitml.errors import InputError
from gitml.history.files import contents
from gitml.history.runs import FoundRun, get_run, holder_of, step_numbers
from gitml.store.index.runs import run_row
from gitml.workspace import Workspace

_CHUNK = 1 << 16


class AttemptLog(NamedTuple):
    """The log of one attempt: a file while it is written, in the store later. `number` counts a step's attempts from 1."""

    step: str
    attempt: str
    number: int
    of: int
    log: LogRef | None = None
    path: str | None = None
    origin: str | None = None

    @property
    def cut(self) -> int:
        """How many bytes the step wrote beyond what was kept."""
        return self.log.written - self.log.size if self.log else 0


def attempt_logs(ws: Workspace, found: FoundRun, step: str | None = None) -> list[AttemptLog]:
    """The logs of a run, or of one step of it (``train`` means all its combinations), in order of steps and attempts.

    A reused step has the log of the run it comes from, only when it is named. InputError for a step that the run lacks.
    """
    recorded = {item.name: item for item in found.run.steps}
    numbers = step_numbers(found.live.folder) if found.live is not None else {}
    names = list(recorded if found.live is None else numbers)
    if step is not None:
        wanted = [name for name in names if step in (name, name.partition("[")[0])]
        if not wanted:
            raise InputError(f"run {found.run.id[:8]} has no step {step!r}{nearest(step, names)}")
        names = wanted
    made: list[AttemptLog] = []
    for name in names:
        item = recorded.get(name)
        if item is not None and item.outcome == "reused":
            if step is not None:
                made += _of_origin(ws, item)
        elif found.live is not None:
            made += _live_parts(found.live.folder, name, numbers[name])
        elif item is not None:
            made += _kept_parts(item)
    return made


def lines_at_end(ws: Workspace, item: StepRun, count: int) -> list[str]:
    """The last lines that a finished step wrote; empty when it wrote none or they can't be had."""
    log = next((attempt.log for attempt in reversed(item.attempts) if attempt.log is not None), None)
    if log is None or not contents.is_here(ws, log.digest, log.size, tree=False):
        return []
    room = 200 * count + 4096
    data = contents.piece(ws, log.digest, max(0, log.size - room), room)
    if len(data) >= room:  # it begins within a line, of which a program may have drawn over what came before
        cut = min((at for at in (data.find(b"\n"), data.find(b"\r")) if at >= 0), default=-1)
        data = data[cut + 1 :]
    return data.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n")[-count:]


def read(ws: Workspace, part: AttemptLog, start: int = 0) -> Iterator[bytes]:
    """The bytes of a log from `start` on, as far as they are written now."""
    if part.log is not None:
        skipped = 0
        for chunk in contents.chunks(ws, part.log.digest) if not start or part.log.size > start else ():
            piece = chunk[max(0, start - skipped) :]
            skipped += len(chunk)
            if piece:
                yield piece
    elif part.path is not None:
        with suppress(FileNotFoundError), open(part.path, "rb") as file:
            file.seek(start)
            while chunk := file.read(_CHUNK):
                yield chunk


class LogFollower:
    """Follows what the steps of a run write. `poll` until `ended`; it never waits itself."""

    def __init__(self, ws: Workspace, found: FoundRun, step: str | None) -> None:
        attempt_logs(ws, found, step)  # an unknown step is reported at once
        self.ws = ws
        self.id = found.run.id
        self.step = step
        self.read: dict[str, int] = {}  # bytes given, by attempt
        self.ended = False

    def poll(self) -> Iterator[tuple[AttemptLog, bytes]]:
        """What was written since the last call. After the run's end this gives what was left, and `ended` is set."""
        gone = holder_of(self.ws, self.id) is None
        found = get_run(self.ws, self.id)
        for part in attempt_logs(self.ws, found, self.step):
            if part.origin is not None:
                continue
            given = self.read.get(part.attempt, 0)
            for chunk in read(self.ws, part, given):
                given += len(chunk)
                self.read[part.attempt] = given
                yield part, chunk
        self.ended = found.live is None or gone


def _kept_parts(item: StepRun) -> list[AttemptLog]:
    of = len(item.attempts)
    return [
        AttemptLog(item.name, attempt.id, number, of, attempt.log)
        for number, attempt in enumerate(item.attempts, start=1)
    ]


def _of_origin(ws: Workspace, item: StepRun) -> list[AttemptLog]:
    if item.origin is None or run_row(ws.index, item.origin) is None:
        return []
    for other in get_run(ws, item.origin).run.steps:
        if other.key == item.key and other.attempts:
            return [part._replace(step=item.name, origin=item.origin) for part in _kept_parts(other)]
    return []


def _live_parts(folder: str, name: str, index: int) -> list[AttemptLog]:
    logs = os.path.join(folder, "logs")
    try:
        listed = os.listdir(logs)
    except FileNotFoundError:
        return []
    log_of_step = re.compile(re.escape(f"{index}-") + r"([0-9]+)\.log\Z")
    numbers = sorted(int(match[1]) for match in map(log_of_step.match, listed) if match)
    return [
        AttemptLog(name, f"{index}-{number}", number, len(numbers), path=os.path.join(logs, f"{index}-{number}.log"))
        for number in numbers
    ]


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
    if part.path is not None:
        with suppress(FileNotFoundError), open(part.path, "rb") as file:
            file.seek(start)
            return file.read(count)
    return b""
