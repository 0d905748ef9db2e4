"""The file of a `metrics` output: numbers by name, and labels, which are texts by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

from gitml.core.text.format import NUMBER_WORDS, number_word, safe
from gitml.core.text.metrics_formats import MetricPairs, parser_of
from gitml.errors import InputError

METRICS_LARGEST = 2**20
LINES_LARGEST = 2**24
"""Bytes of a file of JSON lines."""
NAME_LONGEST = 500
LABEL_LONGEST = 500
LABELS_MOST = 100
_DEEPEST = 64


class ParsedMetrics(NamedTuple):
    """The metrics of an attempt by dotted name, what a person should know of them, and the labels by dotted name."""

    numbers: Mapping[str, float] = MappingProxyType({})
    remarks: tuple[str, ...] = ()
    labels: Mapping[str, str] = MappingProxyType({})


def read_metrics(file: BinaryIO, mount: str, format: str | None = None) -> ParsedMetrics:
    """The numbers of a metrics file by dotted name, true as 1 and false as 0; NaN and infinities count, and are remarked on.

    `format` is one of `metrics_formats.PARSERS`; None: the ending of `mount` says it. Text becomes labels. null is left out; so
    are lists, and texts and names that are too long, which is remarked on. InputError for what is not metrics.
    """
    data = file.read(LINES_LARGEST + 1)
    lines = format == "jsonl" or (format is None and mount.lower().endswith((".jsonl", ".ndjson")))
    if len(data) > (LINES_LARGEST if lines else METRICS_LARGEST):
        size = (LINES_LARGEST if lines else METRICS_LARGEST) >> 20
        raise InputError(
            f"a metrics file larger than {size} MiB", where=mount, hint="keep large data in a `file` output"
        )
    if not data.strip():
        hint = "write the metrics before the command ends"
        raise InputError("a metrics file that is empty", where=mount, hint=hint)
    document = parser_of(format, mount, data)(data, mount)
    reader = _MetricsReader(mount)
    for line, raw in document.objects:
        reader.line = line
        reader.names = set()
        reader.read(raw, "", 0)
    return reader.measured(document.remarks)


class _MetricsReader:
    """Reads the objects of one metrics file, called `shown` in errors; a later object replaces what an earlier one said."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.line = 0
        self.names: set[str] = set()  # of this object
        self.numbers: dict[str, float] = {}
        self.labels: dict[str, str] = {}
        self.lists: dict[str, None] = {}
        self.long: dict[str, None] = {}
        self.odd: dict[str, None] = {}

    def fail(self, message: str, hint: str | None = None) -> InputError:
        where = f"{self.shown}:{self.line}" if self.line else self.shown
        return InputError(message, where=where, hint=hint)

    def read(self, raw: MetricPairs, prefix: str, depth: int) -> None:
        """Adds the metrics of an object whose own name is `prefix`."""
        if depth > _DEEPEST:
            raise self.fail(f"metrics nested deeper than {_DEEPEST} levels")
        keys = set()
        for key, value in raw:
            name = prefix + key
            if key in keys or name in self.names:
                raise self.fail(f"metric {name[:NAME_LONGEST]} is there twice", "write each name once")
            keys.add(key)
            if len(name) > NAME_LONGEST:
                self.long[name[:40] + "…"] = None
            elif isinstance(value, MetricPairs):
                self.read(value, name + ".", depth + 1)
            elif value is not None:
                self.names.add(name)
                self.add(name, value)

    def add(self, name: str, value: Any) -> None:
        """One value, in place of what had its name."""
        if isinstance(value, list):
            self.lists[name] = None
            return
        self.numbers.pop(name, None)
        self.labels.pop(name, None)
        if isinstance(value, str) and value not in NUMBER_WORDS:
            if len(value) > LABEL_LONGEST:
                self.long[name] = None
            elif "\0" in value or "\0" in name or not _is_text(value):
                self.odd[name] = None
            else:
                self.labels[name] = value
        else:
            self.numbers[name] = self._number(name, value)

    def _number(self, name: str, value: Any) -> float:
        if isinstance(value, str):
            return float(value)
        try:
            float(value)
        except OverflowError:
            raise self.fail(f"metric {name} is too large a number") from None
        return int(value) if isinstance(value, bool) else value

    def measured(self, remarks: Sequence[str]) -> ParsedMetrics:
        """All that was read."""
        infinite = [
            f"{name} is {number_word(value)}" for name, value in self.numbers.items() if not math.isfinite(value)
        ]
        labels = dict(list(self.labels.items())[:LABELS_MOST])
        more = [name for name in self.labels if name not in labels]
        said = (
            (infinite, "recorded as such, and never better than a number"),
            (list(self.lists), "a list is not recorded; keep curves and tables in a `plot` or `file` output"),
            (list(self.long), f"a name or text of more than {LABEL_LONGEST} characters is not recorded"),
            (list(self.odd), "text that holds a NUL or is no text is not recorded"),
            (more, f"more than {LABELS_MOST} texts in one file are not recorded"),
        )
        found = [*remarks, *(f"metric {_listed(names)}: {what}" for names, what in said if names)]
        return ParsedMetrics(self.numbers, tuple([safe(remark) for remark in found]), labels)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _listed(names: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join([name[:100] for name in names[:5]]) + more
