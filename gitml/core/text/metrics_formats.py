"""The formats of a metrics file, each with its parser; `core.text.metrics_file` says what the values in them mean."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from gitml.core.text.format import NUMBER_WORDS
from gitml.errors import InputError


class MetricPairs(list[tuple[str, Any]]):
    """A mapping as it is written, so that a key that is there twice is seen. Values are MetricPairs, lists, scalars or None."""


class MetricsDocument(NamedTuple):
    """What one file says: objects in order, the later ones of which count, each with its line (0: the whole file)."""

    objects: Sequence[tuple[int, MetricPairs]]
    remarks: tuple[str, ...] = ()


Parser = Callable[[bytes, str], MetricsDocument]
"""Parses bytes that lie at a place of the sandbox; InputError for what is not of the form."""

_DIGITS = 64  # of a whole number; more are read as a float
_WHOLE = re.compile(r"[-+]?[0-9]{1,%d}\Z" % _DIGITS)  # noqa: UP031
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?\Z")
_ODD = re.compile(r"[-+]?(nan|inf|infinity)\Z", re.IGNORECASE)
_YAML_ODD = re.compile(r"[-+]?\.(nan|inf)\Z", re.IGNORECASE)
_TRUTH = {"true": True, "false": False}


def parser_of(format: str | None, mount: str, data: bytes) -> Parser:
    """The parser for a file: by what its declaration says, else by the ending of its place, else JSON.

    Where only the ending says something, a JSON object is one whatever the ending.
    """
    if format is not None:
        return PARSERS[format]
    ending = posixpath.splitext(mount)[1].lower()
    found = PARSERS[ENDINGS.get(ending, "json")]
    return _lenient(found) if data.lstrip()[:1] == b"{" else found


def _lenient(other: Parser) -> Parser:
    def parse(data: bytes, mount: str) -> MetricsDocument:
        try:
            raw = json.loads(data, object_pairs_hook=MetricPairs)
        except (ValueError, RecursionError):
            return other(data, mount)
        return MetricsDocument([(0, raw)])

    return parse


def _json(data: bytes, mount: str) -> MetricsDocument:
    try:
        raw = json.loads(data, object_pairs_hook=MetricPairs)
    except (ValueError, RecursionError) as error:
        several = isinstance(error, json.JSONDecodeError) and error.msg == "Extra data"
        hint = "write one JSON object, or one a line with `format: jsonl`" if several else None
        raise InputError(f"not a JSON metrics file: {error}", where=mount, hint=hint) from error
    if not isinstance(raw, MetricPairs):
        raise InputError("not a JSON object of metrics", where=mount, hint='write {"name": number, …}')
    return MetricsDocument([(0, raw)])


def _json_lines(data: bytes, mount: str) -> MetricsDocument:
    objects = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line, object_pairs_hook=MetricPairs)
        except (ValueError, RecursionError) as error:
            raise InputError(f"line {number:,} is not JSON: {error}", where=mount) from error
        if not isinstance(raw, MetricPairs):
            hint = 'write {"name": number, …} on each line'
            raise InputError(f"line {number:,} is not a JSON object of metrics", where=mount, hint=hint)
        objects.append((number, raw))
    return MetricsDocument(objects)


def _yaml(data: bytes, mount: str) -> MetricsDocument:
    from gitml.core.language.diagnostics import SpecError
    from gitml.core.language.yaml_document import read_yaml

    try:
        root, _ = read_yaml(data, mount)
    except SpecError as error:
        found = error.diagnostics[0]
        hint = "write plain numbers: float(value)" if "tags" in found.message else None
        message = f"line {found.line:,}: {found.message}"
        raise InputError(f"not a YAML metrics file: {message}", where=mount, hint=hint) from error
    if not root.is_mapping:
        raise InputError("not a YAML mapping of metrics", where=mount, hint="write `name: number` on each line")
    return MetricsDocument([(0, _plain(root))])


def _plain(node: Any) -> Any:
    """The value of a Node. What is nested deeper than YAML allows does not get here."""
    value = node.value
    if isinstance(value, dict):
        return MetricPairs((name, _plain(item)) for name, (_, item) in value.items())
    if isinstance(value, list):
        return []  # whatever is in it: a list is no metric
    if isinstance(value, str) and not node.style and _YAML_ODD.match(value):
        return float(value.replace(".", "", 1))
    return value


def _toml(data: bytes, mount: str) -> MetricsDocument:
    from gitml.core.text.toml import parse_toml

    try:
        raw = parse_toml(data)
    except ValueError as error:
        raise InputError(f"not a TOML metrics file: {error}", where=mount) from error
    return MetricsDocument([(0, _pairs(raw))])


def _pairs(raw: dict[str, Any], depth: int = 0) -> MetricPairs:
    found = MetricPairs()
    for name, value in raw.items():
        if isinstance(value, dict) and depth < 2 * _DIGITS:
            found.append((name, _pairs(value, depth + 1)))
        else:
            found.append((name, value if isinstance(value, (bool, int, float, str, list)) else str(value)))
    return found


def _table(data: bytes, mount: str) -> MetricsDocument:
    """A head line of names, then one row, whose columns are the metrics, or several, each named by its first column.

    Where several rows have one name, all columns of names name them.

    Of rows without names, the last value of each column counts.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8", where=mount) from error
    names, rows = _rows(text, mount)
    if names[0] == "":  # the index of a data frame, which has no name
        if len(rows) == 1 or all(_is_number(row[0]) for _, row in rows):
            names, rows = names[1:], [(line, row[1:]) for line, row in rows]
        if not names:
            raise InputError("a table without columns", where=mount, hint="name each column in the first line")
    empty = next((at for at, name in enumerate(names, 1) if not name and at > 1), None)
    if empty is not None:
        raise InputError(f"column {empty} has no name", where=mount, hint="name each column in the first line")
    if len(rows) > 1 and any(row and row[0] and not _is_number(row[0]) for _, row in rows):
        heads = _heads([row for _, row in rows], mount)
        rest = [at for at in range(len(names)) if at not in heads]
        named = [
            (
                ".".join([row[at] for at in heads]),
                MetricPairs(_cells([names[at] for at in rest], [row[at] for at in rest])),
            )
            for _, row in rows
            if row[0]
        ]
        return MetricsDocument([(0, MetricPairs(named))])
    objects = [(line, MetricPairs(_cells(names, row))) for line, row in rows]
    if len(objects) == 1:
        return MetricsDocument([(0, objects[0][1])])
    remark = f"its {len(objects):,} rows have no names: of each column the last value counts"
    return MetricsDocument(objects, (f"{mount}: {remark}",))


