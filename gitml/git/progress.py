"""What git writes to its stderr while it transfers: progress for a watcher, and the rest as text."""

from __future__ import annotations

import re
import select
import time
from collections import deque
from collections.abc import Callable
from typing import IO, NamedTuple


class Progress(NamedTuple):
    """How far a transfer is: `what` is done (``Receiving``), `total` None while unknown, `rate` as git writes it."""

    what: str
    done: int
    total: int | None
    rate: str


Watch = Callable[[Progress], None]


_KEPT = 1000  # lines, the last ones: git says there why it failed, and a remote may say as much as it likes
_LONGEST = 2000
_TELLS_PROGRESS = re.compile(r"(remote: )?[A-Z][a-z]+ [a-z ]+: +\d+(%|, done| *\Z)")


def read_stderr(stream: IO[bytes], watch: Watch | None, silence: float | None = None, end: float | None = None) -> str:
    """What git writes to its stderr, less the lines of progress: those go to `watch`, as they come.

    TimeoutError when nothing comes for `silence` seconds, or when it goes on at `end` of the monotonic clock.
    """
    handle: Callable[[str], None] | None = None
    kept: deque[str] = deque(maxlen=_KEPT)
    rest = b""
    while chunk := _more(stream, silence, end):
        rest += chunk
        *lines, rest = rest.replace(b"\r", b"\n").split(b"\n")
        rest = rest[-_LONGEST:]
        for line in lines:
            text = line[:_LONGEST].decode("utf-8", "replace").rstrip()
            if watch is not None and not text.startswith(("fatal: ", "error: ")):
                handle = handle or _handler(watch, kept.append)
                handle(text)
            elif text and not _TELLS_PROGRESS.match(text):
                kept.append(text)
    if rest.strip():
        kept.append(rest.decode("utf-8", "replace").rstrip())
    return "\n".join(kept)


def _more(stream: IO[bytes], silence: float | None, end: float | None) -> bytes:
    wait = silence
    if end is not None:
        left = max(0.0, end - time.monotonic())
        wait = left if wait is None else min(wait, left)
    waiting = select.poll()
    waiting.register(stream, select.POLLIN)
    if wait is not None and not waiting.poll(1000 * wait):
        raise TimeoutError(f"no answer in {wait:.0f} s" if wait == silence else "it takes too long")
    chunk: bytes = stream.read1(1 << 16)  # type: ignore[attr-defined]
    return chunk


def _handler(watch: Watch, other: Callable[[str], None]) -> Callable[[str], None]:
    """Reads a line as GitPython does. Importing that takes longer than a small transfer, so nobody does who does not watch."""
    from git import RemoteProgress

    names = {
        RemoteProgress.COUNTING: "Counting objects",
        RemoteProgress.COMPRESSING: "Compressing objects",
        RemoteProgress.WRITING: "Sending",
        RemoteProgress.RECEIVING: "Receiving",
        RemoteProgress.RESOLVING: "Unpacking",
        RemoteProgress.FINDING_SOURCES: "Finding sources",
        RemoteProgress.CHECKING_OUT: "Writing files",
    }

    class Lines(RemoteProgress):
        def line_dropped(self, line: str) -> None:
            other(line)

        def update(
            self, op_code: int, cur_count: str | float, max_count: str | float | None = None, message: str = ""
        ) -> None:
            what = names.get(op_code & self.OP_MASK)
            if what is not None:
                watch(Progress(what, int(cur_count or 0), int(max_count) if max_count else None, message))

    return Lines().new_message_handler()
