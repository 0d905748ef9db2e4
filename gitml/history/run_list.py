"""Runs as a list, those in progress among those recorded: a page for `gitml log`, or all of them filtered as a person types and
sorted by any column, of which only the rows on the screen are read."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.text.format import is_number, is_ordinary
from gitml.errors import InputError
from gitml.git.revisions import resolve_commit
from gitml.history.runs import live_runs
from gitml.history.submissions import submissions
from gitml.history.time_format import parse_time
from gitml.store.index.runs import (
    ConditionKind,
    RunCondition,
    RunRow,
    RunSort,
    count_runs,
    newest_runs,
    order_runs,
    row_number,
    row_of,
    run_row,
    run_rows,
)
from gitml.workspace import Workspace

SUBMITTED = "submitted"
UNFINISHED = ("running", SUBMITTED)
_HEX = frozenset("0123456789abcdef")


class RunFilter(NamedTuple):
    """What runs must match, all of it; `commit` (or what uncommitted work lay on) is a revision, `since` a date as written."""

    pipeline: str | None = None
    experiment: str | None = None
    status: str | None = None
    commit: str | None = None
    branch: str | None = None
    since: str | None = None
    tag: str | None = None


def list_runs(ws: Workspace, wanted: RunFilter, limit: int | None) -> tuple[list[RunRow], bool]:
    """The newest `limit` runs that match (all for None), newest first, and whether there are more."""
    asked: dict[str, Any] = {name: value for name, value in wanted._asdict().items() if value is not None}
    if "commit" in asked:
        asked["commit"] = _commit(ws, asked["commit"])
    if "since" in asked:
        asked["since"] = parse_time(asked["since"], ws.now())
    most = None if limit is None else limit + 1
    rows: list[RunRow] = []
    if wanted.status not in UNFINISHED:
        rows = newest_runs(ws.index, **{**asked, "commit": None, "on": asked.get("commit")}, limit=most)
    if wanted.status is None or wanted.status in UNFINISHED:
        conditions = [RunCondition(_KINDS[name], value, name) for name, value in asked.items()]
        known = {row.id for row in rows}
        going = [row for row in live_rows(ws) if row.id not in known and _meets_all(row, conditions)]
        if going:
            rows = sorted([*going, *rows], key=lambda row: (row.started, row.id), reverse=True)
    more = limit is not None and len(rows) > limit
    return rows[:limit], more


def metric_columns(rows: Sequence[RunRow], names: Sequence[str]) -> list[str]:
    """The metrics of these names; a name without its step stands for each step that has it.

    InputError, with the names there are, for one that no run has.
    """
    known: dict[str, None] = {}
    for row in rows:
        known.update(dict.fromkeys(row.metrics))
    columns: list[str] = []
    for name in names:
        found = [full for full in known if full == name] or [full for full in known if full.endswith("." + name)]
        if not found:
            from gitml.core.language.diagnostics import nearest

            raise InputError(f"no run listed here has a metric {name!r}{nearest(name, known)}")
        columns += [full for full in found if full not in columns]
    return columns


def live_rows(ws: Workspace) -> list[RunRow]:
    """The runs in progress as rows, those submitted to a cluster among them, oldest first; `ended` is now."""
    now = ws.now()
    rows = [row_of(live.run)._replace(status="running", ended=now) for live in live_runs(ws)]
    # How a submitted run that was not collected stands only the cluster knows.
    rows += [
        RunRow(one.run, one.submitted, now, one.pipeline, "", SUBMITTED, one.commit, message=f"handed to {one.target}")
        for one in submissions(ws)
        if run_row(ws.index, one.run) is None  # else its results are being collected, and it is listed as what it is
    ]
    return sorted(rows, key=lambda row: row.started)


def _commit(ws: Workspace, text: str) -> str:
    """The commit of a revision; the beginning of an id is taken as it is, since a snapshot may be known to the log alone."""
    try:
        return resolve_commit(ws.objects, ws.location, text)
    except InputError:
        if len(text) >= 7 and _HEX.issuperset(text):
            return text
        raise


_METRIC = re.compile(r"([\w.\[\]/-]+)(<=|>=|<|>|=)([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\Z")
_KINDS: Mapping[str, ConditionKind] = {
    **dict.fromkeys(("pipeline", "experiment", "status", "branch"), "field"),
    "tag": "tag",
    "commit": "prefix",
    "since": "since",
}


class FilteredRuns(NamedTuple):
    """What is to be shown: runs in progress first, then the recorded ones by row number. `position` is where the run
    that was to be kept in sight stands among them, `of` how many runs are recorded at all, `metrics` the names that the
    newest of the runs have."""

    live: tuple[RunRow, ...]
    order: array[int]
    position: int | None
    of: int
    metrics: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.live) + len(self.order)


def conditions_of(text: str, now: float) -> list[RunCondition]:
    """What a filter asks, all of it: words that occur somewhere, ``status:failed``, ``pipeline:``, ``experiment:``, ``branch:``,
    ``tag:``, ``commit:``, ``since:2d``, and metrics as ``accuracy>0.9``. InputError for a ``since:`` that is no date.
    """
    conditions = []
    for word in text.split():
        key, colon, value = word.partition(":")
        metric = _METRIC.match(word)
        if colon and key in _KINDS:
            if value:  # else it is being typed
                conditions.append(RunCondition(_KINDS[key], parse_time(value, now) if key == "since" else value, key))
        elif metric and is_number(metric[3]):
            conditions.append(RunCondition("metric", float(metric[3]), metric[1], metric[2]))
        else:
            conditions.append(RunCondition("text", word))
    return conditions


def filter_runs(ws: Workspace, text: str = "", sort: RunSort = RunSort(), keep: str | None = None) -> FilteredRuns:  # noqa: B008 - a value
    """The list as the filter `text` and `sort` ask for it; `keep` is the id of a run to be found in it."""
    conditions = conditions_of(text, ws.now())
    with ws.index.snapshot():
        going = [row for row in reversed(live_rows(ws)) if row_number(ws.index, row.id) is None]
        live = tuple(row for row in going if _meets_all(row, conditions))
        order = order_runs(ws.index, conditions, sort)
        position = _position(ws, live, order, keep)
        newest = run_rows(ws.index, order[:40])
        names = dict.fromkeys(name for row in (*live, *newest) for name in row.metrics)
        return FilteredRuns(live, order, position, count_runs(ws.index), tuple(names))


def rows_in(ws: Workspace, live: Sequence[RunRow], order: array[int], first: int, count: int) -> list[RunRow]:
    """The rows `first` to `first + count` of a View."""
    numbers = order[max(0, first - len(live)) : max(0, first + count - len(live))]
    return [*live[first : first + count], *(run_rows(ws.index, numbers) if len(numbers) else ())]


def _position(ws: Workspace, live: Sequence[RunRow], order: array[int], keep: str | None) -> int | None:
    if keep is None:
        return None
    if keep in (ids := [row.id for row in live]):
        return ids.index(keep)
    number = row_number(ws.index, keep)
    try:
        return len(live) + order.index(number) if number is not None else None
    except ValueError:
        return None


def _meets_all(row: RunRow, conditions: Iterable[RunCondition]) -> bool:
    return all(_meets(row, condition) for condition in conditions)


def _meets(row: RunRow, condition: RunCondition) -> bool:
    """The same of a run in progress as the index finds of those recorded."""
    value = condition.value
    if condition.kind == "text":
        names = (row.id, row.pipeline, row.experiment, row.status, row.commit, row.base, row.branch)
        texts = (*names, row.message, *row.tags)
        return any(str(value).casefold() in text.casefold() for text in texts if text is not None)
    if condition.kind == "field":
        return bool(getattr(row, condition.name) == value)
    if condition.kind == "prefix":
        return row.commit.startswith(str(value)) or (row.base or "").startswith(str(value))
    if condition.kind == "tag":
        return value in row.tags
    if condition.kind == "since":
        return row.started >= float(value)
    found = [v for name, v in row.metrics.items() if name == condition.name or name.endswith(f".{condition.name}")]
    return any(_compares(one, condition.sign, float(value)) for one in found)


def _compares(one: float, sign: str, other: float) -> bool:
    if not is_ordinary(one):
        return False
    return {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other, "=": one == other}[sign]
