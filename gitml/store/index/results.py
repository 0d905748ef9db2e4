"""The ActionCache in the index: results by ActionKey, the Actions behind them, and evidence of non-determinism.

The index is written as steps end, the record when the run does, and a power cut may leave the first without the second. So the
results of a run without a record are marked, and taken back when it never gets one: nothing may be reused from a run that no
record has, and what was known before counts again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from gitml.core.model.action import Action, decode_action
from gitml.core.model.digest import Digest
from gitml.core.model.protocols import Failure
from gitml.core.model.result import ActionResult, decode_result, encode_result
from gitml.core.records.record import Run
from gitml.store.index.database import Database

_UNRECORDED = "unrecorded"
"""Facts of this kind: ``<run>:<key>`` is [pipeline, the result that was known before or null]."""
_RECORDS = (
    "inline", "results", "variants", "performed", "failures", "runs", "tags", "steps", "made", "used", "actions"
)  # fmt: skip


class PerformedAction(NamedTuple):
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

    def results_of(self, pipeline: str, step: str, limit: int) -> list[PerformedAction]:
        """What was performed for a step of this name, newest first."""
        rows = self._rows(
            "SELECT key, run, at FROM performed WHERE pipeline = ? AND step = ? ORDER BY at DESC LIMIT ?",
            (pipeline, step, limit),
        )
        return [PerformedAction(*row) for row in rows]

    def _put_variant(self, key: Digest, result: ActionResult) -> None:
        row = (key, result.run, result.at, encode_result(result))
        self._run("INSERT OR REPLACE INTO variants VALUES (?, ?, ?, ?)", row)

    def _action_number(self, key: Digest) -> int:
        self._run("INSERT OR IGNORE INTO actions (key) VALUES (?)", (key,))
        row = self._row("SELECT id FROM actions WHERE key = ?", (key,))
        assert row is not None
        return int(row[0])


class UnrecordedTables(ResultTables):
    """What is known of runs in progress."""

    def put_unrecorded(
        self, key: Digest, result: ActionResult, action_preimage: bytes | None, pipeline: str, step: str
    ) -> None:
        """As `put_result`, of a run without a record: it counts until `forget_unrecorded`, and for good once the run is put."""
        with self.batch():
            known = self._row("SELECT result FROM results WHERE key = ?", (key,))
            value = json.dumps([pipeline, known and known[0]])
            self._run("INSERT OR IGNORE INTO facts VALUES (?, ?, ?)", (_UNRECORDED, f"{result.run}:{key}", value))
            self.put_result(key, result, action_preimage, pipeline, step)

    def unrecorded(self) -> set[str]:
        """The runs without a record that results are known of."""
        rows = self._rows("SELECT DISTINCT substr(id, 1, instr(id, ':') - 1) FROM facts WHERE kind = ?", (_UNRECORDED,))
        return {row[0] for row in rows}

    def forget_unrecorded(self, run: str) -> None:
        """Takes back the results of a run that has no record; none when it was recorded meanwhile."""
        with self.batch():
            self._settle(run, frozenset())

    def forget_records(self, *told: str) -> None:
        """Empties the index of all that came from records, and of its values that are named, as if none had been read."""
        with self.batch():
            for table in _RECORDS:
                self._run(f"DELETE FROM {table}")  # noqa: S608 - names of ours
            self._run("DELETE FROM facts WHERE kind = ?", (_UNRECORDED,))
            self._run_many("DELETE FROM meta WHERE name = ?", [(name,) for name in told])

    def _settle_all(self, runs: Sequence[Run]) -> None:
        """Of runs that are recorded the results count that their records have, and no others."""
        waiting = self.unrecorded()
        for run in runs:
            if run.id in waiting:
                executed = {step.key for step in run.steps if step.outcome == "executed" and step.key is not None}
                self._settle(run.id, executed)

    def _settle(self, run: str, recorded: Set[Digest]) -> None:
        span = (_UNRECORDED, f"{run}:", f"{run};")
        where = "WHERE kind = ? AND id >= ? AND id < ?"
        marks: Mapping[str, str] = dict(self._rows(f"SELECT id, value FROM facts {where}", span))  # noqa: S608 - ours
        self._run(f"DELETE FROM facts {where}", span)  # noqa: S608 - no value in it
        for id, value in marks.items():
            key = Digest(id[len(run) + 1 :])
            if key not in recorded:
                pipeline, before = json.loads(value)
                self._take_back(run, key, pipeline, before)

    def _take_back(self, run: str, key: Digest, pipeline: str, before: str | None) -> None:
        known = decoded(before) if before is not None else None
        if known is not None and not self._is_had(known.run, key):
            known = None  # which was lost as well
        row = self._row("SELECT result FROM results WHERE key = ?", (key,))
        now = decoded(row[0]) if row else None
        if now is None or now.run == run:
            if known is None:
                self._run("DELETE FROM results WHERE key = ?", (key,))
            else:
                self._run("INSERT OR REPLACE INTO results VALUES (?, ?)", (key, before))
        which = "WHERE pipeline = ? AND key = ? AND run = ?"
        if known is None:
            self._run(f"DELETE FROM performed {which}", (pipeline, key, run))  # noqa: S608 - no value in it
        else:
            told = (known.run, known.at, pipeline, key, run)
            self._run(f"UPDATE performed SET run = ?, at = ? {which}", told)  # noqa: S608 - no value in it
        self._run("DELETE FROM variants WHERE key = ? AND run = ?", (key, run))
        if len(self._rows("SELECT 1 FROM variants WHERE key = ?", (key,))) == 1:  # it differs from nothing any more
            self._run("DELETE FROM variants WHERE key = ?", (key,))

    def _is_had(self, run: str, key: Digest) -> bool:
        """Whether a run's record has this result, or the run may still get one."""
        mark = self._row("SELECT 1 FROM facts WHERE kind = ? AND id = ?", (_UNRECORDED, f"{run}:{key}"))
        executed = (
            "SELECT 1 FROM steps JOIN actions ON actions.id = action WHERE run = ? AND key = ? AND outcome = 'executed'"
        )
        return mark is not None or self._row(executed, (run, key)) is not None


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
