"""Contents that steps made: who made and who used one, and all of them as a list that is sorted, searched and paged in memory."""

from __future__ import annotations

import sqlite3
import threading
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from gitml.core.kinds.port_kinds import is_directory
from gitml.core.model.digest import Digest
from gitml.store.index.index import Index, escaped


class ContentMaker(NamedTuple):
    """That a port of a step in a run gave a content; the newest of equals comes first."""

    key: Digest
    port: str
    run: str
    step: str
    pipeline: str


class ContentUse(NamedTuple):
    """That an Action names a content at a path; run, step and pipeline performed it, None when no record has that."""

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


def makers_of(index: Index, digest: Digest) -> list[ContentMaker]:
    """The performed steps that gave this content, newest first."""
    rows = index.rows(
        "SELECT actions.key, made.port, steps.run, steps.step, runs.pipeline FROM made"
        " JOIN steps ON steps.id = made.step JOIN actions ON actions.id = steps.action"
        " JOIN runs ON runs.id = steps.run WHERE made.digest = ? ORDER BY runs.started DESC, steps.id",
        (digest,),
    )
    return [ContentMaker(*row) for row in rows]


def made_with_prefix(index: Index, prefix: str, limit: int = 2) -> list[Digest]:
    """Digests that begin with `prefix` (``sha256:`` and some hex digits) and that performed steps gave."""
    high = f"{prefix}g"  # g follows every hex digit
    rows = index.rows(
        "SELECT DISTINCT digest FROM made WHERE digest >= ? AND digest < ? LIMIT ?", (prefix, high, limit)
    )
    return [Digest(row[0]) for row in rows]


def users_of(index: Index, content: str) -> list[ContentUse]:
    """The performed steps whose Action names this content (a Digest or a Git object id), newest first."""
    rows = index.rows(f"{_USES} WHERE used.content = ? ORDER BY runs.started DESC, used.path, steps.id", (content,))
    return [ContentUse(*row) for row in rows]


def uses_below(index: Index, folder: str) -> list[ContentUse]:
    """The performed steps whose Action names a path below this one, newest first."""
    low, high = f"{folder}/", f"{folder}0"  # 0 follows /
    rows = index.rows(
        f"{_USES} WHERE used.path > ? AND used.path < ? ORDER BY runs.started DESC, used.path, steps.id",
        (low, high),
    )
    return [ContentUse(*row) for row in rows]


HERE, RECORD, REMOTE, GONE = "here", "record", "remote", "gone"
"""Where an artifact's bytes are: in the Store, inline in the record alone, in a remote store alone, nowhere that is known."""


class Artifact(NamedTuple):
    """A content that steps made; what names it are the pipeline, step, port and run that made it last.

    `size` is None when no result has it. `makers` counts the runs that made it, `uses` the Actions that took it in; `used` is
    when it was last made or taken in by a step that ran (reuse is not counted), `made` when it was last made.
    """

    digest: Digest
    pipeline: str
    step: str
    port: str
    run: str
    kind: str
    size: int | None
    made: float
    makers: int
    uses: int
    used: float
    where: str

    @property
    def name(self) -> str:
        """``step.port``."""
        return f"{self.step}.{self.port}"

    @property
    def is_tree(self) -> bool:
        """Whether it is a directory."""
        return is_directory(self.kind)


COLUMNS = ("name", "kind", "size", "where", "uses", "used", "made", "run", "pipeline")
"""What a list can be sorted by."""


class ArtifactQuery(NamedTuple):
    """Which artifacts, in what order: each of `words` occurs in name, pipeline, kind, run, place or digest; by one of COLUMNS."""

    words: tuple[str, ...] = ()
    order: str = "used"
    descending: bool = True


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
# The outputs of every result, and of those that differed.
_SIZED = """
SELECT json_extract(value, '$[2]'), json_extract(value, '$[1]'), json_extract(value, '$[3]')
FROM {table}, json_each(CASE WHEN json_valid({table}.result) THEN {table}.result ELSE '[[]]' END, '$[0]')
"""
_TABLE = """
CREATE TABLE artifact (digest TEXT PRIMARY KEY, pipeline TEXT, step TEXT, port TEXT, run TEXT, kind TEXT, size INTEGER,
                       made REAL, makers INTEGER, uses INTEGER DEFAULT 0, used REAL, place TEXT DEFAULT 'gone');
"""
_NAMES = "digest, pipeline, step, port, run, kind, size, made, makers, uses, used, place"
# Those that are not the column of the name. The digest comes after each, so that equal ones have an order.
_ORDERS = {"name": "step {0}, port {0}", "where": "place {0}", "size": "coalesce(size, -1) {0}"}


