"""Runs in the index: one row each, listed newest first a page at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.model.result import NUMBER_WORDS
from gitml.core.records.record import Run, metrics_as_json
from gitml.store.index.results import UnrecordedTables

COLUMNS = (
    'id, runs.started, ended, pipeline, experiment, status, "commit", base, branch, dirty, message, '
    "tags, counts, metrics, record"
)
_LAST = "\U0010ffff"


class RunRow(NamedTuple):
    """What a list of runs shows of one: times in seconds since 1970, how many steps by outcome, metrics as ``step.metric``."""

    id: str
    started: float
    ended: float
    pipeline: str
    experiment: str
    status: str
    commit: str
    base: str | None
    branch: str | None
    dirty: bool
    message: str
    tags: tuple[str, ...]
    counts: Mapping[str, int]
    metrics: Mapping[str, float]
    record: str

    @property
    def seconds(self) -> float:
        """Wall time of the whole run."""
        return max(0.0, self.ended - self.started)


class RunTables(UnrecordedTables):
    """Runs, and the steps that were performed in them."""

    def put_run(self, run: Run, record_commit: str) -> None:
        """Keeps what lists and lineage need of a run; again for the same run replaces it. Reused steps cost no row.

        The results that were put for it count for good.
        """
        with self.batch():
            self._settle_all([run])
            if self._row("SELECT 1 FROM runs WHERE id = ?", (run.id,)):
                self._forget(run.id)
            self._run(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", run_values(run, record_commit)
            )
            for tag in run.tags:
                self._run("INSERT OR IGNORE INTO tags VALUES (?, ?, ?)", (tag, run.started, run.id))
            self._remember([run])
            for step in run.steps:
                if step.outcome in ("executed", "failed") and step.key is not None:
                    number = self._run(
                        "INSERT INTO steps (run, step, outcome, action) VALUES (?, ?, ?, ?)",
                        (run.id, step.name, step.outcome, self._action_number(step.key)),
                    ).lastrowid
                    self._run_many(
                        "INSERT OR IGNORE INTO made VALUES (?, ?, ?)",
                        [(output.digest, number, output.name) for output in step.outputs],
                    )

    def _remember(self, runs: Sequence[Run]) -> None:
        """Keeps what the contents of modules are called, and where each step failed last."""
        self._run_many(
            "INSERT INTO failures VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET key = excluded.key, run = excluded.run, at = excluded.at WHERE excluded.at > at",
            [
                (run.pipeline, step.name, step.key, run.id, run.ended)
                for run in runs
                for step in run.steps
                if step.outcome == "failed" and step.key is not None
            ],
        )
        every = [
            module for run in runs for module in run.modules.values() if {"name", "version", "content"} <= {*module}
        ]
        rows = {m["content"]: json.dumps({"name": m["name"], "version": m["version"]}) for m in every}
        if rows:
            self._run_many("INSERT OR REPLACE INTO facts VALUES ('module', ?, ?)", rows.items())

    def runs(
        self,
        *,
        pipeline: str | None = None,
        experiment: str | None = None,
        status: str | None = None,
        commit: str | None = None,
        on: str | None = None,
        branch: str | None = None,
        since: float | None = None,
        tag: str | None = None,
        limit: int | None = 50,
        before: str | None = None,
    ) -> list[RunRow]:
        """Runs that match all that is given, newest first. `before` is the id of the last run seen.

        `commit` is the beginning of the commit that was run, `on` of that or of the one the uncommitted work lay on.
        """
        terms: list[str] = []
        values: list[Any] = []
        for column, value in (
            ("pipeline", pipeline),
            ("experiment", experiment),
            ("status", status),
            ("branch", branch),
        ):
            if value is not None:
                terms.append(f"{column} = ?")
                values.append(value)
        if commit is not None:
            terms.append('"commit" >= ? AND "commit" < ?')
            values += [commit, commit + _LAST]
        if on is not None:
            terms.append('("commit" >= ? AND "commit" < ? OR base >= ? AND base < ?)')
            values += [on, on + _LAST] * 2
        # The primary key of tags is in the order of the list: with a tag, page by it.
        table, at, name = ("runs", "runs.started", "runs.id")
        if tag is not None:
            table, at, name = ("tags CROSS JOIN runs ON runs.id = tags.run", "tags.started", "tags.run")
            terms.append("tag = ?")
            values.append(tag)
        if since is not None:
            terms.append(f"{at} >= ?")
            values.append(since)
        if before is not None:
            terms.append(f"({at}, {name}) < (SELECT started, id FROM runs WHERE id = ?)")  # noqa: S608 - ours
            values.append(before)
        where = f"WHERE {' AND '.join(terms)}" if terms else ""
        values.append(-1 if limit is None else limit)
        sql = f"SELECT {COLUMNS} FROM {table} {where} ORDER BY {at} DESC, {name} DESC LIMIT ?"  # noqa: S608 - no value in it
        return [run_row(row) for row in self._rows(sql, values)]

    def newest_of_pipelines(self, count: int) -> dict[str, tuple[float, str]]:
        """For each pipeline (start, id) of the last of its `count` newest runs."""
        found = {}
        for (pipeline,) in self._rows("SELECT DISTINCT pipeline FROM runs"):
            rows = self._rows(
                "SELECT started, id FROM runs WHERE pipeline = ? ORDER BY started DESC, id DESC LIMIT ?",
                (pipeline, count),
            )
            found[pipeline] = (rows[-1][0], rows[-1][1])
        return found

    def ids_between(self, begin: float, end: float) -> set[str]:
        """The ids of the runs that started from `begin` to before `end`."""
        return {row[0] for row in self._rows("SELECT id FROM runs WHERE started >= ? AND started < ?", (begin, end))}

    def every_run(self) -> Iterator[tuple[str, float]]:
        """(id, start) of every run, read as it is asked for."""
        yield from self._run("SELECT id, started FROM runs")

    def count_runs(self) -> int:
        """How many runs there are."""
        row = self._row("SELECT count(*) FROM runs")
        assert row is not None
        return int(row[0])

    def has_run(self, id: str) -> bool:
        """Whether there is a run with this whole id."""
        return self._row("SELECT 1 FROM runs WHERE id = ?", (id,)) is not None

    def run_row(self, id: str) -> RunRow | None:
        """The run with this whole id."""
        row = self._row(f"SELECT {COLUMNS} FROM runs WHERE id = ?", (id,))  # noqa: S608 - columns are ours
        return run_row(row) if row else None

    def find_runs(self, prefix: str, limit: int = 20) -> list[str]:
        """The ids that begin with `prefix`, newest first."""
        rows = self._rows(
            "SELECT id FROM runs WHERE id >= ? AND id < ? ORDER BY started DESC, id DESC LIMIT ?",
            (prefix, prefix + _LAST, limit),
        )
        return [row[0] for row in rows]

    def _forget(self, id: str) -> None:
        self._run("DELETE FROM made WHERE step IN (SELECT id FROM steps WHERE run = ?)", (id,))
        self._run("DELETE FROM steps WHERE run = ?", (id,))
        self._run("DELETE FROM tags WHERE run = ?", (id,))
        self._run("DELETE FROM runs WHERE id = ?", (id,))


def run_values(run: Run, record_commit: str) -> tuple[Any, ...]:
    """The row of a run."""
    counts: dict[str, int] = {}
    for step in run.steps:
        counts[step.outcome] = counts.get(step.outcome, 0) + 1
    return (
        run.id,
        run.started,
        run.ended,
        run.pipeline,
        run.experiment,
        run.status,
        run.commit,
        run.base,
        run.branch,
        int(run.dirty),
        run.message,
        _json(run.tags),
        _json(counts),
        _json(metrics_as_json(run.metrics())),
        record_commit,
    )


def run_row(row: tuple[Any, ...]) -> RunRow:
    """The RunRow in a row of COLUMNS."""
    known = RunRow(*row)
    return known._replace(
        dirty=bool(known.dirty),
        tags=tuple(json.loads(row[11])),
        counts=json.loads(row[12]),
        metrics={name: NUMBER_WORDS.get(value, value) for name, value in json.loads(row[13]).items()},
    )


_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
