"""The file of a `metrics` output: a JSON object of numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

from gitml.core.text.format import NUMBER_WORDS, number_word, safe
from gitml.errors import InputError

METRICS_LARGEST = 2**20


class ParsedMetrics(NamedTuple):
    """The metrics of an attempt by dotted name, and what a person should know of them."""

    numbers: Mapping[str, float] = MappingProxyType({})
    remarks: tuple[str, ...] = ()


def read_metrics(file: BinaryIO, mount: str) -> ParsedMetrics:
    """The numbers of a metrics file by dotted name, true as 1 and false as 0; NaN and infinities count, and are remarked on.

    Text is remarked on and left out, null is left out. InputError for what is not metrics.
    """
    data = file.read(METRICS_LARGEST + 1)
    if len(data) > METRICS_LARGEST:
        raise InputError("a metrics file larger than 1 MiB", where=mount, hint="keep large data in a `file` output")
    try:
        raw = json.loads(data, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a JSON metrics file: {error}", where=mount) from error
    if not isinstance(raw, _Pairs):
        raise InputError("not a JSON object of metrics", where=mount, hint='write {"name": number, …}')
    reader = _MetricsReader(mount)
    reader.read(raw, "")
    return reader.measured()


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it is written, so that a key that is there twice is seen."""


class _MetricsReader:
    """Reads the objects of one metrics file, called `shown` in errors."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.numbers: dict[str, float] = {}
        self.texts: list[str] = []

    def read(self, raw: _Pairs, prefix: str) -> None:
        """Adds the metrics of an object whose own name is `prefix`."""
        keys = set()
        for key, value in raw:
            name = prefix + key
            if key in keys or name in self.numbers:
                raise InputError(f"metric {name} is there twice", where=self.shown, hint="write each name once")
            keys.add(key)
            if isinstance(value, _Pairs):
                self.read(value, name + ".")
            elif isinstance(value, str) and value not in NUMBER_WORDS:
                self.texts.append(name)
            elif value is not None:
                self.numbers[name] = self._number(name, value)

    def _number(self, name: str, value: Any) -> float:
        if isinstance(value, list):
            hint = "keep tables and curves in a `plot` or `file` output"
            raise InputError(f"metric {name} is a list, not a number", where=self.shown, hint=hint)
        if isinstance(value, str):
            return float(value)
        try:
            float(value)
        except OverflowError:
            raise InputError(f"metric {name} is too large a number", where=self.shown) from None
        return int(value) if isinstance(value, bool) else value

    def measured(self) -> ParsedMetrics:
        """All that was read."""
        odd = [f"{name} is {number_word(value)}" for name, value in self.numbers.items() if not math.isfinite(value)]
        remarks = [f"metric {_listed(odd)}: recorded as such, and never better than a number"] if odd else []
        if self.texts:
            remarks.append(f"metric {_listed(self.texts)}: text is not recorded as a metric; write a number")
        return ParsedMetrics(self.numbers, tuple([safe(remark) for remark in remarks]))


def _listed(names: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join([name[:100] for name in names[:5]]) + more
