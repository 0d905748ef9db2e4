"""Paths of values: ``train.lr``, ``models[0]``, ``model["odd key"]``; and what lies at them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gitml.core.model.action import Scalar

Path = tuple[str | int, ...]
"""Keys of mappings and places in lists, from the outermost."""
Value = Any
"""JSON data: a scalar, null, a list, a mapping with text keys."""

_KEY = r"[A-Za-z_][A-Za-z0-9_-]*"
_QUOTED = r'\["(?:[^"\\\n]|\\.)*"\]'
PART = re.compile(rf"\.({_KEY})|({_QUOTED})|\[([0-9]{{1,9}})\]")
_FIRST = re.compile(rf"({_KEY})|({_QUOTED})")
_PLAIN = re.compile(rf"{_KEY}\Z")


def parse_path(text: str) -> Path | None:
    """The path that is written so; None when none is."""
    return _parse(text, _FIRST.match(text))


def parse_parts(text: str) -> Path | None:
    """Likewise with a ``.`` before a first plain name, as it stands behind ``params``."""
    return _parse(text, PART.match(text))


def _parse(text: str, match: re.Match[str] | None) -> Path | None:
    path: list[str | int] = []
    while match is not None:
        name, quoted, *index = match.groups()
        if quoted:
            try:
                path.append(json.loads(quoted[1:-1]))
            except ValueError:
                return None
        else:
            path.append(name if name is not None else int(index[0]))
        if match.end() == len(text):
            return tuple(path)
        match = PART.match(text, match.end())
    return None


def path_text(path: Path) -> str:
    """A path as it is written."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN.match(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=False)}]"
    return text


class NoSuchPartError(ValueError):
    """A value has no part of that name: `at` is the path down to which it has, `known` are the names there."""

    def __init__(self, message: str, at: Path, known: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.at = at
        self.known = known


def part_at(value: Value, path: Path) -> Value:
    """What lies at `path` of a value; NoSuchPartError where nothing does."""
    for depth, part in enumerate(path):
        at = path[:depth]
        if isinstance(part, str):
            if not isinstance(value, Mapping):
                raise NoSuchPartError(f"is {kind_of_value(value)}, not a mapping", at)
            if part not in value:
                raise NoSuchPartError(f"has no key {part!r}", at, tuple(value))
            value = value[part]
        else:
            if not isinstance(value, list):
                raise NoSuchPartError(f"is {kind_of_value(value)}, not a list", at)
            if part >= len(value):
                raise NoSuchPartError(f"has {len(value)} items, counted from 0", at)
            value = value[part]
    return value


def with_part(value: Value, path: Path, part: Value) -> Value:
    """The value with another part at `path`, which it has; what it is made of is left as it was."""
    if not path:
        return part
    first, *rest = path
    if isinstance(value, Mapping):
        return {**value, first: with_part(value[first], tuple(rest), part)}
    assert isinstance(value, list)
    assert isinstance(first, int)
    return [*value[:first], with_part(value[first], tuple(rest), part), *value[first + 1 :]]


def without_part(value: Value, path: Path) -> Value:
    """The value without the key of a mapping that `path` leads to; as it is where nothing lies there, or an item of a list."""
    first, *rest = path
    if not isinstance(value, Mapping) or first not in value:
        return value
    if not rest:
        return {key: part for key, part in value.items() if key != first}
    return {**value, first: without_part(value[first], tuple(rest))}


def paths_beside(values: Value, path: Path, left_out: Sequence[Path]) -> Iterator[Path]:
    """The fewest paths that lead to all that lies at `path`, but for what lies at those `left_out`, items of lists apart."""
    if any(path[: len(one)] == one for one in left_out):
        return
    value = part_at(values, path)
    below = [one for one in left_out if one[: len(path)] == path]
    if isinstance(value, Mapping) and any(one[len(path)] in value for one in below):
        for key in value:
            yield from paths_beside(values, (*path, key), below)
    else:
        yield path


def kind_of_value(value: Value) -> str:
    """What a value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}.get(type(value), "no value")


def leaves(value: Value, path: Path = ()) -> Iterator[tuple[Path, Value]]:
    """The parts of a value that are no mappings with keys, each with its path."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from leaves(part, (*path, key))
    else:
        yield path, value


def mappings_with(value: Value, key: str, path: Path = ()) -> Iterator[Path]:
    """The paths of all parts of a value that are under this key of a mapping."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name == key:
                yield (*path, name)
            yield from mappings_with(part, key, (*path, name))


def text_of_value(value: Value) -> str:
    """A value as a word of a command or a variable: scalars as themselves, all else as JSON in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (str, int)):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def as_scalar(value: Value) -> Scalar:
    """A value as records and Actions have it: lists, mappings and null as their JSON."""
    return value if isinstance(value, (str, int, float)) else text_of_value(value)


def changed_parts(before: Value, after: Value, path: Path = ()) -> Iterator[tuple[Path, Value]]:
    """The smallest parts that `after` has otherwise than `before`, where both have the same keys; lists are compared whole."""
    if isinstance(before, Mapping) and isinstance(after, Mapping) and before.keys() == after.keys():
        for key, part in before.items():
            yield from changed_parts(part, after[key], (*path, key))
    elif not same_value(before, after):
        yield path, after


def same_value(one: Value, other: Value) -> bool:
    """Whether two values are one: ``1``, ``1.0`` and true are three."""
    return type(one) is type(other) and one == other and repr(one) == repr(other)