class ArtifactList:
    """The artifacts of an index at one moment. May be asked from any thread."""

    def __init__(self, index: Index, present: Iterable[Digest]) -> None:
        self._lock = threading.Lock()
        self._query: ArtifactQuery | None = None
        self._order = array("q")
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        db = self._db
        db.execute(_TABLE)
        db.execute("BEGIN")
        db.executemany(
            "INSERT INTO artifact (digest, pipeline, step, port, run, made, used, makers) VALUES (?1,?2,?3,?4,?5,?6,?6,?7)",
            index.execute(_MADE),
        )
        db.executemany(
            "UPDATE artifact SET uses = ?2, used = max(used, coalesce(?3, 0)) WHERE digest = ?1",
            index.execute(_USED),
        )
        for table in ("variants", "results"):
            sized = index.execute(_SIZED.format(table=table))
            db.executemany("UPDATE artifact SET kind = ?2, size = ?3 WHERE digest = ?1", sized)
        db.execute("UPDATE artifact SET kind = 'file' WHERE kind IS NULL")
        db.executemany(
            "UPDATE artifact SET place = 'record' WHERE digest = ?", index.execute("SELECT digest FROM inline")
        )
        db.executemany("UPDATE artifact SET place = 'here' WHERE digest = ?", ((digest,) for digest in present))
        db.execute("COMMIT")

    def count(self, wanted: ArtifactQuery) -> int:
        """How many there are that fit."""
        with self._lock:
            return len(self._ordered(wanted))

    def page(self, wanted: ArtifactQuery, offset: int, limit: int) -> list[Artifact]:
        """Those that fit, in the order that is wanted, from the one at `offset` on."""
        with self._lock:
            places = self._ordered(wanted)[offset : offset + limit]
            marks = ",".join("?" * len(places))
            sql = f"SELECT rowid, {_NAMES} FROM artifact WHERE rowid IN ({marks})"  # noqa: S608 - no value in it
            found = {row[0]: Artifact(*row[1:]) for row in self._db.execute(sql, places)}
        return [found[place] for place in places]

    def _ordered(self, wanted: ArtifactQuery) -> array[int]:
        """The rows that fit, in order; those last asked for are remembered."""
        if self._query != wanted:
            where, values = _matching(wanted.words)
            by = _ORDERS.get(wanted.order, f"{wanted.order if wanted.order in COLUMNS else 'used'} {{0}}")
            by = by.format("DESC" if wanted.descending else "ASC")
            sql = f"SELECT rowid FROM artifact {where} ORDER BY {by}, digest"  # noqa: S608 - no value in it
            self._order = array("q", [row[0] for row in self._db.execute(sql, values)])
            self._query = wanted
        return self._order

    def find(self, digest: Digest) -> Artifact | None:
        """The artifact with this digest."""
        rows = self._rows(f"SELECT {_NAMES} FROM artifact WHERE digest = ?", [digest])  # noqa: S608 - no value in it
        return Artifact(*rows[0]) if rows else None

    def totals(self) -> dict[str, tuple[int, int]]:
        """(how many, bytes) by where they are. Directories that share files count them each."""
        # `total` takes sizes that add up to more than an integer holds, which records of others may say
        rows = self._rows("SELECT place, count(*), total(size) FROM artifact GROUP BY place", [])
        return {place: (count, int(size)) for place, count, size in rows}

    def gone(self, limit: int) -> list[Artifact]:
        """Those that are nowhere on this machine, at most `limit`, the last used first."""
        sql = f"SELECT {_NAMES} FROM artifact WHERE place = 'gone' ORDER BY used DESC, digest LIMIT ?"  # noqa: S608 - no value in it
        return [Artifact(*row) for row in self._rows(sql, [limit])]

    def found_in_remotes(self, digests: Iterable[Digest]) -> None:
        """Notes which of those that are gone a remote store has."""
        with self._lock:
            self._db.execute("BEGIN")
            self._db.executemany(
                "UPDATE artifact SET place = 'remote' WHERE digest = ? AND place = 'gone'", ((d,) for d in digests)
            )
            self._db.execute("COMMIT")
            self._query = None  # the place is searched and sorted by

    def _rows(self, sql: str, values: Sequence[Any]) -> list[Any]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()


def _matching(words: Sequence[str]) -> tuple[str, list[str]]:
    """The clause, and its values, for rows in which each word occurs."""
    if not words:
        return "", []
    text = " || ' ' || ".join(("step || '.' || port", "pipeline", "kind", "run", "place", "digest"))
    term = f"{text} LIKE ? ESCAPE '\\'"
    return f"WHERE {' AND '.join([term] * len(words))}", [f"%{escaped(word)}%" for word in words]
