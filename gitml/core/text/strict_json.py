"""JSON as it is meant: each key once, numbers that are finite and can be held, no more levels than anybody writes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 64
MAX_DIGITS = 64
"""Of a whole number, in what people write: pipeline files, config files, lists."""


class RefusedJsonError(ValueError):
    """What Python's reader takes for JSON, and no file of gitml's may hold."""


def parse_json(text: str) -> Any:
    """The data of a JSON text; JSONDecodeError for what is none, RefusedJsonError for what may not be held."""
    deep = RefusedJsonError(f"nested deeper than {MAX_DEPTH} levels")
    try:
        data = json.loads(
            text, object_pairs_hook=_mapping, parse_constant=_not_finite, parse_int=_whole, parse_float=_number
        )
    except RecursionError:
        raise deep from None
    level = _nested([data])
    for _ in range(MAX_DEPTH):
        level = [part for value in level for part in _nested(value.values() if isinstance(value, dict) else value)]
    if level:
        raise deep
    return data


def _nested(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, (list, dict))]


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise RefusedJsonError(f"duplicate key {key[:60]!r}")
        found[key] = value
    return found


def _not_finite(word: str) -> None:
    raise RefusedJsonError(f"{word} is no finite number")


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise RefusedJsonError(f"a number of {len(digits):,} digits")
    return int(digits)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise RefusedJsonError(f"{text[:60]} is no finite number")
    return value
