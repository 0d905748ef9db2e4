"""Tables that can be drawn as curves: CSV or TSV with a head line, or JSON as a list of rows or a mapping of columns."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.text.image_header import picture_of

MOST = 2000  # points of a series; more are thinned evenly
_X_NAMES = frozenset(
    ("x", "step", "steps", "epoch", "epochs", "iteration", "iter", "time", "index", "batch", "threshold", "fpr")
)


class Series(NamedTuple):
    """A curve: as many y as x, all finite."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


class Plot(NamedTuple):
    """Curves over one axis. `labels` name the places 1, 2, 3 … of that axis where it is no numbers."""

    x_name: str
    series: tuple[Series, ...]
    labels: tuple[str, ...] = ()


LOOKED_AT = 65536
"""Bytes by which `can_be_plot` decides."""


def can_be_plot(head: bytes, *, whole: bool) -> bool:
    """Whether a file that begins with `head` (all of it when `whole`) is a picture, a table or an HTML page."""
    if picture_of(head) is not None:
        return True
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if whole or error.start < len(head) - 4:  # else a character that was cut
            return False
        text = head[: error.start].decode("utf-8-sig")
    if "\0" in text:
        return False
    start = text.lstrip()[:64].lower()
    if start.startswith(("<!doctype html", "<html", "<!--", "<head", "<div", "<svg", "<?xml")):
        return True
    if start.startswith(("{", "[")):
        return not whole or bool(_json_of(text))
    rows = [line for line in text.splitlines() if line.strip()]
    return len(rows) > 1 and not start.startswith("%pdf")


def _json_of(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def parse_plot(data: bytes) -> Plot | None:
    """The curves in a file's bytes; None when it is no table with numbers in it (a picture, say)."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    columns = _from_json(text) if text.lstrip()[:1] in ("{", "[") else _from_csv(text)
    return plot_of(columns) if columns else None


def _from_json(text: str) -> dict[str, list[Any]]:
    raw = _json_of(text)
    if isinstance(raw, dict) and len(raw) == 1 and isinstance(next(iter(raw.values())), list):
        name, only = next(iter(raw.items()))
        raw = only if only and isinstance(only[0], dict) else {name: only}
    if isinstance(raw, list):
        if raw and all(isinstance(row, dict) for row in raw):
            names = dict.fromkeys(str(name) for row in raw for name in row)
            return {name: [row.get(name) for row in raw] for name in names}
        return {"value": raw}
    if isinstance(raw, dict):
        return {str(name): value for name, value in raw.items() if isinstance(value, list)}
    return {}


def _from_csv(text: str) -> dict[str, list[Any]]:
    head = text.partition("\n")[0]
    lines = csv.reader(text.splitlines(keepends=True), delimiter="\t" if head.count("\t") > head.count(",") else ",")
    try:
        rows = [row for row in lines if row]
    except csv.Error:  # a field beyond all bounds
        return {}
    if len(rows) < 2:
        return {}
    names = rows[0]
    if all(_number(cell) is not None for cell in names):
        return {f"column {at + 1}": [row[at] if at < len(row) else None for row in rows] for at in range(len(names))}
    return {name: [row[at] if at < len(row) else None for row in rows[1:]] for at, name in enumerate(names)}


def plot_of(columns: Mapping[str, Sequence[Any]]) -> Plot | None:
    """The curves in the columns of a table, numbers as such or as text; None when there are none."""
    numeric = {name: [_number(value) for value in values] for name, values in columns.items()}
    numeric = {name: values for name, values in numeric.items() if any(value is not None for value in values)}
    if not numeric:
        return None
    names = list(columns)
    labels: tuple[str, ...] = ()
    x_name = next((name for name in names if name.lower() in _X_NAMES and name in numeric), None)
    if x_name is None and len(numeric) > 1 and names[0] in numeric and len(columns) == len(numeric):
        x_name = names[0]
    if x_name is None and names[0] not in numeric:
        labels = tuple(str(value)[:40] for value in columns[names[0]])
    series = []
    for name, values in numeric.items():
        if name == x_name:
            continue
        xs: Sequence[float | None] = numeric[x_name] if x_name else [float(at) for at in range(1, len(values) + 1)]
        pairs = [(x, y) for x, y in zip(xs, values, strict=False) if x is not None and y is not None]
        if pairs:
            stride = max(1, math.ceil(len(pairs) / MOST))
            kept = pairs[::stride]
            series.append(Series(name, tuple(x for x, _ in kept), tuple(y for _, y in kept)))
    return Plot(x_name or (names[0] if labels else ""), tuple(series), labels) if series else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(value)
    except (ValueError, TypeError):
        return None
    return found if math.isfinite(found) else None
