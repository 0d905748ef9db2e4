"""JSON of config files and lists: what Python's reader would take, and nobody means, is refused."""

from __future__ import annotations

import json

import pytest

from gitml.core.text.strict_json import MAX_DEPTH, MAX_DIGITS, RefusedJsonError, parse_json


def test_what_json_has_is_read_with_its_types() -> None:
    text = '{"a": [1, 2.5, true, null, "x"], "b": {"c": -1e3}}'
    assert parse_json(text) == json.loads(text)
    assert type(parse_json("[1]")[0]) is int
    parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    parse_json("9" * MAX_DIGITS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1, "a": 2}', "duplicate key 'a'"),
        ('[{"b": {"a": 1, "a": 2}}]', "duplicate key 'a'"),
        ("[NaN]", "NaN is no finite number"),
        ("-Infinity", "-Infinity is no finite number"),
        ("1e999", "1e999 is no finite number"),
        ("9" * (MAX_DIGITS + 1), "a number of 65 digits"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested deeper than 64 levels"),
        ('{"a":' * 100_000, "nested deeper than 64 levels"),
    ],
)
def test_what_nobody_means_is_refused(text: str, problem: str) -> None:
    with pytest.raises(RefusedJsonError) as caught:
        parse_json(text)
    assert str(caught.value) == problem


def test_what_is_no_json_is_named_with_its_line() -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        parse_json("[1,\n2")
    assert caught.value.lineno == 2
