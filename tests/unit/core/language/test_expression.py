"""Expressions: what is one, what is text, and how a command is cut into words around them."""

from __future__ import annotations

import pytest

from gitml.core.language.expression import ExpressionError, Ref, parse_ref, parse_template


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("params.x", Ref("params", "x")),
        ("  inputs.raw-data_2 ", Ref("inputs", "raw-data_2")),
        ("outputs._o", Ref("outputs", "_o")),
        ("matrix.m", Ref("matrix", "m")),
        ("steps.a.outputs.b", Ref("steps", "a", "b")),
        ("steps.a[*].outputs.b", Ref("steps", "a", "b", "*")),
        ("steps.a[matrix].outputs.b", Ref("steps", "a", "b", "matrix")),
        ("steps.a[svm,0.1].outputs.b", Ref("steps", "a", "b", "svm,0.1")),
        ("steps.a[].outputs.b", Ref("steps", "a", "b", "")),
        ("steps.a[it's ${{].outputs.b", Ref("steps", "a", "b", "it's ${{")),
    ],
)
def test_every_form_of_expression_is_read(text: str, ref: Ref) -> None:
    assert parse_ref(text) == ref
    assert parse_ref(str(ref)) == ref


@pytest.mark.parametrize(
    "text",
    [
        "",
        "params",
        "params.",
        "params.1x",
        "Params.x",
        "env.X",
        "steps.a",
        "steps.a.outputs",
        "steps.a.outputs.b.c",
    ]
    + [
        "steps.a[*]",
        "steps[*].outputs.b",
        "steps.a.inputs.b",
        "params['x']",
        "params.x|upper",
        "params.é",
        "a\nb",
    ]
    + ["steps.a[b]c].outputs.d", "params.x\n.y"],
)
def test_anything_else_is_none(text: str) -> None:
    assert parse_ref(text) is None


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ()),
        ("plain", ("plain",)),
        ("${{ params.a }}", (Ref("params", "a"),)),
        ("${{params.a}}${{params.b}}", (Ref("params", "a"), Ref("params", "b"))),
        ("x${{ params.a }}y", ("x", Ref("params", "a"), "y")),
        ("$${{ params.a }}", ("${{ params.a }}",)),
        ("$$${{ x", ("$${{ x",)),
        ("a $${{ b ${{ params.c }}", ("a ${{ b ", Ref("params", "c"))),
        ("${ { }} $ {{ }} }} ${x}", ("${ { }} $ {{ }} }} ${x}",)),
        ("${{\n params.a\n}}", (Ref("params", "a"),)),
        ("${{ params.a }}}", (Ref("params", "a"), "}")),
        ("\x010\x02 ${{ params.a }}", ("\x010\x02 ", Ref("params", "a"))),
    ],
)
def test_a_text_is_cut_into_literals_and_expressions(text: str, parts: tuple[str | Ref, ...]) -> None:
    assert parse_template(text) == parts


@pytest.mark.parametrize(
    ("text", "number", "message"),
    [
        ("${{ params.a", 0, "is missing"),
        ("${{ nope }}", 0, "not an expression: 'nope'"),
        ("${{ params.a }} ${{ b }}", 1, "not an expression: 'b'"),
        ("$${{ x }} ${{ b }}", 0, "not an expression: 'b'"),
        ("${{}}", 0, "not an expression: ''"),
        ("${{ ${{ params.a }} }}", 0, "not an expression"),
    ],
)
def test_a_mistake_is_told_with_the_number_of_its_expression(text: str, number: int, message: str) -> None:
    with pytest.raises(ExpressionError, match=message.replace("(", r"\(")) as caught:
        parse_template(text)
    assert caught.value.number == number


@pytest.mark.parametrize(
    ("text", "path", "every"),
    [
        ("params.train.lr", ("train", "lr"), False),
        ("params.models[*]", ("models",), True),
        ("params.models[0]", ("models", 0), False),
        ('params["odd key"].a["b\\"c"][3]', ("odd key", "a", 'b"c', 3), False),
        ("matrix.os.name", ("os", "name"), False),
    ],
)
def test_parts_of_values(text: str, path: tuple[str | int, ...], every: bool) -> None:
    ref = parse_ref(f" {text} ")
    assert ref is not None
    assert (ref.full_path, ref.selector == "*") == (path, every)
    assert str(ref) == text


@pytest.mark.parametrize(
    "text", ["params.", "params[0]", "params.a[*].b", "params.a[-1]", 'params["a]', "params.a..b", 'params["a\\x"]']
)
def test_what_leads_to_no_part(text: str) -> None:
    assert parse_ref(text) is None
