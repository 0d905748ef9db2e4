"""Config files: YAML, TOML and JSON files of the commit whose top-level keys are parameters of a pipeline."""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Mapping
from typing import Any, NamedTuple

from gitml.core.language.diagnostics import Diagnostic, SpecError
from gitml.core.language.yaml_document import FIRST, Node, read_yaml
from gitml.core.parameters.value_path import Value
from gitml.core.text.strict_json import MAX_DEPTH, MAX_DIGITS, RefusedJsonError, parse_json

SUFFIXES = {".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".json": "json"}
"""The formats, by the endings of names."""
LARGEST = 8 << 20  # bytes


class ConfigFile(NamedTuple):
    """A config file that was read: `values` by top-level key, and the `text` they were read from.

    `root` is the document of a YAML file, with the place of each value in the text.
    """

    path: str
    format: str
    text: str
    values: Mapping[str, Value]
    root: Node = FIRST


def format_of_path(path: str) -> str | None:
    """The format of a config file by its name; None for a name that no config file has."""
    return SUFFIXES.get(posixpath.splitext(path)[1].lower())


def read_config_file(data: bytes, path: str) -> ConfigFile:
    """The config file in `data`; SpecError with the place of the first mistake in it."""
    read = {"yaml": _read_yaml, "toml": _read_toml, "json": _read_json}[format_of_path(path) or "yaml"]
    return read(data, path)


def _mistake(path: str, line: int, column: int, message: str) -> SpecError:
    return SpecError([Diagnostic(path, line, column, message)])


def _read_yaml(data: bytes, path: str) -> ConfigFile:
    root, text = read_yaml(data, path)
    if root.value is None:
        return ConfigFile(path, "yaml", text, {}, root)
    if not root.is_mapping:
        raise _mistake(path, root.line, root.column, "a config file is a mapping (name: value)")
    return ConfigFile(path, "yaml", text, plain_value(root, path), root)


def plain_value(node: Node, path: str) -> Value:
    """What a Node holds, without places."""
    if node.is_mapping:
        return {key: plain_value(value, path) for key, (_, value) in node.value.items()}
    if node.is_list:
        return [plain_value(item, path) for item in node.value]
    if isinstance(node.value, float) and not math.isfinite(node.value):
        raise _mistake(path, node.line, node.column, "a number must be finite")
    return node.value


def _text(data: bytes, path: str) -> str:
    if len(data) > LARGEST:
        raise _mistake(path, 1, 1, f"larger than {LARGEST >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _mistake(path, data[: error.start].count(b"\n") + 1, 1, "is not UTF-8") from None


def _read_toml(data: bytes, path: str) -> ConfigFile:
    from gitml.core.text.toml import parse_toml

    text = _text(data, path)
    try:
        raw = parse_toml(data)
    except ValueError as error:
        raise _mistake(path, getattr(error, "lineno", 1), getattr(error, "colno", 1), f"not TOML: {error}") from None
    return ConfigFile(path, "toml", text, _checked(raw, path))


def _read_json(data: bytes, path: str) -> ConfigFile:
    text = _text(data, path)
    try:
        raw = parse_json(text)
    except json.JSONDecodeError as error:
        raise _mistake(path, error.lineno, error.colno, f"not JSON: {error.msg}") from None
    except RefusedJsonError as error:
        raise _mistake(path, 1, 1, str(error)) from None
    if not isinstance(raw, dict):
        raise _mistake(path, 1, 1, "a config file is a mapping ({name: value})")
    return ConfigFile(path, "json", text, _checked(raw, path))


def _checked(raw: Any, path: str, depth: int = 0) -> Any:
    """Data that a parameter can hold: bounded in depth, its numbers finite, times of TOML as text."""
    if depth > MAX_DEPTH:
        raise _mistake(path, 1, 1, f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(raw, dict):
        return {key: _checked(value, path, depth + 1) for key, value in raw.items()}
    if isinstance(raw, list):
        return [_checked(item, path, depth + 1) for item in raw]
    if isinstance(raw, float) and not math.isfinite(raw):
        raise _mistake(path, 1, 1, "a number must be finite")
    if isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) >= 10**MAX_DIGITS:
        raise _mistake(path, 1, 1, f"a number of more than {MAX_DIGITS} digits")
    return raw.isoformat() if hasattr(raw, "isoformat") else raw
