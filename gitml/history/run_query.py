"""All runs as one long list, filtered as a person types and sorted by any column: its order first, rows where they are seen."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from gitml.core.model.result import is_ordinary
from gitml.history.run_list import live_rows
from gitml.history.time_arguments import parse_time
from gitml.store.index.runs import RunCondition, RunRow, RunSort, count_runs, order_runs, row_number, run_rows
from gitml.workspace import Workspace

_METRIC = re.compile(r"([\w.\[\]/-]+)(<=|>=|<|>|=)([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\Z")
_FIELDS = ("pipeline", "experiment", "status", "branch")


class RunView(NamedTuple):
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
        if colon and value and key in _FIELDS:
            conditions.append(RunCondition("field", value, key))
        elif colon and value and key == "tag":
            conditions.append(RunCondition("tag", value))
        elif colon and value and key == "commit":
            conditions.append(RunCondition("prefix", value))
        elif colon and value and key == "since":
            conditions.append(RunCondition("since", parse_time(value, now)))
        elif colon and not value and key in (*_FIELDS, "tag", "commit", "since"):
            continue  # being typed
        elif metric and _is_number(metric[3]):
            conditions.append(RunCondition("metric", float(metric[3]), metric[1], metric[2]))
        else:
            conditions.append(RunCondition("text", word))
    return conditions


def run_view(ws: Workspace, text: str = "", sort: RunSort = RunSort(), keep: str | None = None) -> RunView:  # noqa: B008 - a value
    """The list as the filter `text` and `sort` ask for it; `keep` is the id of a run to be found in it."""
    conditions = conditions_of(text, ws.now())
    with ws.index.snapshot():
        going = [row for row in reversed(live_rows(ws)) if row_number(ws.index, row.id) is None]
        live = tuple(row for row in going if all(_meets(row, condition) for condition in conditions))
        order = order_runs(ws.index, conditions, sort)
        position = _position(ws, live, order, keep)
        newest = run_rows(ws.index, order[:40])
        names = dict.fromkeys(name for row in (*live, *newest) for name in row.metrics)
        return RunView(live, order, position, count_runs(ws.index), tuple(names))


def rows_in(ws: Workspace, live: Sequence[RunRow], order: array[int], first: int, count: int) -> list[RunRow]:
    """The rows `first` to `first + count` of a View."""
    numbers = order[max(0, first - len(live)) : max(0, first + count - len(live))]
    return [*live[first : first + count], *(run_rows(ws.index, numbers) if len(numbers) else ())]


def _position(ws: Workspace, live: Sequence[RunRow], order: array[int], keep: str | None) -> int | None:
    if keep is None:
        return None
    for at, row in enumerate(live):
        if row.id == keep:
            return at
    number = row_number(ws.index, keep)
    try:
        return len(live) + order.index(number) if number is not None else None
    except ValueError:
        return None


def _meets(row: RunRow, condition: RunCondition) -> bool:
    """The same of a run in progress as the index finds of those recorded."""
    value = condition.value
    if condition.kind == "text":
        texts = (
            row.id,
            row.pipeline,
            row.experiment,
            row.status,
            row.commit,
            row.base or "",
            row.branch or "",
            row.message,
        )
        return any(str(value).casefold() in text.casefold() for text in (*texts, *row.tags))
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


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
