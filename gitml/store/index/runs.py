"""Runs in the index: one row each, listed newest first a page at a time, or in any order and under any condition."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple

from gitml.core.model.digest import Digest
from gitml.core.model.result import ActionResult
from gitml.core.records.record import Run, StepRun, metrics_as_json
from gitml.core.text.format import NUMBER_WORDS
from gitml.store.index.index import Index, escaped
from gitml.store.index.results import Preimage, StepResult, put_actions, put_results, settle_runs

_COLUMNS = (
    'id, runs.started, ended, pipeline, experiment, status, "commit", base, branch, dirty, message, '
    "tags, counts, metrics, record"
)
_LAST = "\U0010ffff"
_TEXTS = (
    'id || char(10) || pipeline || char(10) || experiment || char(10) || status || char(10) || "commit" || char(10) '
    "|| coalesce(base, '') || char(10) || coalesce(branch, '') || char(10) || message || char(10) || tags"
)
"""What is searched for a word; words have no line feed, so none is found across two columns."""
_SORTS = {
    "started": "started",
    "seconds": "ended - started",
    "pipeline": "pipeline",
    "experiment": "experiment",
    "status": "status",
    "branch": "branch",
    "commit": 'coalesce(base, "commit")',
}
_SIGNS = frozenset(("<", "<=", ">", ">=", "="))


class RunRow(NamedTuple):
    """What a list of runs shows of one: times in seconds since 1970, how many steps by outcome, metrics as ``step.metric``."""

    id: str
    started: float
    ended: float
    pipeline: str
    experiment: str
    status: str
    commit: str
    base: str | None = None
    branch: str | None = None
    dirty: bool = False
    message: str = ""
    tags: tuple[str, ...] = ()
    counts: Mapping[str, int] = {}
    metrics: Mapping[str, float] = {}
    record: str = ""

    @property
    def seconds(self) -> float:
        """Wall time of the whole run."""
        return max(0.0, self.ended - self.started)


ConditionKind = Literal["text", "field", "prefix", "tag", "since", "metric"]


class RunCondition(NamedTuple):
    """One thing that a run must have. `kind` is what is compared:

    ``text``: the value occurs somewhere in its names, ids, message or tags; ``field``: a column named `name` equals it;
    ``prefix``: the column begins with it; ``tag``: it has the tag; ``since``: it started then or later; ``metric``: a metric
    called `name`, with or without its step, stands in the relation `sign` to it, as a finite number.
    """

    kind: ConditionKind
    value: str | float
    name: str = ""
    sign: str = "="


class RunSort(NamedTuple):
    """A column's key, or ``metric:`` and the metric's full name; runs without it, or where it is not finite, come last."""

    key: str = "started"
    descending: bool = True


class RecordedRun(NamedTuple):
    """A Run, the commit that holds its record, and the Actions that it performed, as far as the record has them."""

    run: Run
    commit: str
    actions: Mapping[Digest, Preimage]


# Writing


def put_run(index: Index, run: Run, record_commit: str) -> None:
    """Keeps what lists and lineage need of a run; again for the same run replaces it. Reused steps cost no row.

    The results that were put for it count for good.
    """
    with index.batch():
        _put_rows(index, [RecordedRun(run, record_commit, {})])


def put_runs(index: Index, recorded: Sequence[RecordedRun]) -> None:
    """Keeps runs, what their executed steps gave, and the Actions behind them. A run that is there is replaced."""
    with index.batch():
        results = [
            StepResult(
                item.run.pipeline,
                step.name,
                key,
                ActionResult(
                    *(step.outputs, step.metrics, step.cost, item.run.id, item.run.ended),
                    guarantees=step.guarantees,
                    labels=step.labels,
                ),
            )
            for item, step, key in _put_rows(index, recorded)
            if step.outcome == "executed"
        ]
        if results:
            put_results(index, results)


def _put_rows(index: Index, recorded: Sequence[RecordedRun]) -> list[tuple[RecordedRun, StepRun, Digest]]:
    """Keeps runs, their tags and failures, the modules they used, and the steps that they performed: these are returned."""
    runs = [item.run for item in recorded]
    settle_runs(index, runs)
    for (id,) in index.rows_among("SELECT id FROM runs WHERE id IN ", [run.id for run in runs]):
        index.execute("DELETE FROM made WHERE step IN (SELECT id FROM steps WHERE run = ?)", (id,))
        index.execute("DELETE FROM steps WHERE run = ?", (id,))
        index.execute("DELETE FROM tags WHERE run = ?", (id,))
        index.execute("DELETE FROM runs WHERE id = ?", (id,))
    index.execute_many(
        "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [_values(item.run, item.commit) for item in recorded],
    )
    tags = [(tag, run.started, run.id) for run in runs for tag in run.tags]
    index.execute_many("INSERT OR IGNORE INTO tags VALUES (?, ?, ?)", tags)
    modules = [module for run in runs for module in run.modules.values() if {"name", "version", "content"} <= {*module}]
    named = {m["content"]: json.dumps({"name": m["name"], "version": m["version"]}) for m in modules}
    index.execute_many("INSERT OR REPLACE INTO facts VALUES ('module', ?, ?)", named.items())
    performed = [
        (item, step, step.key)
        for item in recorded
        for step in item.run.steps
        if step.key is not None and step.outcome in ("executed", "failed")
    ]
    if not performed:
        return []
    index.execute_many(
        "INSERT INTO failures VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET key = excluded.key, run = excluded.run, at = excluded.at WHERE excluded.at > at",
        [
            (item.run.pipeline, step.name, key, item.run.id, item.run.ended)
            for item, step, key in performed
            if step.outcome == "failed"
        ],
    )
    preimages: dict[Digest, Preimage | None] = {}
    for item, _, key in performed:
        preimages[key] = preimages.get(key) or item.actions.get(key)
    numbers = put_actions(index, preimages)
    last = index.row("SELECT coalesce(max(id), 0) FROM steps")
    assert last is not None
    steps, made = [], []
    for number, (item, step, key) in enumerate(performed, last[0] + 1):
        steps.append((number, item.run.id, step.name, step.outcome, numbers[key]))
        made += [(output.digest, number, output.name) for output in step.outputs]
    index.execute_many("INSERT INTO steps VALUES (?, ?, ?, ?, ?)", steps)
    index.execute_many("INSERT OR IGNORE INTO made VALUES (?, ?, ?)", made)
    # whoever takes a part of a directory uses the directory
    whole = [(directory, "", numbers[key]) for _, step, key in performed for directory in step.parts.values()]
    index.execute_many("INSERT OR IGNORE INTO used VALUES (?, ?, ?)", whole)
    return performed


# Reading


def newest_runs(
    index: Index,
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
    # The primary key of tags is in the order of the list: with a tag, page by it.
    table, at, name = ("runs", "runs.started", "runs.id")
    if tag is not None:
        table, at, name = ("tags CROSS JOIN runs ON runs.id = tags.run", "tags.started", "tags.run")
    wanted: tuple[tuple[str, str | float | None, Sequence[Any]], ...] = (
        ("pipeline = ?", pipeline, [pipeline]),
        ("experiment = ?", experiment, [experiment]),
        ("status = ?", status, [status]),
        ("branch = ?", branch, [branch]),
        ('"commit" >= ? AND "commit" < ?', commit, [commit, f"{commit}{_LAST}"]),
        ('("commit" >= ? AND "commit" < ? OR base >= ? AND base < ?)', on, [on, f"{on}{_LAST}"] * 2),
        ("tag = ?", tag, [tag]),
        (f"{at} >= ?", since, [since]),
        (f"({at}, {name}) < (SELECT started, id FROM runs WHERE id = ?)", before, [before]),  # noqa: S608 - ours
    )
    given = [(term, values) for term, value, values in wanted if value is not None]
    where = f"WHERE {' AND '.join(term for term, _ in given)}" if given else ""
    values = [*chain.from_iterable(values for _, values in given), -1 if limit is None else limit]
    sql = f"SELECT {_COLUMNS} FROM {table} {where} ORDER BY {at} DESC, {name} DESC LIMIT ?"  # noqa: S608 - no value in it
    return [_decoded(row) for row in index.rows(sql, values)]


def nth_newest_by_pipeline(index: Index, count: int) -> dict[str, tuple[float, str]]:
    """For each pipeline (start, id) of the last of its `count` newest runs."""
    found = {}
    for (pipeline,) in index.rows("SELECT DISTINCT pipeline FROM runs"):
        rows = index.rows(
            "SELECT started, id FROM runs WHERE pipeline = ? ORDER BY started DESC, id DESC LIMIT ?",
            (pipeline, count),
        )
        found[pipeline] = (rows[-1][0], rows[-1][1])
    return found


def run_ids_between(index: Index, begin: float, end: float) -> set[str]:
    """The ids of the runs that started from `begin` to before `end`."""
    return {row[0] for row in index.rows("SELECT id FROM runs WHERE started >= ? AND started < ?", (begin, end))}


def all_runs(index: Index) -> Iterator[tuple[str, float]]:
    """(id, start) of every run, read as it is asked for."""
    yield from index.execute("SELECT id, started FROM runs")


def count_runs(index: Index) -> int:
    """How many runs there are."""
    row = index.row("SELECT count(*) FROM runs")
    assert row is not None
    return int(row[0])


def has_run(index: Index, id: str) -> bool:
    """Whether there is a run with this whole id."""
    return index.row("SELECT 1 FROM runs WHERE id = ?", (id,)) is not None


def run_row(index: Index, id: str) -> RunRow | None:
    """The run with this whole id."""
    row = index.row(f"SELECT {_COLUMNS} FROM runs WHERE id = ?", (id,))  # noqa: S608 - columns are ours
    return _decoded(row) if row else None


def run_ids_with_prefix(index: Index, prefix: str, limit: int = 20) -> list[str]:
    """The ids that begin with `prefix`, newest first."""
    rows = index.rows(
        "SELECT id FROM runs WHERE id >= ? AND id < ? ORDER BY started DESC, id DESC LIMIT ?",
        (prefix, prefix + _LAST, limit),
    )
    return [row[0] for row in rows]


def order_runs(index: Index, conditions: Iterable[RunCondition], sort: RunSort) -> array[int]:
    """The row numbers of all runs that meet the conditions, in order; runs alike in it newest first."""
    terms, values = [], []
    for condition in conditions:
        term, given = _term(condition)
        terms.append(term)
        values += given
    where = f"WHERE {' AND '.join(terms)}" if terms else ""
    order = "DESC" if sort.descending else "ASC"
    if sort.key == "started":
        by = f"started {order}, id {order}"
    elif sort.key.startswith("metric:"):
        by = f"CASE json_type(metrics, ?) WHEN 'text' THEN NULL ELSE json_extract(metrics, ?) END {order} NULLS LAST"
        by += ", started DESC, id DESC"
        values += [_json_path(sort.key.removeprefix("metric:"))] * 2
    else:
        by = f"{_SORTS[sort.key]} {order} NULLS LAST, started DESC, id DESC"
    # One row holds them all. Between two rows sqlite3 lets go of the interpreter, and has to wait for it again where another
    # thread draws a screen. The limit keeps the order of the inner query.
    inner = f"SELECT rowid FROM runs {where} ORDER BY {by} LIMIT -1"  # noqa: S608 - no value in it
    row = index.row(f"SELECT group_concat(rowid) FROM ({inner})", values)  # noqa: S608
    return array("q", json.loads(f"[{row[0]}]") if row and row[0] else ())


def run_rows(index: Index, numbers: Sequence[int]) -> list[RunRow]:
    """The runs with these row numbers, in their order; one that is not there any more is left out."""
    marks = ", ".join("?" * len(numbers))
    found = index.rows(f"SELECT rowid, {_COLUMNS} FROM runs WHERE rowid IN ({marks})", numbers)  # noqa: S608
    known = {row[0]: _decoded(row[1:]) for row in found}
    return [known[number] for number in numbers if number in known]


def row_number(index: Index, id: str) -> int | None:
    """The row number of a run."""
    row = index.row("SELECT rowid FROM runs WHERE id = ?", (id,))
    return int(row[0]) if row else None


def metric_names(index: Index, pipeline: str, newest: int = 500) -> list[str]:
    """The metrics (``step.metric``) that the newest runs of a pipeline have, in order of name."""
    rows = index.rows(
        "SELECT DISTINCT key FROM (SELECT metrics FROM runs WHERE pipeline = ? ORDER BY started DESC LIMIT ?) AS some,"
        " json_each(some.metrics) ORDER BY key",
        (pipeline, newest),
    )
    return [row[0] for row in rows]


def metric_by_commit(index: Index, pipeline: str, metric: str) -> dict[str, float]:
    """For each commit that was run with a clean work tree, the metric of its newest run that has it as a finite number."""
    rows = index.rows(
        'SELECT runs."commit", json_each.value FROM runs, json_each(runs.metrics)'
        " WHERE pipeline = ? AND json_each.key = ? AND NOT dirty AND json_each.type != 'text' ORDER BY runs.started",
        (pipeline, metric),
    )
    return {commit: float(value) for commit, value in rows}


def _term(condition: RunCondition) -> tuple[str, list[Any]]:
    value = condition.value
    if condition.kind == "text":
        return f"{_TEXTS} LIKE ? ESCAPE '\\'", [f"%{escaped(str(value))}%"]
    if condition.kind == "field":
        return f"{_SORTS[condition.name]} = ?", [value]
    if condition.kind == "prefix":
        like = f"{escaped(str(value))}%"
        return "(\"commit\" LIKE ? ESCAPE '\\' OR base LIKE ? ESCAPE '\\')", [like, like]
    if condition.kind == "tag":
        return "id IN (SELECT run FROM tags WHERE tag = ?)", [value]
    if condition.kind == "since":
        return "started >= ?", [value]
    assert condition.sign in _SIGNS
    named = "(key = ? OR key LIKE ? ESCAPE '\\')"
    compared = (
        f"type != 'text' AND value {condition.sign} ?"  # NaN and infinities, which are kept as text, meet no condition
    )
    sql = f"EXISTS (SELECT 1 FROM json_each(metrics) WHERE {named} AND {compared})"  # noqa: S608 - _SIGNS
    return sql, [condition.name, f"%.{escaped(condition.name)}", value]


def _json_path(name: str) -> str:
    return '$."' + name.replace('"', '\\"') + '"'


def row_of(run: Run, record_commit: str = "") -> RunRow:
    """The RunRow of a Run."""
    return RunRow(
        run.id,
        run.started,
        run.ended,
        run.pipeline,
        run.experiment,
        run.status,
        run.commit,
        run.base,
        run.branch,
        run.dirty,
        run.message,
        run.tags,
        dict(Counter(step.outcome for step in run.steps)),
        run.metrics(),
        record_commit,
    )


def _values(run: Run, record_commit: str) -> tuple[Any, ...]:
    """The row of a run in the table, of _COLUMNS."""
    row = row_of(run, record_commit)
    return (
        *row[:9],
        int(row.dirty),
        row.message,
        *map(_json, (row.tags, row.counts, metrics_as_json(row.metrics))),
        row.record,
    )


def _decoded(row: tuple[Any, ...]) -> RunRow:
    """The RunRow in a row of _COLUMNS."""
    known = RunRow(*row)
    return known._replace(
        dirty=bool(known.dirty),
        tags=tuple(json.loads(row[11])),
        counts=json.loads(row[12]),
        metrics={name: NUMBER_WORDS.get(value, value) for name, value in json.loads(row[13]).items()},
    )


_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
