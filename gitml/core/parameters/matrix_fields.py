"""Reads the matrix of a step from a pipeline file."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from gitml.core.language.diagnostics import SpecError
from gitml.core.language.expression import OPEN, Ref
from gitml.core.language.fields import Fields
from gitml.core.language.yaml_document import Node
from gitml.core.parameters.config_file import plain_value
from gitml.core.parameters.matrix import (
    MAX_COMBINATIONS,
    Axis,
    Condition,
    Matrix,
    combinations_of,
    label_text,
    problem_with_values,
)
from gitml.core.parameters.value_path import Value, parse_path
from gitml.errors import InputError

_LISTS = ("include", "exclude")
_MAPPINGS = ("zip", "when")


def read_matrix(fields: Fields, node: Node) -> Matrix:
    """The matrix in a node; mistakes are noted in `fields`. Names of parameters are checked where they are known."""
    parts: dict[str, Any] = {}
    axes: list[Axis] = []
    special: dict[str, Node] = {}
    for name, (key, value) in fields.named(node, "matrix").items():
        is_items = value.is_list and value.value and all(item.is_mapping for item in value.value)
        if (name in _MAPPINGS and value.is_mapping) or (name in _LISTS and is_items):
            special[name] = value
        else:
            axes.append(_axis(fields, name, key, value))
    zipped = []
    if "zip" in special:
        zipped = [_axis(fields, name, key, value) for name, (key, value) in fields.named(special["zip"], "zip").items()]
        for axis in zipped:
            if any(axis.name == other.name for other in axes):
                fields.report(special["zip"], f"matrix {axis.name!r} is there twice")
    parts |= {name: _items(fields, name, special[name]) for name in _LISTS if name in special}
    matrix = Matrix(tuple(axes), tuple(zipped), **parts)
    if not matrix.names:
        fields.report(node, "a matrix has at least one axis")
        return matrix
    if "when" in special:
        matrix = matrix._replace(when=_when(fields, special["when"], matrix))
    for item in matrix.exclude:
        if unknown := [name for name in item if name not in matrix.names]:
            fields.report(special["exclude"], f"exclude of the matrix has {unknown[0]!r}, which is no axis")
            return matrix
    if all(axis.source is None for axis in (*matrix.axes, *matrix.zipped)) and not fields.diagnostics:
        try:
            combinations_of(matrix, {})
        except InputError as error:
            fields.report(node, error.message)
    return matrix


def _value(fields: Fields, node: Node) -> Value:
    try:
        return plain_value(node, fields.path)
    except SpecError as error:
        fields.diagnostics += error.diagnostics
        return None


def _axis(fields: Fields, name: str, key: Node, node: Node) -> Axis:
    what = f"matrix {name!r}"
    if isinstance(node.value, str) and OPEN in node.value:
        template = fields.template(node, node.value)
        ref = template[0] if len(template) == 1 else None
        if isinstance(ref, Ref) and ref.space == "steps" and ref.selector in ("*", "matrix"):
            fields.report(node, f"{what} takes one list: name the combination of step {ref.name!r} that makes it")
            return Axis(name)
        if isinstance(ref, Ref) and (ref.space == "steps" or (ref.space == "params" and not ref.selector)):
            return Axis(name, source=ref)
        if template:
            fields.report(
                node,
                f"{what} takes a list, or what is one: ${{{{ params.NAME }}}}, ${{{{ steps.NAME.outputs.PORT }}}}",
            )
        return Axis(name)
    if node.is_mapping:
        return Axis(name, _range(fields, what, node))
    values: list[Value] = []
    for item in fields.items(node, what):
        value = _value(fields, item)
        if value is None or item.is_list:
            fields.report(item, f"a value of {what} must be text, a number, true or false, or a mapping")
        elif problem := problem_with_values([*values, value]) if len(values) < 100 else None:
            fields.report(item, f"{what} {problem}" if "twice" in problem else f"a value of {what}: it {problem}")
        else:
            values.append(value)
    if len(values) >= 100 and (problem := problem_with_values(values)):
        fields.report(node, f"{what} {problem}")
    if node.is_list and not node.value:
        fields.report(key, f"{what} has no values")
    return Axis(name, tuple(values))


def _range(fields: Fields, what: str, node: Node) -> tuple[Value, ...]:
    """The numbers of ``{range: [first, last, step]}``, the last included where the steps meet it."""
    pairs = fields.mapping(node, what, ("range",))
    if "range" not in pairs:
        return ()
    items = fields.items(pairs["range"][1], f"range of {what}")
    numbers = [fields.number(item, f"range of {what}") for item in items]
    if None in numbers:
        return ()
    if len(numbers) not in (2, 3):
        fields.report(pairs["range"][1], f"range of {what} takes [first, last] or [first, last, step]")
        return ()
    # in decimals: 0.1, 0.2, 0.3 as they are written
    first, last, step, *_ = (*(Decimal(repr(number)) for number in numbers), Decimal(1))
    if not step or (last - first) * step < 0:
        fields.report(pairs["range"][1], f"range of {what} never reaches its end")
        return ()
    count = int((last - first) / step) + 1
    if count > MAX_COMBINATIONS:
        fields.report(pairs["range"][1], f"range of {what} has {count:,} values; at most {MAX_COMBINATIONS:,}")
        return ()
    whole = all(isinstance(number, int) for number in numbers)
    return tuple([int(value) if whole else float(value) for value in (first + step * at for at in range(count))])


def _items(fields: Fields, name: str, node: Node) -> tuple[Mapping[str, Value], ...]:
    found = []
    for item in node.value:
        values = {key: _value(fields, value) for key, (_, value) in fields.named(item, name).items()}
        if any(value is None or isinstance(value, list) for value in values.values()):
            fields.report(item, f"a value of {name} must be text, a number, true or false, or a mapping")
        elif not values:
            fields.report(item, f"an entry of {name} names values of axes")
        else:
            found.append(values)
    return tuple(found)


def _when(fields: Fields, node: Node, matrix: Matrix) -> tuple[Condition, ...]:
    """Parameters with the values of an axis for which they count."""
    found = []
    for name, (key, conditions) in fields.mapping(node, "when").items():
        path = parse_path(name)
        if path is None:
            fields.report(key, f"{name[:60]!r} is no name of a parameter")
            continue
        for axis, (at, values) in fields.mapping(conditions, f"when of {name!r}").items():
            if axis not in matrix.names:
                fields.report(at, f"when of {name!r} has {axis[:60]!r}, which is no axis of the matrix")
                continue
            texts = tuple(label_text(_value(fields, item)) for item in fields.items(values, axis))
            found.append(Condition(path, axis, texts))
    return tuple(found)
