"""YAML as plain data: what YAML 1.1 would twist stays as written, and no document takes long or much."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitml.core.language.diagnostics import SpecError
from gitml.core.language.yaml_document import MAX_BYTES, MAX_NODES, Node, read_yaml
from gitml.core.text.strict_json import MAX_DEPTH, MAX_DIGITS


def plain(node: Node) -> Any:
    if node.is_mapping:
        return {name: plain(value) for name, (_, value) in node.value.items()}
    return [plain(item) for item in node.value] if node.is_list else node.value


def read(text: str | bytes) -> Any:
    return plain(read_yaml(text.encode() if isinstance(text, str) else text, "f.yaml")[0])


def refusal(text: str | bytes) -> str:
    with pytest.raises(SpecError) as caught:
        read(text)
    assert len(caught.value.diagnostics) == 1
    return str(caught.value.diagnostics[0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-1", -1), ("+1", 1), ("0", 0), ("-0", 0), ("1.0", 1.0), (".5", 0.5), ("1.", 1.0), ("1e-3", 1e-3), ("1E3", 1000.0),
        ("-1.5e+3", -1500.0), ("010", "010"), ("0x10", "0x10"), ("0o10", "0o10"), ("1_000", "1_000"), ("12:30", "12:30"),
        ("1:30:00", "1:30:00"), ("190:20:30.15", "190:20:30.15"), ("2001-12-14", "2001-12-14"), ("1.2.3", "1.2.3"),
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"), ("y", "y"), ("NO", "NO"), ("true", True), ("True", True),
        ("FALSE", False), ("tRue", "tRue"), ("null", None), ("~", None), ("", None), ("NULL", None), ("nil", "nil"),
        (".inf", ".inf"), (".nan", ".nan"), ("nan", "nan"), ("inf", "inf"), ("=", "="), ("-", [None]), ("--", "--"), ("+", "+"), (".", "."),
        ("1e", "1e"), ("1e5.0", "1e5.0"), ("'1'", "1"), ('"true"', "true"), ("'~'", "~"), ("0b1", "0b1"), ("1 000", "1 000"),
        ("!!str 12", "12"), ("\u0661\u0662", "\u0661\u0662"), ("1\u00a0", "1\u00a0"),
    ],
)  # fmt: skip
def test_a_scalar_means_what_yaml_1_2_says(text: str, value: object) -> None:
    found = read(f"a: {text}" if text != "-" else "a:\n- ")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)


def test_numbers_keep_their_size_up_to_a_bound() -> None:
    assert read("a: " + "9" * MAX_DIGITS) == {"a": int("9" * MAX_DIGITS)}
    assert refusal("a: " + "9" * 5000) == "f.yaml:1:4: a number of 5,000 digits"
    assert refusal("a: 0." + "1" * 5000).endswith("a number of 5,002 digits")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: duplicate key 'a', first on line 1"),
        ("a: 1\n'a': 3\n", "f.yaml:2:1: duplicate key 'a', first on line 1"),
        ("x: {b: 1, b: 2}", "f.yaml:1:11: duplicate key 'b', first on line 1"),
        ("1: a\n'1': b", "f.yaml:2:1: duplicate key '1', first on line 1"),
        ("a: 1\n--- \nb: 2\n", "f.yaml:2:1: more than one document"),
        ("a: !!python/object/apply:os.system [id]", "f.yaml:1:4: tags such as 'tag:yaml.org,2002:python/object/apply:os.system' are not allowed"),
        ("a: !include x", "f.yaml:1:4: tags such as '!include' are not allowed"),
        ("a: !!binary aGk=", "f.yaml:1:4: tags such as 'tag:yaml.org,2002:binary' are not allowed"),
        ("a: !!set {x}", "f.yaml:1:4: tags such as 'tag:yaml.org,2002:set' are not allowed"),
        ("a: *b", "f.yaml:1:4: unknown alias 'b': put quotes around text that starts with *"),
        ("[a]: 1", "f.yaml:1:1: a key must be a name"),
        ("{a: b}: 1", "f.yaml:1:1: a key must be a name"),
        ("? \n: 1", "f.yaml:1:2: a key must be a name"),
        ("a: {<<: 3}", "f.yaml:1:9: << takes a mapping or a list of mappings"),
        ("a: 1\n\tb: 2", "f.yaml:2:1: not YAML: found a tab character that violates indentation: a tab, and YAML is indented by spaces: "
            "replace it by spaces"),
        ("a: [1, 2", "f.yaml:2:1: not YAML: did not find expected ',' or ']'"),
        ("a: 'x", "f.yaml:1:6: not YAML: found unexpected end of stream"),
        ("a: 1\n b: 2\n", "f.yaml:2:3: not YAML: mapping values are not allowed in this context: "
            "put quotes around text that holds ': ', or fix the indentation"),
        ("a: &x [*x]", "f.yaml:1:8: unknown alias 'x': put quotes around text that starts with *"),
    ],
)  # fmt: skip
def test_what_can_t_be_read_is_refused_at_its_place(text: str, message: str) -> None:
    assert refusal(text) == message


def test_bytes_that_are_no_text_are_refused_at_their_line() -> None:
    assert refusal(b"a: 1\nb: \0") == "f.yaml:2:1: holds a NUL byte"
    assert refusal(b"a: 1\n\nb: \xff") == "f.yaml:3:1: is not UTF-8"
    assert refusal("a: \ud800".encode("utf-8", "surrogatepass")) == "f.yaml:1:1: is not UTF-8"
    assert refusal("a: b".encode("utf-16")).endswith(": holds a NUL byte")
    assert refusal(b" " * (MAX_BYTES + 1)) == "f.yaml:1:1: larger than 8 MiB"
    assert "not YAML" in refusal('a: "\\ud800"')
    assert "not YAML" in refusal("a: \x07")


def test_a_byte_order_mark_is_no_content() -> None:
    node, text = read_yaml(b"\xef\xbb\xbfa: 1", "f.yaml")
    assert plain(node) == {"a": 1}
    value = node.value["a"][1]
    assert (value.line, value.column, text[value.start : value.end]) == (1, 4, "1")


def test_nothing_is_an_empty_document() -> None:
    assert read("") is read("# only a comment\n") is read("---\n") is None


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("before", ["", "é", "💥", "a: 💥é\n", "# 𝕏\n"])
def test_places_count_characters(newline: str, before: str) -> None:
    text = (
        f"{before.strip()}x: 1{newline}b: [2, 0.50]{newline}"
        if "\n" not in before
        else f"{before}b: [2, 0.50]{newline}"
    )
    node, kept = read_yaml(text.encode(), "f.yaml")
    items = node.value["b"][1].value
    assert [kept[item.start : item.end] for item in items] == ["2", "0.50"]
    assert [(item.line, item.column) for item in items] == [(2, 5), (2, 8)]


def test_anchors_and_merges_mean_what_they_say() -> None:
    text = """\
