"""What the index knows of every content that steps made: who gave it, who took it in, how large it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitml.store.index.database import Database

_MADE = """
SELECT made.digest, runs.pipeline, steps.step, made.port, steps.run, max(runs.started), count(*)
FROM made JOIN steps ON steps.id = made.step JOIN runs ON runs.id = steps.run GROUP BY made.digest
"""
_USED = """
SELECT used.content, count(DISTINCT used.action), max(runs.started)
FROM used LEFT JOIN steps ON steps.action = used.action LEFT JOIN runs ON runs.id = steps.run
WHERE used.content >= 'sha256:' AND used.content < 'sha256;' GROUP BY used.content
"""
# An output in a result is [name, kind, digest, size, executable]. A result with NaN that an earlier gitml kept is no JSON.
_SIZED = """
SELECT json_extract(value, '$[2]'), json_extract(value, '$[1]'), json_extract(value, '$[3]')
FROM {table}, json_each(CASE WHEN json_valid({table}.result) THEN {table}.result ELSE '[[]]' END, '$[0]')
"""


class ArtifactTables(Database):
    """What the index knows of artifacts."""

    def made_artifacts(self) -> Iterator[tuple[Any, ...]]:
        """(digest, pipeline, step, port, run, started, how many made it) of every content that a step gave."""
        return iter(self._run(_MADE))

    def used_artifacts(self) -> Iterator[tuple[Any, ...]]:
        """(digest, Actions that name it, the newest start of a run that performed one) of what steps took in."""
        return iter(self._run(_USED))

    def sized_artifacts(self) -> Iterator[tuple[Any, ...]]:
        """(digest, kind, size) of every output of every result that is known, and of those that differed."""
        for table in ("variants", "results"):
            yield from self._run(_SIZED.format(table=table))

    def inline_digests(self) -> Iterator[tuple[Any, ...]]:
        """(digest,) of all that records hold."""
        return iter(self._run("SELECT digest FROM inline"))
