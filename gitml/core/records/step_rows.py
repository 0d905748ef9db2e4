"""Step rows: the steps of a large run outside ``run.json``, in files named by content that runs share.

A row of `rows` has what performing the step gave, in whichever run that was: the same bytes in the run that performed it and in
every run that reuses it. A row of `changes` has what is of this run alone: outcome, reason, times, attempts. A step that was
reused without more to say has none. Both are cut into files where the name of a step says so, so that a step more or less
moves no other cut.
"""

from __future__ import annotations

import json
import re
from binascii import crc32
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.model.digest import digest_of, hex_of

FEWEST, EVERY, MOST = 250, 1000, 4000
"""Rows of a file: the fewest before a cut by name, one name of so many is a cut, the most."""
LARGEST = 8 << 20
"""Bytes after which a file is closed; one larger has a single row."""

_NAME = re.compile(r"[0-9a-f]{64}\Z")
_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode
_RESULT = ("cost", "guarantees", "key", "labels", "metrics", "name", "origin", "outputs")

ReadRows = Callable[[str], bytes]
"""Gives the content of ``steps/<name>.jsonl``; ValueError when there is none."""


class Tables(NamedTuple):
    """What ``run.json`` says of its steps: files of rows and of changes in order, each as (name, rows)."""

    rows: Sequence[tuple[str, int]]
    changes: Sequence[tuple[str, int]]

    def as_json(self) -> str:
        """The value of ``steps``: one file a line."""
        lists = [",\n".join(json.dumps(item) for item in items) for items in (self.rows, self.changes)]
        return f'{{"rows": [\n{lists[0]}\n], "changes": [\n{lists[1]}\n]}}'


def split(steps: Iterable[dict[str, Any]], run: str) -> tuple[Tables, dict[str, bytes]]:
    """Tables of steps as format 1 writes them, in the run with the id `run`, and their files by name."""
    rows, changes = _Writer(), _Writer()
    for step in steps:
        row, change = _parted(step, run)
        rows.add(step["name"], row)
        if change is not None:
            changes.add(step["name"], change)
    return Tables(rows.closed(), changes.closed()), {**rows.files, **changes.files}


def tables_from_json(raw: Mapping[str, Any]) -> Tables:
    """The inverse of `Tables.as_json`; ValueError for what is none."""
    found: list[list[tuple[str, int]]] = []
    for items in (raw["rows"], raw["changes"]):
        for name, count in items:
            if not isinstance(name, str) or _NAME.match(name) is None or type(count) is not int or count < 1:
                raise ValueError("not a file of steps by its name")
        found.append([(name, count) for name, count in items])
    return Tables(*found)


def joined(tables: Tables, read: ReadRows, run: str) -> Iterator[dict[str, Any]]:
    """The steps as format 1 writes them; ValueError saying what is wrong with their files."""
    changes: dict[str, Mapping[str, Any]] = {}
    for name, count in tables.changes:
        for change in rows_of(name, read(name), count):
            if changes.setdefault(change["name"], change) is not change:
                raise ValueError("two changes of one step")
    for name, count in tables.rows:
        for row in rows_of(name, read(name), count):
            yield _whole(row, changes.pop(row["name"], None), run)
    if changes:
        raise ValueError("a change of a step that it does not have")


def rows_of(name: str, content: bytes, count: int | None = None) -> list[dict[str, Any]]:
    """The rows in the content of a file; ValueError when they are not `count`, or are no rows."""
    if hex_of(digest_of(content)) != name:
        raise ValueError(f"steps/{name}.jsonl holds other bytes than its name says")
    *lines, rest = content.split(b"\n")
    if rest:
        raise ValueError(f"steps/{name}.jsonl ends within a row")
    if count is not None and len(lines) != count:
        raise ValueError(f"steps/{name}.jsonl has {len(lines)} rows, not {count}")
    try:
        rows: list[dict[str, Any]] = json.loads(b"[" + b",".join(lines) + b"]")
    except RecursionError as error:
        raise ValueError(f"steps/{name}.jsonl is no file of rows") from error
    if len(rows) != len(lines) or not all(isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows):
        raise ValueError(f"steps/{name}.jsonl is no file of rows")
    return rows


def reason_of(origin: str) -> str:
    """Why a step is reused when nothing else is said of it."""
    return f"same as in run {origin[:8]}"


def _parted(step: dict[str, Any], run: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """(row, change) of a step; no change for one that was reused without more to say."""
    outcome = step["outcome"]
    left_out: tuple[str, ...]
    if outcome == "reused" and "saved" in step and "origin" in step:
        cost, origin, left_out = step["saved"], step["origin"], ("saved", *_RESULT)
    elif outcome == "executed" and "saved" not in step and "origin" not in step:
        cost, origin, left_out = step["cost"], run, _RESULT
    else:
        return {"name": step["name"]}, step
    row = {**{key: step[key] for key in _RESULT if key in step}, "cost": cost, "origin": origin}
    change = {key: value for key, value in step.items() if key not in left_out}
    if change == {"outcome": "reused", "reason": reason_of(origin), "seconds": 0.0}:
        return row, None
    return row, {**change, "name": step["name"]}


def _whole(row: dict[str, Any], change: Mapping[str, Any] | None, run: str) -> dict[str, Any]:
    if "origin" not in row:
        if change is None:
            raise ValueError("a step without an outcome")
        return {**row, **change}
    origin = row["origin"]
    if change is not None and change.get("outcome") != "reused":
        whole = {**row, **change}
        if origin == run and "origin" not in change:
            del whole["origin"]
        return whole
    if not isinstance(origin, str):
        raise ValueError("a step reused from no run")
    whole = {**row, "saved": row.get("cost"), "outcome": "reused", "reason": reason_of(origin), "seconds": 0.0}
    whole.pop("cost", None)
    return whole if change is None else {**whole, **change}


class _Writer:
    """Rows into files, cut by the names of steps."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.listed: list[tuple[str, int]] = []
        self.lines: list[str] = []
        self.size = 0

    def add(self, name: str, row: dict[str, Any]) -> None:
        """Adds a row. Keys of a row are sorted; outputs and metrics keep the order of the pipeline."""
        line = _ENCODE({key: row[key] for key in sorted(row)})
        if self.lines and self.size + len(line) > LARGEST:
            self._close()
        self.lines.append(line)
        self.size += len(line) + 1
        count = len(self.lines)
        if count >= MOST or (count >= FEWEST and crc32(name.encode("utf-8", "surrogatepass")) % EVERY == 0):
            self._close()

    def closed(self) -> list[tuple[str, int]]:
        """The files in order."""
        if self.lines:
            self._close()
        return self.listed

    def _close(self) -> None:
        content = "\n".join([*self.lines, ""]).encode("ascii")
        name = hex_of(digest_of(content))
        self.files[name] = content
        self.listed.append((name, len(self.lines)))
        self.lines = []
        self.size = 0