base: &base {a: 1, b: 2}
other: &other {b: 3, c: 4}
one: {<<: *base, b: 9}
two: {<<: [*base, *other], d: 5}
again: *base
"""
    found = read(text)
    assert found["one"] == {"b": 9, "a": 1}
    assert found["two"] == {"d": 5, "a": 1, "b": 2, "c": 4}
    assert found["again"] == {"a": 1, "b": 2}


def within_a_second(text: str) -> str:
    start = time.process_time()
    try:
        return refusal(text)
    finally:
        assert time.process_time() - start < 1.0


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert f"more than {MAX_NODES:,} values, aliases counted each time" in within_a_second("\n".join(lines))


def test_a_bomb_of_merges_is_refused_at_once() -> None:
    lines = ["a0: &a0 {" + ", ".join(f"k{n}: 1" for n in range(100)) + "}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    assert f"more than {MAX_NODES:,} values" in within_a_second("\n".join(lines))


@pytest.mark.slow
def test_a_flood_of_values_is_refused() -> None:
    assert f"more than {MAX_NODES:,} values" in refusal("[" + "1," * (MAX_NODES + 1) + "]")


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "[{a: "])
def test_deep_nesting_is_refused_at_once_without_a_recursion_error(opening: str) -> None:
    assert f"nested deeper than {MAX_DEPTH} levels" in within_a_second(opening * 100_000)


def test_nesting_up_to_the_bound_is_read() -> None:
    assert refusal("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)).endswith(f"nested deeper than {MAX_DEPTH} levels")
    read("[" * MAX_DEPTH + "]" * MAX_DEPTH)


def test_an_indented_staircase_is_refused_at_once() -> None:
    within_a_second("\n".join(" " * n + "a:" for n in range(3000)))


@given(
    st.binary(max_size=60)
    | st.text("abc:-[]{}&*!|>'\"#%@`,?\n\t 019.~<=é\ufeff\u2028\x85", max_size=40).map(str.encode)
)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read_yaml(data, "f.yaml")
    except SpecError as error:
        for mistake in error.diagnostics:
            assert mistake.line >= 1
            assert mistake.column >= 1
            assert "\n" not in mistake.message


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("a:\n\tb: 1\n", "a tab, and YAML is indented by spaces: replace it by spaces"),
        ("a:\n  \tb: 1\n", "a tab, and YAML is indented by spaces: replace it by spaces"),
        ("a:\n  b: 1\n\tc: 2\n", "a tab, and YAML is indented by spaces: replace it by spaces"),
        ("a: {b: x ${{ outputs.o }}, c: 1}\n", "put quotes around an expression inside braces or brackets"),
        ("a: {b:\n    [x, ${{ outputs.o }}]}\n", "put quotes around an expression inside braces or brackets"),
        ("a: @x\n", "put quotes around text that starts with @"),
        ("a: *.py\n", "put quotes around text that starts with * or &"),
        ("a: *py\n", "put quotes around text that starts with *"),
        ("a: x: y\n", "put quotes around text that holds ': ', or fix the indentation"),
    ],
)
def test_the_usual_mistakes_of_yaml_are_told_with_the_mend(text: str, mend: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_yaml(text.encode(), "f.yaml")
    assert caught.value.message.endswith(": " + mend)
