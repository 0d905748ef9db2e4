"""Tables that can be drawn: CSV or TSV with a head line, or JSON as a list of rows or a mapping of columns."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.text.image_header import picture_of
from gitml.core.text.plot_options import AS_IT_IS, TEMPLATES, PlotOptions
from gitml.errors import InputError

MOST = 2000  # points of a series; more are thinned evenly
CLASSES = 60
"""Labels of a confusion matrix, at most."""

_X_NAMES = frozenset(
    ("x", "step", "steps", "epoch", "epochs", "iteration", "iter", "time", "index", "batch", "fpr", "recall")
)
_LAST_X_NAMES = frozenset(("threshold", "timestamp"))
"""An axis where there is no other; beside another one no curve."""
_CURVES = (("fpr", "tpr"), ("recall", "precision"), ("prob_pred", "prob_true"))
"""x and y of the curves that tools write with other columns beside them."""
_ACTUAL = ("actual", "true", "y_true", "label", "target", "truth", "expected")
_PREDICTED = ("predicted", "pred", "y_pred", "prediction", "predict", "output")
_COUNT = ("count", "n", "value", "weight")


class Series(NamedTuple):
    """A curve: as many y as x, all finite. Of a histogram y are the values, and x their places."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


class Confusion(NamedTuple):
    """How often each label (a row) was taken for each (a column), in the same order."""

    labels: tuple[str, ...]
    counts: tuple[tuple[float, ...], ...]


class Plot(NamedTuple):
    """Curves over one axis. `labels` name the places 1, 2, 3 … of that axis where it is no numbers.

    `template` is one of TEMPLATES. One of the template ``confusion`` has a `confusion` and no series.
    """

    x_name: str
    series: tuple[Series, ...]
    labels: tuple[str, ...] = ()
    y_name: str = ""
    title: str = ""
    template: str = "line"
    confusion: Confusion | None = None


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


