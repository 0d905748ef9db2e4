"""Index: what the records, the store and the repository say, where it can be found fast. Losing it costs time only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gitml.core.model.digest import Digest
from gitml.errors import MachineError
from gitml.store.index.artifacts import ArtifactTables
from gitml.store.index.browse import BrowseTables
from gitml.store.index.bulk import BulkTables
from gitml.store.index.lineage import LineageTables
from gitml.store.index.series import SeriesTables
from gitml.store.index.upkeep import UpkeepTables


class Index(BrowseTables, BulkTables, LineageTables, UpkeepTables, SeriesTables, ArtifactTables):
    """The index at a path such as ``.git/gitml/index.db``; see Database for how it opens, ActionCache and Facts for its use."""

    _unwritten: dict[tuple[str, str], str] | None = None

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Many looks at one state of the index, at a third of the cost; facts remembered meanwhile are written at the end."""
        if self._db.in_transaction:
            yield
            return
        self._unwritten = {}
        self._run("BEGIN")
        try:
            yield
        finally:
            if self._db.in_transaction:
                self._run("COMMIT")
            unwritten, self._unwritten = self._unwritten, None
            if unwritten:
                rows = [(kind, id, text) for (kind, id), text in unwritten.items()]
                try:
                    self._remember_all(rows)
                except MachineError:
                    if not self.only_looks:
                        raise
                    self.detach()  # the disk is full: what was found out is to be had until the process ends
                    self._remember_all(rows)

    def _remember_all(self, rows: list[tuple[str, str, str]]) -> None:
        with self.batch():
            self._run_many("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", rows)

    def fact(self, kind: str, id: str) -> Any | None:
        """The JSON value remembered for (kind, id)."""
        if self._unwritten and (kind, id) in self._unwritten:
            return json.loads(self._unwritten[kind, id])
        row = self._row("SELECT value FROM facts WHERE kind = ? AND id = ?", (kind, id))
        return json.loads(row[0]) if row else None

    def remember(self, kind: str, id: str, value: Any) -> None:
        """Keeps a JSON value."""
        text = json.dumps(value, separators=(",", ":"))
        if self._unwritten is not None:
            self._unwritten[kind, id] = text
            return
        self._run("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (kind, id, text))

    def meta(self, name: str) -> str | None:
        """A value of the index itself, such as the record commit it knows all records up to."""
        row = self._row("SELECT value FROM meta WHERE name = ?", (name,))
        return row[0] if row else None

    def set_meta(self, name: str, value: str) -> None:
        """Keeps such a value."""
        self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def environment(self, digest: Digest) -> bytes | None:
        """The description of an environment."""
        row = self._row("SELECT description FROM environments WHERE digest = ?", (digest,))
        return row[0] if row else None

    def module(self, content: str) -> Mapping[str, str] | None:
        """What a module's content was called in a run that used it: ``name`` and ``version``."""
        known = self.fact("module", content)
        return known if isinstance(known, dict) else None

    def put_environment(self, digest: Digest, description: bytes) -> None:
        """Keeps the description of an environment; it may tell more than a record does, which has only what counts."""
        self._run("INSERT OR REPLACE INTO environments VALUES (?, ?)", (digest, description))

    def inline(self, digest: Digest) -> str | None:
        """The Git blob that holds this content inside the records."""
        row = self._row("SELECT oid FROM inline WHERE digest = ?", (digest,))
        return row[0] if row else None

    def inline_digest(self, oid: str) -> Digest | None:
        """The content that this Git blob holds inside the records."""
        row = self._row("SELECT digest FROM inline WHERE oid = ?", (oid,))
        return row and Digest(row[0])

    def put_inline(self, digest: Digest, oid: str) -> None:
        """Says which Git blob holds this content."""
        self._run("INSERT OR REPLACE INTO inline VALUES (?, ?)", (digest, oid))
