"""Values as YAML that readers of YAML 1.1 (PyYAML) and of YAML 1.2 read alike."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache

from gitml.core.parameters.value_path import Value

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./+-]*\Z")
_EXPONENT = re.compile(r"([-+]?[0-9]+)(\.[0-9]+)?e([-+]?)([0-9]+)\Z")
_TEXT = "str"
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")


def yaml_text(value: Value) -> str:
    """A value in flow style, on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, str):
        return value if _PLAIN.match(value) and is_text_everywhere(value) else quoted(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{yaml_text(key)}: {yaml_text(part)}" for key, part in value.items()) + "}"
    return "[" + ", ".join(map(yaml_text, value)) + "]"


def yaml_text_like(value: Value, written: str, style: str, before: Value) -> str:
    """A value in the place of the scalar `before`, which is `written` so, with a `style` as `Node` has it.

    What a reader of YAML 1.1 takes for a truth value, a number or a date stays one for it: ``on`` becomes a plain ``off``.
    """
    if not isinstance(value, str) or (style and style not in "|>"):
        return quoted(value) if isinstance(value, str) else yaml_text(value)
    kind = kind_in_yaml_1_1(written) if not style and isinstance(before, str) else _TEXT
    if kind != _TEXT and _family(kind) == _family(kind_in_yaml_1_1(value)):
        return value
    return yaml_text(value)


def quoted(text: str) -> str:
    """Text in double quotes."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


@lru_cache(1024)
def kind_in_yaml_1_1(plain: str) -> str:
    """What PyYAML takes a plain scalar for: ``str``, ``bool``, ``int``, ``float``, ``null``, ``timestamp`` …"""
    import yaml  # 15 ms: only where a file is written otherwise than it stands in the commit

    tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, plain, (True, False))  # type: ignore[no-untyped-call]
    return str(tag).rpartition(":")[2]


def is_text_everywhere(plain: str) -> bool:
    """Whether readers of both versions take a plain scalar for text."""
    return kind_in_yaml_1_1(plain) == _TEXT and plain.lower() not in ("null", "true", "false", "y", "n")


def _family(kind: str) -> str:
    return "number" if kind in ("int", "float") else kind


def _number(value: float) -> str:
    """A finite number with a point in it, and a sign in its exponent: without them YAML 1.1 has text."""
    text = repr(value)
    match = _EXPONENT.match(text)
    if match is None:
        return text
    whole, fraction, sign, exponent = match.groups()
    return f"{whole}{fraction or '.0'}e{sign or '+'}{exponent}"
