"""Comparing what two runs gave and were given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

from gitml.core.model.result import is_ordinary
from gitml.core.records.record import Run
from gitml.errors import InputError
from gitml.history.runs import read_run, run_or_rev
from gitml.store.index.runs import newest_runs
from gitml.workspace import Workspace

Value = TypeVar("Value")


class ValueDifference(NamedTuple, Generic[Value]):
    """A named value on both sides, None where it was not there."""

    name: str
    before: Value | None
    after: Value | None

    @property
    def changed(self) -> bool:
        """Whether the sides differ: in type too, so that 1 is not 1.0."""
        return not same_value(self.before, self.after)

    @property
    def delta(self) -> float | None:
        """After minus before, None unless both are finite numbers."""
        return change_of(self.before, self.after)


class RunPair(NamedTuple):
    """The two runs that are compared."""

    before: Run
    after: Run


def same_value(one: object, other: object) -> bool:
    """Whether two values are the same: in type too, and NaN is NaN."""
    return type(one) is type(other) and (one == other or (one != one and other != other))


def change_of(before: object, after: object) -> float | None:
    """The second less the first where both are finite numbers, else None."""
    if isinstance(before, bool) or isinstance(after, bool):
        return None
    if isinstance(before, (int, float)) and isinstance(after, (int, float)):
        return after - before if is_ordinary(before) and is_ordinary(after) else None
    return None


def differences(before: Mapping[str, Value], after: Mapping[str, Value]) -> list[ValueDifference[Value]]:
    """Every name of both sides, in the order of the second, then what only the first has."""
    names = [*after, *(name for name in before if name not in after)]
    return [ValueDifference(name, before.get(name), after.get(name)) for name in names]


def run_pair(ws: Workspace, text: str | None, pipeline: str | None) -> RunPair:
    """The two runs that ``A..B`` names, each by run id or revision (then the newest run of that commit).

    One name alone is compared with the newest run of its pipeline; nothing at all means the two newest runs of one pipeline.
    """
    if not text:
        return _two_newest(ws, pipeline)
    before, dots, after = text.partition("..")
    if ".." in after or after.startswith("."):
        raise InputError(f"not a range: {text[:80]!r}", hint="write it as A..B")
    if dots:
        before, after = before or "HEAD", after or "HEAD"
    first = run_or_rev(ws, before, pipeline)
    if not dots:
        return RunPair(first, _newest_of(ws, pipeline or first.pipeline))
    return RunPair(first, run_or_rev(ws, after, pipeline or first.pipeline))


def _newest_of(ws: Workspace, pipeline: str) -> Run:
    rows = newest_runs(ws.index, pipeline=pipeline, limit=1)
    if not rows:
        raise InputError(f"no run of pipeline {pipeline!r}", hint=f"gitml run {pipeline}")
    return read_run(ws, rows[0].id)


def _two_newest(ws: Workspace, pipeline: str | None) -> RunPair:
    newest = newest_runs(ws.index, pipeline=pipeline, limit=1)
    rows = newest_runs(ws.index, pipeline=newest[0].pipeline, limit=2) if newest else []
    if len(rows) < 2:
        raise InputError("there are no two runs to compare", hint="name them: A..B")
    return RunPair(read_run(ws, rows[1].id), read_run(ws, rows[0].id))
