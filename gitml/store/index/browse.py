"""Runs in the index in any order and under any condition, as row numbers first and as rows where they are seen."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from gitml.store.index.runs import COLUMNS, RunRow, RunTables, run_row

_TEXTS = (
    'id || char(10) || pipeline || char(10) || experiment || char(10) || status || char(10) || "commit" || char(10) '
    "|| coalesce(base, '') || char(10) || coalesce(branch, '') || char(10) || message || char(10) || tags"
)
"""All that is looked through for a word; words have no line feed, so none is found across two columns."""
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


class RunCondition(NamedTuple):
    """One thing that a run must have. `kind` says what is compared:

    ``text``: the value occurs somewhere in its names, ids, message or tags; ``field``: a column named `name` equals it;
    ``prefix``: the column begins with it; ``tag``: it has the tag; ``since``: it started then or later; ``metric``: a metric
    called `name`, with or without its step, stands in the relation `sign` to it, as a finite number.
    """

    kind: Literal["text", "field", "prefix", "tag", "since", "metric"]
    value: str | float
    name: str = ""
    sign: str = "="


class RunSort(NamedTuple):
    """A column's key, or ``metric:`` and the metric's full name; runs without it, or where it is not finite, come last."""

    key: str = "started"
    descending: bool = True


class BrowseTables(RunTables):
    """Looking through all runs."""

    def arrange(self, conditions: Iterable[RunCondition], sort: RunSort) -> array[int]:
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
            by = (
                f"CASE json_type(metrics, ?) WHEN 'text' THEN NULL ELSE json_extract(metrics, ?) END {order} NULLS LAST"
            )
            by += ", started DESC, id DESC"
            values += [_json_path(sort.key.removeprefix("metric:"))] * 2
        else:
            by = f"{_SORTS[sort.key]} {order} NULLS LAST, started DESC, id DESC"
        # One row holds them all. Between two rows sqlite3 lets go of the interpreter, and has to wait for it again where another
        # thread draws a screen. The limit keeps the order of the inner query.
        inner = f"SELECT rowid FROM runs {where} ORDER BY {by} LIMIT -1"  # noqa: S608 - no value in it
        row = self._row(f"SELECT group_concat(rowid) FROM ({inner})", values)  # noqa: S608
        return array("q", json.loads(f"[{row[0]}]") if row and row[0] else ())

    def rows_of(self, numbers: Sequence[int]) -> list[RunRow]:
        """The runs with these row numbers, in their order; one that is not there any more is left out."""
        marks = ", ".join("?" * len(numbers))
        found = self._rows(f"SELECT rowid, {COLUMNS} FROM runs WHERE rowid IN ({marks})", numbers)  # noqa: S608
        known = {row[0]: run_row(row[1:]) for row in found}
        return [known[number] for number in numbers if number in known]

    def number_of(self, id: str) -> int | None:
        """The row number of a run."""
        row = self._row("SELECT rowid FROM runs WHERE id = ?", (id,))
        return int(row[0]) if row else None


def _term(condition: RunCondition) -> tuple[str, list[Any]]:
    value = condition.value
    if condition.kind == "text":
        return f"{_TEXTS} LIKE ? ESCAPE '\\'", [f"%{_escaped(str(value))}%"]
    if condition.kind == "field":
        return f"{_SORTS[condition.name]} = ?", [value]
    if condition.kind == "prefix":
        like = f"{_escaped(str(value))}%"
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
    return sql, [condition.name, f"%.{_escaped(condition.name)}", value]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _json_path(name: str) -> str:
    return '$."' + name.replace('"', '\\"') + '"'
