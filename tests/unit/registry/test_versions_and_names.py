"""What versions are, how they are ordered, what requirements admit, and what modules may be called."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitml.errors import InputError
from registry.versions import check_name, check_version, compare, newest_first, number_of, parse_ref, parse_requirement


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("9", "10"),
        ("1.9", "1.10"),
        ("1.2", "1.2.1"),
        ("1.0.0-alpha", "1.0.0-alpha.1"),
        ("1.0.0-alpha.1", "1.0.0-beta"),
        ("1.0.0-rc.9", "1.0.0-rc.10"),
        ("1.0.0-rc.1", "1.0.0"),
        ("2.0.0-rc.1", "2.0.0"),
    ],
)
def test_versions_are_ordered_by_number_and_not_as_text(lower, higher):
    assert compare(number_of(lower), number_of(higher)) < 0 < compare(number_of(higher), number_of(lower))
    assert newest_first([lower, higher]) == [higher, lower]


@pytest.mark.parametrize("text", ["blue", "2024-05", "2024-11", "1.2.3.4", "01", "1.0-rc", "v1", "1.", "²"])
def test_what_is_no_semantic_version_has_no_order(text):
    assert number_of(text) is None


def test_versions_without_an_order_come_after_all_others():
    assert newest_first(["blue", "1.0.0", "2024-05", "zz", "2"]) == ["2", "1.0.0", "2024-05", "blue", "zz"]


def test_what_stands_behind_a_plus_does_not_count():
    assert number_of("1.0.0+a") == number_of("1.0.0+b") == number_of("1")


@given(st.permutations(["0.9", "1", "1.0.1-a", "1.0.1", "1.1.0-rc.1", "1.1", "1.10", "2.0.0-0", "2", "10"]))
def test_the_order_does_not_depend_on_what_comes_first(versions):
    assert newest_first(versions) == ["10", "2", "2.0.0-0", "1.10", "1.1", "1.1.0-rc.1", "1.0.1", "1.0.1-a", "1", "0.9"]


VERSIONS = "0.0.3 0.0.4 0.2.0 0.2.9 0.3.0 1.0.0 1.2.0 1.2.9 1.3.0 2.0.0-rc.1 2.0.0 3.1.0".split()


@pytest.mark.parametrize(
    ("requirement", "admitted"),
    [
        ("^1.2", "1.2.0 1.2.9 1.3.0"),
        ("^1", "1.0.0 1.2.0 1.2.9 1.3.0"),
        ("^0.2", "0.2.0 0.2.9"),
        ("^0.0.3", "0.0.3"),
        ("^0", "0.0.3 0.0.4 0.2.0 0.2.9 0.3.0"),
        ("~1.2", "1.2.0 1.2.9"),
        ("~1", "1.0.0 1.2.0 1.2.9 1.3.0"),
        ("~1.2.5", "1.2.9"),
        (">=1,<3", "1.0.0 1.2.0 1.2.9 1.3.0 2.0.0"),
        (">= 1.3 , != 2.0.0", "1.3.0 3.1.0"),
        (">1.3.0", "2.0.0 3.1.0"),
        ("<=0.2", "0.0.3 0.0.4 0.2.0"),
        ("=1.2", "1.2.0"),
        ("==1.2.0", "1.2.0"),
        (">=2.0.0-rc.1,<3", "2.0.0-rc.1 2.0.0"),
        ("latest", "0.0.3 0.0.4 0.2.0 0.2.9 0.3.0 1.0.0 1.2.0 1.2.9 1.3.0 2.0.0 3.1.0"),
    ],
)
def test_a_requirement_admits(requirement, admitted):
    wanted = parse_requirement(requirement)
    assert wanted.exact is None
    assert [v for v in VERSIONS if wanted.admits(number_of(v))] == admitted.split()


@pytest.mark.parametrize("text", ["1.2.0", "blue", "2024-05", "10"])
def test_a_plain_version_is_required_exactly(text):
    assert parse_requirement(text).exact == text


@pytest.mark.parametrize("text", ["^blue", ">=", ">1,", "~", "^", "1,2", ">=1 <3", "=>1", "^1 || ^2", "a b", "../x"])
def test_what_is_no_requirement_is_refused(text):
    with pytest.raises(InputError):
        parse_requirement(text)


@pytest.mark.parametrize("name", ["a", "card", "model-card", "a_b", "9", "owner/name", "x" * 100])
def test_a_good_name(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "a/../b",
        "a b",
        "Card",
        "a/b/c",
        "/a",
        "a/",
        "-a",
        "_a",
        "a.b",
        "x" * 101,
        "x" * 300,
        "é",
        "a\n",
        "@a",
    ],
)
def test_a_bad_name_is_refused(name):
    with pytest.raises(InputError):
        check_name(name)


@pytest.mark.parametrize("version", ["", "latest", "a/b", "../1", "1..2", "1.", "-1", "1 2", "x" * 65, "é", "1\n"])
def test_a_bad_version_is_refused(version):
    with pytest.raises(InputError):
        check_version(version)


@pytest.mark.parametrize(
    ("alias", "name", "requirement"),
    list(itertools.product([None, "team"], ["n", "o/n"], [None, "1.0", "^1", ">=1,<3"])),
)
def test_a_use_is_read_as_it_is_written(alias, name, requirement):
    text = (f"{alias}:" if alias else "") + name + (f"@{requirement}" if requirement else "")
    ref = parse_ref(text)
    assert (ref.registry, ref.name, ref.requirement) == (alias, name, requirement)
    assert str(ref) == text


@pytest.mark.parametrize("text", ["n@", ":n", "a b:n", "@1", "", "x:y:n"])
def test_a_bad_use_is_refused(text):
    with pytest.raises(InputError):
        parse_ref(text)
