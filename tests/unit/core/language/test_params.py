"""Parameters: declared values, bounds and choices, and values given as text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitml.core.language.params import Param, bind_params, normalised, problem_with_value, type_name
from gitml.core.parameters.value_path import text_of_value
from gitml.errors import InputError


def bind(param: Param, text: str) -> Any:
    return bind_params({param.name: param}, [(param.name, text)])[param.name]


def problem(param: Param, text: str) -> str:
    with pytest.raises(InputError) as caught:
        bind(param, text)
    assert caught.value.where is not None
    assert caught.value.where.startswith(f"-S {param.name}=")
    return caught.value.message


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "7", 7), ("int", "-7", -7), ("int", "+7", 7), ("int", "007", 7), ("int", "9" * 60, int("9" * 60)),
        ("float", "7", 7.0), ("float", "1e-3", 0.001), ("float", ".5", 0.5), ("float", "-1.", -1.0), ("float", "1E5", 1e5),
        ("bool", "true", True), ("bool", "False", False), ("bool", "TRUE", True),
        ("str", "7", "7"), ("str", "", ""), ("str", "a=b", "a=b"), ("str", " x\n", " x\n"), ("str", "true", "true"), ("str", "💥", "💥"),
    ],
)  # fmt: skip
def test_text_becomes_a_value_of_the_parameters_type(kind: str, text: str, value: object) -> None:
    found = bind(Param("p", kind, None), text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("int", text) for text in ("1.0", "1e3", "", "x", "0x10", "1_000", " 1", "1 ", "\u0661", "--1", "9" * 65, "true")]
    + [
        ("float", text)
        for text in ("", "x", "1_0", " 1", "1\n", "nan", "inf", "-Infinity", "0x1p3", "1,5", "\u0661", "1" * 65, "true")
    ]
    + [("bool", text) for text in ("", "1", "0", "yes", "on", "t", "truee")]
    + [("str", "a\0b")],
)
def test_text_that_is_no_such_value_is_refused(kind: str, text: str) -> None:
    said = problem(Param("p", kind, None), text)
    assert f"parameter 'p' must be {kind}" in said or "NUL" in said


def test_a_number_too_large_for_a_float_is_refused() -> None:
    assert problem(Param("p", "float", 1.0), "1e999") == "parameter 'p' must be finite"


def test_bounds_are_inclusive_and_told() -> None:
    param = Param("p", "int", 1, min=0, max=5)
    assert [bind(param, text) for text in ("0", "5")] == [0, 5]
    assert problem(param, "-1") == "parameter 'p' must be at least 0, not -1"
    assert problem(param, "6") == "parameter 'p' must be at most 5, not 6"


def test_choices_are_told() -> None:
    param = Param("p", "str", "a", choices=("a", "b"))
    assert bind(param, "b") == "b"
    assert problem(param, "c") == "parameter 'p' must be one of a, b, not 'c'"


def test_an_unknown_a_missing_and_a_repeated_parameter() -> None:
    params = {"rate": Param("rate", "float", None), "seed": Param("seed", "int", 7)}
    with pytest.raises(InputError, match=r"unknown parameter 'sed' \(did you mean 'seed'\?\)"):
        bind_params(params, [("sed", "1")])
    with pytest.raises(InputError, match="parameter 'rate' has no default") as caught:
        bind_params(params, [])
    assert caught.value.hint == "give it: -S rate=…"
    assert bind_params(params, [("rate", "1"), ("rate", "2")]) == {"rate": 2.0, "seed": 7}
    assert list(bind_params(params, [("seed", "1"), ("rate", "2")])) == ["rate", "seed"]


@pytest.mark.parametrize(
    ("kind", "value", "good"),
    [
        ("int", True, False),
        ("int", 1.0, False),
        ("float", 1, True),
        ("float", True, False),
        ("bool", 1, False),
        ("bool", True, True),
    ]
    + [
        ("str", 1, False),
        ("str", None, False),
        ("int", [1], False),
        ("float", float("nan"), False),
        ("float", float("inf"), False),
    ],
)
def test_a_truth_value_is_no_number_and_an_int_serves_as_a_float(kind: str, value: object, good: bool) -> None:
    assert (problem_with_value(Param("p", kind, None), value) is None) is good


def test_an_int_for_a_float_is_that_float() -> None:
    value = normalised(Param("p", "float", None), 3)
    assert (type(value), value) == (float, 3.0)


def test_values_as_commands_see_them() -> None:
    assert [text_of_value(value) for value in (True, False, 1, 1.0, 1e-7, 0.1 + 0.2, "x", "")] == [
        "true", "false", "1", "1.0", "1e-07", "0.30000000000000004", "x", "",
    ]  # fmt: skip


@given(
    st.booleans()
    | st.integers(-(10**60), 10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab\n'=é")
)
def test_what_a_command_sees_is_read_back_as_the_same_value(value: Any) -> None:
    param = Param("p", type_name(value), None)
    assert bind(param, text_of_value(value)) == value