def parse_plot(data: bytes, options: PlotOptions = AS_IT_IS) -> Plot | None:
    """The plot in a file's bytes; None when it is no table with numbers in it (a picture, say).

    InputError where `options` name what the table does not have.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    columns = _from_json(text) if text.lstrip()[:1] in ("{", "[") else _from_csv(text)
    return plot_of(columns, options) if columns else None


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


def plot_of(columns: Mapping[str, Sequence[Any]], options: PlotOptions = AS_IT_IS) -> Plot | None:
    """The plot of the columns of a table, numbers as such or as text; None when there are none.

    InputError where `options` name what the table does not have.
    """
    _check(columns, options)
    if options.template not in TEMPLATES:  # of a newer gitml
        options = options._replace(template="")
    if options.template == "images":
        raise InputError("a table, and `template: images` is for pictures", hint="leave the template out")
    if options.template == "confusion" or (not options.template and _is_confusion(columns, options)):
        return _confusion_of(columns, options)
    numeric = {name: [_number(value) for value in values] for name, values in columns.items()}
    numeric = {name: values for name, values in numeric.items() if any(value is not None for value in values)}
    if not numeric:
        return None
    if options.template == "histogram":
        return _histogram_of(numeric, options)
    x_name, labels = _axis(columns, numeric, options)
    drawn = _drawn(numeric, x_name, options)
    bars = options.template == "bar" or (bool(labels) and not options.template)
    if bars and not labels and x_name:
        labels = tuple(str(value)[:40] for value in columns[x_name])
    places = [float(at) for at in range(1, max(map(len, columns.values())) + 1)]
    xs: Sequence[float | None] = numeric[x_name] if x_name in numeric and not labels else places
    series = []
    for name in drawn:
        pairs = [(x, y) for x, y in zip(xs, numeric[name], strict=False) if x is not None and y is not None]
        if pairs:
            kept = pairs[:: max(1, math.ceil(len(pairs) / MOST))]
            series.append(Series(name, tuple(x for x, _ in kept), tuple(y for _, y in kept)))
    if not series:
        return None
    y_name = series[0].name if len(series) == 1 else ""
    return Plot(x_name, tuple(series), labels, y_name, options.title, options.template or ("bar" if bars else "line"))


def _check(columns: Mapping[str, Sequence[Any]], options: PlotOptions) -> None:
    for name in (*filter(None, (options.x,)), *options.y):
        if name not in columns:
            there = ", ".join(str(one)[:40] for one in list(columns)[:8])
            raise InputError(f"the table has no column {name[:60]!r}", hint=f"there is {there}")


def _axis(
    columns: Mapping[str, Sequence[Any]], numeric: Mapping[str, Sequence[float | None]], options: PlotOptions
) -> tuple[str, tuple[str, ...]]:
    """(name of the axis, its labels): no name where rows are counted, labels where it is no numbers."""
    names = list(columns)
    if options.x:
        labels = () if options.x in numeric else tuple(str(value)[:40] for value in columns[options.x])
        return options.x, labels
    lower = {name.lower(): name for name in reversed(list(numeric))}
    for x, y in _CURVES:
        if x in lower and y in lower:
            return lower[x], ()
    for known in (_X_NAMES, _LAST_X_NAMES):
        found = next((name for name in numeric if name.lower() in known and (name,) != options.y), None)
        if found is not None:
            return found, ()
    if len(numeric) > 1 and names[0] in numeric and len(columns) == len(numeric) and names[0] not in options.y:
        return names[0], ()
    if names[0] not in numeric:
        return names[0], tuple(str(value)[:40] for value in columns[names[0]])
    return "", ()


def _drawn(numeric: Mapping[str, Sequence[float | None]], x_name: str, options: PlotOptions) -> list[str]:
    """The columns that are drawn over the axis."""
    if options.y:
        missing = next((name for name in options.y if name not in numeric), None)
        if missing is not None:
            raise InputError(f"column {missing[:60]!r} has no numbers")
        return list(options.y)
    if not options.x or options.x.lower() in (x for x, _ in _CURVES):
        for x, y in _CURVES:
            found = next((name for name in numeric if name.lower() == y), None)
            if x_name.lower() == x and found is not None:
                return [found]
    return [name for name in numeric if name != x_name and name.lower() not in _LAST_X_NAMES]


def _histogram_of(numeric: Mapping[str, Sequence[float | None]], options: PlotOptions) -> Plot:
    names = options.y or ((options.x,) if options.x else tuple(numeric))
    series = []
    for name in names:
        values = tuple(value for value in numeric.get(name, ()) if value is not None)
        if not values:
            raise InputError(f"column {name[:60]!r} has no numbers")
        series.append(Series(name, tuple(map(float, range(len(values)))), values))
    x_name = series[0].name if len(series) == 1 else "value"
    return Plot(x_name, tuple(series), (), "count", options.title, "histogram")


BINS = 30
"""Bars of a histogram, at most."""


def histogram(all_values: Sequence[Sequence[float]]) -> tuple[list[float], list[list[int]]]:
    """The edges of bars that several lists of finite values share, and how many values each list has in each bar."""
    low = min(min(values) for values in all_values)
    high = max(max(values) for values in all_values)
    longest = max(map(len, all_values))
    bars = 1 if low == high else min(BINS, max(5, math.ceil(2 * longest ** (1 / 3))))
    width = high / bars - low / bars or 1.0
    edges = (
        [low * (1 - at / bars) + high * (at / bars) for at in range(bars + 1)] if low < high else [low - 0.5, low + 0.5]
    )
    counts = [[0] * bars for _ in all_values]
    for found, values in zip(counts, all_values, strict=True):
        for value in values:
            found[max(0, min(bars - 1, int(value / width - low / width)))] += 1
    return edges, counts


def _named(columns: Mapping[str, Sequence[Any]], known: Sequence[str]) -> str | None:
    return next((name for name in columns if name.lower() in known), None)


def _is_confusion(columns: Mapping[str, Sequence[Any]], options: PlotOptions) -> bool:
    """Whether a table has two columns of labels, by their names or the same ones, and no other but counts of them."""
    if options.y or len(columns) not in (2, 3):
        return False
    rest = dict(columns)
    actual, predicted = _named(rest, _ACTUAL), _named(rest, _PREDICTED)
    if actual is not None and predicted is not None:
        del rest[actual], rest[predicted]
        return not rest or _named(rest, _COUNT) is not None
    one, other = ({str(value) for value in values if value is not None} for values in list(columns.values())[:2])
    labels = all(_number(value) is None for values in columns.values() for value in values)
    return len(columns) == 2 and labels and not one.isdisjoint(other)


def _confusion_of(columns: Mapping[str, Sequence[Any]], options: PlotOptions) -> Plot:
    names = list(columns)
    actual = options.x or _named(columns, _ACTUAL) or names[0]
    others = [name for name in names if name != actual]
    predicted = options.y[0] if options.y else _named(columns, _PREDICTED) or next(iter(others), None)
    if predicted is None:  # the name of a column may be empty
        raise InputError("a table of one column, and a confusion matrix needs two", hint="write actual and predicted")
    weights = columns.get(_named(columns, _COUNT) or "")
    found: dict[tuple[str, str], float] = {}
    for at, pair in enumerate(zip(columns[actual], columns[predicted], strict=False)):
        if pair[0] is None or pair[1] is None:
            continue
        weight = 1.0 if weights is None else (_number(weights[at]) or 0.0) if at < len(weights) else 0.0
        key = (str(pair[0])[:40], str(pair[1])[:40])
        found[key] = found.get(key, 0.0) + weight
    labels = sorted({label for pair in found for label in pair}, key=_order)
    if len(labels) > CLASSES:
        raise InputError(f"{len(labels):,} labels, and a confusion matrix has at most {CLASSES}")
    counts = tuple(tuple(found.get((row, column), 0.0) for column in labels) for row in labels)
    confusion = Confusion(tuple(labels), counts)
    return Plot(predicted, (), (), actual, options.title, "confusion", confusion)


def _order(label: str) -> tuple[bool, float, str]:
    """Numbers by value, before words."""
    value = _number(label)
    return (value is None, value or 0.0, label)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(value)
    except (ValueError, TypeError):
        return None
    return found if math.isfinite(found) else None
