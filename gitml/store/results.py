"""The ActionCache in the index: results by ActionKey, the Actions behind them, and evidence of non-determinism."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gitml.core.action import Action, decode_action
from gitml.core.digest import Digest
from gitml.core.protocols import Failure
from gitml.core.result import ActionResult, decode_result, encode_result
from gitml.store.database import Database


class Performed(NamedTuple):
    """That a step's Action was performed: its key, the run, and when (seconds since 1970)."""

    key: Digest
    run: str
    at: float


class ResultTables(Database):
    """Results, variants and Actions."""

    def result(self, key: Digest) -> ActionResult | None:
        """The newest result kept for `key`, whether or not its bytes are still here."""
        row = self._row("SELECT result FROM results WHERE key = ?", (key,))
        return decoded(row[0]) if row else None

    def put_result(
        self, key: Digest, result: ActionResult, action_preimage: bytes | None, pipeline: str, step: str
    ) -> None:
        """Keeps a result, and what made it. The order of calls does not matter: the newest by its time counts.

        Where the results of one key differ in content, each is kept as a variant.
        """
        with self.batch():
            row = self._row("SELECT result FROM results WHERE key = ?", (key,))
            known = decoded(row[0]) if row else None
            if known is not None and not known.same_content(result):
                self._put_variant(key, known)
                self._put_variant(key, result)
            elif self._row("SELECT 1 FROM variants WHERE key = ?", (key,)):
                self._put_variant(key, result)
            if known is None or known.at <= result.at:
                self._run("INSERT OR REPLACE INTO results VALUES (?, ?)", (key, encode_result(result)))
            self._run(
                "INSERT INTO performed VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET run = excluded.run, at = excluded.at"
                " WHERE excluded.at > at",
                (pipeline, step, key, result.run, result.at),
            )
            if action_preimage is not None:
                self.put_action(key, action_preimage)

    def drop_result(self, key: Digest) -> None:
        """Forgets the result of `key`; its variants stay, they are evidence."""
        self._run("DELETE FROM results WHERE key = ?", (key,))

    def variants(self, key: Digest) -> list[ActionResult]:
        """The results of `key` that differ in content, newest first; empty when all that is known agrees."""
        found: list[ActionResult] = []
        for row in self._rows("SELECT result FROM variants WHERE key = ? ORDER BY at DESC", (key,)):
            result = decoded(row[0])
            if result is not None and not any(other.same_content(result) for other in found):
                found.append(result)
        return found

    def put_action(self, key: Digest, preimage: bytes) -> None:
        """Keeps an Action and, for lineage, what it names. Enough by itself for a step that failed."""
        row = self._row("SELECT id, preimage IS NOT NULL FROM actions WHERE key = ?", (key,))
        if row and row[1]:
            return
        with self.batch():
            number = self._action_number(key)
            self._run("UPDATE actions SET preimage = ? WHERE id = ?", (preimage, number))
            used = used_by(decode_action(preimage), number)
            self._run_many("INSERT OR IGNORE INTO used VALUES (?, ?, ?)", sorted(used))

    def action(self, key: Digest) -> Action | None:
        """The Action with this key."""
        row = self._row("SELECT preimage FROM actions WHERE key = ? AND preimage IS NOT NULL", (key,))
        if row is None:
            return None
        try:
            return decode_action(row[0])
        except ValueError:  # of another format: as good as not known
            return None

    def recent_actions(self, pipeline: str, step: str) -> Iterator[Action]:
        """The Actions last performed for a step of this name, newest first; some dozen at most."""
        for performed in self.results_of(pipeline, step, 12):
            action = self.action(performed.key)
            if action is not None:
                yield action

    def failure(self, pipeline: str, step: str) -> Failure | None:
        """Where a step of this name failed last."""
        row = self._row("SELECT key, run FROM failures WHERE pipeline = ? AND step = ?", (pipeline, step))
        return Failure(*row) if row else None

    def results_of(self, pipeline: str, step: str, limit: int) -> list[Performed]:
        """What was performed for a step of this name, newest first."""
        rows = self._rows(
            "SELECT key, run, at FROM performed WHERE pipeline = ? AND step = ? ORDER BY at DESC LIMIT ?",
            (pipeline, step, limit),
        )
        return [Performed(*row) for row in rows]

    def _put_variant(self, key: Digest, result: ActionResult) -> None:
        row = (key, result.run, result.at, encode_result(result))
        self._run("INSERT OR REPLACE INTO variants VALUES (?, ?, ?, ?)", row)

    def _action_number(self, key: Digest) -> int:
        self._run("INSERT OR IGNORE INTO actions (key) VALUES (?)", (key,))
        row = self._row("SELECT id FROM actions WHERE key = ?", (key,))
        assert row is not None
        return int(row[0])


def decoded(text: str) -> ActionResult | None:
    """A result, None for what can't be read: like all of the index it counts as not known, and is made again."""
    try:
        return decode_result(text)
    except ValueError:
        return None


def used_by(action: Action, number: int) -> set[tuple[str, str, int]]:
    """(content, path, number) of all that an Action names."""
    used = {(code.oid, code.path, number) for code in action.code}
    for item in action.inputs:
        content = item.content.rsplit(":", 1)[1] if item.content.startswith("git:") else item.content
        used.add((content, item.mount, number))
    return used
