"""Many runs into the index at once: as `put_run` and `put_result` for each, in a fraction of the statements."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.model.action import Action
from gitml.core.model.digest import Digest
from gitml.core.model.result import ActionResult, encode_result
from gitml.core.records.record import Run, StepRun
from gitml.store.index.results import decoded, used_by
from gitml.store.index.runs import RunTables, run_values


class Preimage(NamedTuple):
    """An Action and the bytes its key is the digest of."""

    content: bytes
    action: Action


class RecordedRun(NamedTuple):
    """A Run, the commit that holds its record, and the Actions that it performed, as far as the record has them."""

    run: Run
    commit: str
    actions: Mapping[Digest, Preimage]


class BulkTables(RunTables):
    """Writing in bulk."""

    def put_many(self, recorded: Sequence[RecordedRun]) -> None:
        """Keeps runs, what their executed steps gave, and the Actions behind them. A run that is there is replaced."""
        with self.batch():
            self._settle_all([item.run for item in recorded])
            for (id,) in self._among("SELECT id FROM runs WHERE id IN ", [item.run.id for item in recorded]):
                self._forget(id)
            self._run_many(
                "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [run_values(item.run, item.commit) for item in recorded],
            )
            tags = [(tag, item.run.started, item.run.id) for item in recorded for tag in item.run.tags]
            self._run_many("INSERT OR IGNORE INTO tags VALUES (?, ?, ?)", tags)
            self._remember([item.run for item in recorded])
            performed = [
                (item, step, step.key)
                for item in recorded
                for step in item.run.steps
                if step.key is not None and step.outcome in ("executed", "failed")
            ]
            if performed:
                self._put_performed(performed)

    def put_contents(self, inline: Iterable[tuple[Digest, str]], environments: Mapping[Digest, bytes]) -> None:
        """Says which Git blobs hold contents, and keeps descriptions of environments."""
        self._run_many("INSERT OR REPLACE INTO inline VALUES (?, ?)", inline)
        self._run_many("INSERT OR IGNORE INTO environments VALUES (?, ?)", environments.items())

    def _put_performed(self, performed: Sequence[tuple[RecordedRun, StepRun, Digest]]) -> None:
        preimages: dict[Digest, Preimage | None] = {}
        for item, _, key in performed:
            preimages[key] = preimages.get(key) or item.actions.get(key)
        numbers = self._put_actions(preimages)
        last = self._row("SELECT coalesce(max(id), 0) FROM steps")
        assert last is not None
        steps, made = [], []
        for number, (item, step, key) in enumerate(performed, last[0] + 1):
            steps.append((number, item.run.id, step.name, step.outcome, numbers[key]))
            made += [(output.digest, number, output.name) for output in step.outputs]
        self._run_many("INSERT INTO steps VALUES (?, ?, ?, ?, ?)", steps)
        self._run_many("INSERT OR IGNORE INTO made VALUES (?, ?, ?)", made)
        results = [
            (
                item.run.pipeline,
                step.name,
                key,
                ActionResult(step.outputs, step.metrics, step.cost, item.run.id, item.run.ended, step.guarantees),
            )
            for item, step, key in performed
            if step.outcome == "executed"
        ]
        self._put_results(results)
        self._run_many(
            "INSERT INTO performed VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET run = excluded.run, at = excluded.at"
            " WHERE excluded.at > at",
            [(pipeline, step, key, result.run, result.at) for pipeline, step, key, result in results],
        )

    def _put_actions(self, preimages: Mapping[Digest, Preimage | None]) -> dict[Digest, int]:
        """The number of each Action, kept with its pre-image where that is new."""
        self._run_many("INSERT OR IGNORE INTO actions (key) VALUES (?)", [(key,) for key in preimages])
        rows = self._among("SELECT key, id, preimage IS NOT NULL FROM actions WHERE key IN ", list(preimages))
        contents: list[tuple[bytes, int]] = []
        used: list[tuple[str, str, int]] = []
        for key, number, known in rows:
            preimage = preimages[key]
            if preimage is not None and not known:
                contents.append((preimage.content, number))
                used += used_by(preimage.action, number)
        self._run_many("UPDATE actions SET preimage = ? WHERE id = ?", contents)
        self._run_many("INSERT OR IGNORE INTO used VALUES (?, ?, ?)", used)
        return {key: number for key, number, _ in rows}

    def _put_results(self, results: Sequence[tuple[str, str, Digest, ActionResult]]) -> None:
        """The newest of each key by its time counts; where contents differ each is kept as a variant, whatever the order."""
        keys = list({key: None for _, _, key, _ in results})
        newest = {
            key: decoded(text) for key, text in self._among("SELECT key, result FROM results WHERE key IN ", keys)
        }
        varied = {key for (key,) in self._among("SELECT DISTINCT key FROM variants WHERE key IN ", keys)}
        variants: list[tuple[str, str, float, str]] = []
        changed: dict[Digest, ActionResult] = {}
        for _, _, key, result in results:
            known = newest.get(key)
            if known is not None and not known.same_content(result):
                varied.add(key)
                variants.append((key, known.run, known.at, encode_result(known)))
            if key in varied:
                variants.append((key, result.run, result.at, encode_result(result)))
            if known is None or known.at <= result.at:
                newest[key] = changed[key] = result
        self._run_many("INSERT OR REPLACE INTO variants VALUES (?, ?, ?, ?)", variants)
        self._run_many(
            "INSERT OR REPLACE INTO results VALUES (?, ?)",
            [(key, encode_result(result)) for key, result in changed.items()],
        )

    def _among(self, select: str, values: Sequence[str]) -> list[Any]:
        """The rows of a SELECT that ends in ``IN`` for these values."""
        sql = f"{select} (SELECT value FROM json_each(?))"  # noqa: S608 - no value in it
        return self._rows(sql, (json.dumps(values),)) if values else []
