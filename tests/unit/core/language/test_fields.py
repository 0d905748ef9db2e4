"""Fields of a mapping: sizes, times, numbers and words, each mistake at its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gitml.core.language.fields import Fields
from gitml.core.language.yaml_document import Node, read_yaml


def field(text: str) -> tuple[Fields, Node]:
    root, kept = read_yaml(f"a: {text}".encode(), "f.yaml")
    return Fields("f.yaml", kept), root.value["a"][1]


def outcome(text: str, method: Callable[[Fields, Node], Any]) -> Any:
    """What the method gives, or what it told."""
    fields, node = field(text)
    value = method(fields, node)
    if not fields.diagnostics:
        return value
    assert len(fields.diagnostics) == 1
    assert not value
    return str(fields.diagnostics[0]).removeprefix("f.yaml:1:4: ")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("1.5m", 90.0),
        ("10min", 600.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("0.5", 0.5),
        ("2 h", 7200.0),
    ],
)
def test_a_duration_is_in_seconds(text: str, seconds: float) -> None:
    assert outcome(text, lambda f, n: f.duration(n, "timeout")) == seconds


@pytest.mark.parametrize(
    "text", ["0", "-1", "0s", "2w", "h", "''", "true", "[1]", "1e999", "'" + "9" * 400 + "d'", "1h30m", "~", "inf"]
)
def test_what_is_no_duration_is_told(text: str) -> None:
    assert outcome(text, lambda f, n: f.duration(n, "timeout")) == "timeout must be a time such as 90s, 10m or 2h"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("512B", 512),
        ("1KiB", 1024),
        ("1KB", 1000),
        ("1.5MiB", 3 << 19),
        ("8GiB", 8 << 30),
        ("2TB", 2 * 10**12),
        ("0", 0),
    ],
)
def test_a_size_is_in_bytes(text: str, size: int) -> None:
    assert outcome(text, lambda f, n: f.bytes(n, "memory")) == size


@pytest.mark.parametrize(
    "text", ["-1", "8GB/s", "GiB", "8gib", "1PiB", "''", "true", "{}", "1e400", "'" + "9" * 400 + "GiB'", "9e18GiB"]
)
def test_what_is_no_size_is_told(text: str) -> None:
    assert outcome(text, lambda f, n: f.bytes(n, "memory")) == "memory must be a size such as 512MiB or 8GiB"


def test_numbers_are_finite_and_within_bounds() -> None:
    assert outcome("1.5", lambda f, n: f.number(n, "cpus")) == 1.5
    assert outcome("-1", lambda f, n: f.number(n, "cpus", least=0)) == "cpus must be at least 0"
    assert outcome("1.5", lambda f, n: f.number(n, "retries", whole=True)) == "retries must be a whole number"
    for text in ("true", "'1'", "x", "[1]", "~"):
        assert outcome(text, lambda f, n: f.number(n, "cpus")) == "cpus must be a number"
    assert outcome("1e999", lambda f, n: f.number(n, "cpus")) == "cpus must be finite"
    assert outcome("-1e999", lambda f, n: f.number(n, "min")) == "min must be finite"


def test_text_is_as_written() -> None:
    for text, expected in (("x", "x"), ("0.50", "0.50"), ("1e3", "1e3"), ("'07'", "07"), ("07", "07"), ("on", "on")):
        assert outcome(text, lambda f, n: f.text_of(n, "name")) == expected
    for text in ("true", "~", "[a]", "{a: b}"):
        assert outcome(text, lambda f, n: f.text_of(n, "name")) == "name must be text"


def test_a_single_value_is_a_list_of_one() -> None:
    assert outcome("x", lambda f, n: [item.value for item in f.items(n, "after")]) == ["x"]
    assert outcome("[x, y]", lambda f, n: [item.value for item in f.items(n, "after")]) == ["x", "y"]
    assert outcome("{x: y}", lambda f, n: f.items(n, "after")) == "after must be a list"
    assert outcome("~", lambda f, n: f.items(n, "after")) == "after must be a list"


def test_words_and_truths() -> None:
    assert outcome("bash", lambda f, n: f.one_of(n, "shell", ("bash", "sh"))) == "bash"
    assert outcome("zsh", lambda f, n: f.one_of(n, "shell", ("bash", "sh"))) == "shell must be bash or sh, not 'zsh'"
    assert outcome("true", lambda f, n: f.truth(n, "reuse")) is True
    assert outcome("yes", lambda f, n: f.truth(n, "reuse")) == "reuse must be true or false"


def test_unknown_keys_are_told_each_with_the_nearest() -> None:
    fields, node = field("{rnu: 1, outputs: 2, zzz: 3}")
    fields.mapping(node, "step 's'", {"run", "outputs", "after"})
    assert [str(d) for d in fields.diagnostics] == [
        "f.yaml:1:5: unknown key 'rnu' in step 's' (did you mean 'run'?)",
        "f.yaml:1:25: unknown key 'zzz' in step 's' (there is 'after', 'outputs', 'run')",
    ]


@pytest.mark.parametrize("name", ["1a", "a.b", "a b", "é", "", "a/b", "-a", "x" * 101, "a\\n"])
def test_names_are_letters_digits_and_dashes(name: str) -> None:
    fields, node = field('{"' + name + '": 1, good_1-x: 2}')
    assert list(fields.named(node, "params")) == ["good_1-x"]
    assert "is not a name" in fields.diagnostics[0].message
