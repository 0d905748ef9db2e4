"""Lists of matrices that steps make: where each comes from, and what a file says that is one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from gitml.core.model.digest import Digest
from gitml.core.parameters.value_path import Value
from gitml.core.text.strict_json import RefusedJsonError, parse_json

LARGEST = 16 << 20
"""Bytes of a file with a list; 10,000 values that are longer belong into files of their own."""
_LABEL = 1000  # characters


class ListSource(NamedTuple):
    """The output `port` of the step `step`, by its name in the Graph, which is a list."""

    step: str
    port: str

    def __str__(self) -> str:
        return f"{self.step}.{self.port}"


class MadeList(NamedTuple):
    """A list as a step made it: its values, or the `problem` with it, in words. `digest` is that of its file."""

    digest: Digest
    values: Value = None
    problem: str = ""


MadeLists = Mapping[ListSource, MadeList]


def read_list(digest: Digest, content: bytes) -> MadeList:
    """What a file says that a step made as a list: JSON, a list of values or a mapping of named ones."""
    try:
        values = parse_json(content.decode("utf-8-sig"))
        json.dumps(values, ensure_ascii=False).encode()  # what is no text is refused
    except UnicodeError:
        return MadeList(digest, problem="has text that is not UTF-8")
    except RefusedJsonError as error:
        return MadeList(digest, problem=f"is no list that a matrix can have: {error}")
    except json.JSONDecodeError as error:
        return MadeList(digest, problem=f"is not JSON (line {error.lineno}: {error.msg})")
    if not isinstance(values, (list, dict)):
        return MadeList(digest, problem=f"is {_kind(values)} and no list")
    for value in values:
        part = value.get("name", "") if isinstance(value, dict) else value
        if isinstance(part, str) and len(part) > _LABEL:
            return MadeList(digest, problem=f"has a value of {len(part):,} characters: make it a mapping with a name")
    return MadeList(digest, values)


def _kind(value: Any) -> str:
    return {str: "text", bool: "true or false", type(None): "null"}.get(type(value), "a number")
