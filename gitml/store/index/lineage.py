"""Lineage in the index: who made a content, and who used one."""

from __future__ import annotations

from typing import NamedTuple

from gitml.core.model.digest import Digest
from gitml.store.index.database import Database


class ContentMaker(NamedTuple):
    """That a port of a step in a run gave a content; the newest of equals comes first."""

    key: Digest
    port: str
    run: str
    step: str
    pipeline: str


class ContentUse(NamedTuple):
    """That an Action names a content at a path; run, step and pipeline performed it, None when no record says so."""

    key: Digest
    path: str
    content: str
    run: str | None
    step: str | None
    pipeline: str | None


_USES = """
SELECT actions.key, used.path, used.content, steps.run, steps.step, runs.pipeline FROM used
JOIN actions ON actions.id = used.action
LEFT JOIN steps ON steps.action = used.action
LEFT JOIN runs ON runs.id = steps.run
"""


class LineageTables(Database):
    """Questions about what the performed steps made and used."""

    def makers(self, digest: Digest) -> list[ContentMaker]:
        """The performed steps that gave this content, newest first."""
        rows = self._rows(
            "SELECT actions.key, made.port, steps.run, steps.step, runs.pipeline FROM made"
            " JOIN steps ON steps.id = made.step JOIN actions ON actions.id = steps.action"
            " JOIN runs ON runs.id = steps.run WHERE made.digest = ? ORDER BY runs.started DESC, steps.id",
            (digest,),
        )
        return [ContentMaker(*row) for row in rows]

    def find_made(self, prefix: str, limit: int = 2) -> list[Digest]:
        """Digests that begin with `prefix` (``sha256:`` and some hex digits) and that performed steps gave."""
        high = f"{prefix}g"  # g follows every hex digit
        rows = self._rows(
            "SELECT DISTINCT digest FROM made WHERE digest >= ? AND digest < ? LIMIT ?", (prefix, high, limit)
        )
        return [Digest(row[0]) for row in rows]

    def users(self, content: str) -> list[ContentUse]:
        """The performed steps whose Action names this content (a Digest or a Git object id), newest first."""
        rows = self._rows(f"{_USES} WHERE used.content = ? ORDER BY runs.started DESC, used.path, steps.id", (content,))
        return [ContentUse(*row) for row in rows]

    def uses_below(self, folder: str) -> list[ContentUse]:
        """The performed steps whose Action names a path below this one, newest first."""
        low, high = f"{folder}/", f"{folder}0"  # 0 follows /
        rows = self._rows(
            f"{_USES} WHERE used.path > ? AND used.path < ? ORDER BY runs.started DESC, used.path, steps.id",
            (low, high),
        )
        return [ContentUse(*row) for row in rows]

    def uses_path(self, path: str) -> list[ContentUse]:
        """The performed steps whose Action names this path, whatever was there, newest first."""
        rows = self._rows(f"{_USES} WHERE used.path = ? ORDER BY runs.started DESC, steps.id", (path,))
        return [ContentUse(*row) for row in rows]
