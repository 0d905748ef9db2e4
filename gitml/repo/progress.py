"""What git tells while it transfers: progress for whoever watches, and the rest as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, NamedTuple


class Progress(NamedTuple):
    """How far a transfer is: `what` is done (``Receiving``), `total` None while unknown, `rate` as git writes it."""

    what: str
    done: int
    total: int | None
    rate: str


Watch = Callable[[Progress], None]


def read_stderr(stream: IO[bytes], watch: Watch | None) -> str:
    """All that git writes to its stderr, less the lines that tell progress: those go to `watch`, as they come."""
    handle: Callable[[str], None] | None = None
    kept: list[str] = []
    rest = b""
    while chunk := stream.read1(1 << 16):  # type: ignore[attr-defined]
        rest += chunk
        *lines, rest = rest.replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip()
            if watch is not None and not text.startswith(("fatal: ", "error: ")):
                handle = handle or _handler(watch, kept.append)
                handle(text)
            elif text:
                kept.append(text)
    if rest.strip():
        kept.append(rest.decode("utf-8", "replace").rstrip())
    return "\n".join(kept)


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
