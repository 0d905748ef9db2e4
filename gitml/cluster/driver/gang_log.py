"""The log of a gang: what each of its nodes writes to a file of its own comes into one, in whole lines."""

from __future__ import annotations

import os

from gitml.core.model.protocols import Store
from gitml.core.records.record import LogRef
from gitml.errors import GitmlError
from gitml.execute.log import Log

_AT_ONCE = 1 << 20


class GangLog:
    """The one log at `path`; a node's own is at `part`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._log = Log(path)
        self._seen: dict[int, int] = {}  # bytes of each node's that are in the log
        self._rest: dict[int, bytes] = {}  # the line that a node has not ended

    def part(self, node: int) -> str:
        """The file that a node's output goes to."""
        return f"{self.path}.{node}"

    def follow(self, node: int) -> None:
        """Adds what a node wrote since."""
        try:
            with open(self.part(node), "rb") as file:
                file.seek(self._seen.get(node, 0))
                chunk = file.read(_AT_ONCE)
        except OSError:
            return
        self._add(node, chunk)

    def complete(self, node: int, whole: bytes | None) -> None:
        """The node writes no more; `whole` is all that it wrote, where that is known, else its file is."""
        if whole is None:
            self.follow(node)
        else:
            self._add(node, whole[self._seen.get(node, 0) :])
        if self._rest.get(node):
            self._add(node, b"\n")

    def keep(self, store: Store) -> LogRef | None:
        """Closes it and takes it into the Store; None when nothing was written, or it can't be kept."""
        if not self._log.close():
            return None
        try:
            digest, size = store.ingest_file(self.path)
        except (OSError, GitmlError):
            return None
        return LogRef(digest, size, self._log.written)

    def remove_part(self, node: int) -> None:
        """Removes a node's file."""
        try:
            os.unlink(self.part(node))
        except FileNotFoundError:
            return

    def _add(self, node: int, chunk: bytes) -> None:
        self._seen[node] = self._seen.get(node, 0) + len(chunk)
        whole, end, self._rest[node] = (self._rest.get(node, b"") + chunk).rpartition(b"\n")
        if end:
            self._log.write(whole + end)