def _heads(rows: Sequence[Sequence[str]], mount: str) -> list[int]:
    """The columns that name the rows: the first, or where that has a name twice all that hold names in each row."""
    rows = [row for row in rows if row[0]]
    if len({row[0] for row in rows}) == len(rows):
        return [0]
    heads = [at for at in range(len(rows[0])) if all(row[at] and not _is_number(row[at]) for row in rows)]
    seen: set[tuple[str, ...]] = set()
    for row in rows:
        name = tuple([row[at] for at in heads])
        if name in seen:
            hint = "write each name once, or declare it as a `plot` or `file` output"
            raise InputError(f"metric {'.'.join(name)[:100]} is there twice", where=mount, hint=hint)
        seen.add(name)
    return heads


def _rows(text: str, mount: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and each row with its line, as many cells as there are columns."""
    import csv

    head = text.partition("\n")[0]
    tabs = posixpath.splitext(mount)[1].lower() == ".tsv" or ("\t" in head and "," not in head)
    reader = csv.reader((f"{line}\n" for line in text.split("\n")), delimiter="\t" if tabs else ",")
    names: list[str] | None = None
    rows: list[tuple[int, list[str]]] = []
    try:
        for raw in reader:
            cells = [cell.strip() for cell in raw]
            if not any(cells):
                continue
            if names is None:
                names = cells
            elif len(cells) > len(names):
                message = f"line {reader.line_num:,} has {len(cells):,} cells, and there are {len(names):,} columns"
                raise InputError(message, where=mount)
            else:
                rows.append((reader.line_num, cells + [""] * (len(names) - len(cells))))
    except csv.Error as error:
        raise InputError(f"line {reader.line_num:,} is not CSV: {error}", where=mount) from error
    if names is None or all(_is_number(name) for name in names):
        raise InputError("a table without a head", where=mount, hint="name each column in the first line")
    if not rows:
        raise InputError("a table without a row", where=mount, hint="write the values below the names")
    if len(names) == 1 and ";" in names[0]:
        raise InputError("a table whose cells are not apart", where=mount, hint="write commas between them")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"column {name[:100]} is there twice", where=mount, hint="write each name once")
        seen.add(name)
    return names, rows


def _cells(names: Sequence[str], cells: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(names, cells, strict=True):
        yield name, _value(cell)


def _is_number(text: str) -> bool:
    return bool(_NUMBER.match(text) or _ODD.match(text))


def _value(cell: str) -> Any:
    if not cell:
        return None
    if _WHOLE.match(cell):
        return int(cell)
    if _is_number(cell):
        return float(cell)
    return _TRUTH.get(cell.lower(), NUMBER_WORDS.get(cell, cell))


PARSERS: dict[str, Parser] = {"json": _json, "yaml": _yaml, "toml": _toml, "csv": _table, "jsonl": _json_lines}
"""By the words of the output's option `format`."""
ENDINGS = {
    ".json": "json",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
