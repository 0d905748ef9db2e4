"""A matrix: the combinations of values for each of which a step runs once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gitml.core.language.diagnostics import nearest
from gitml.core.language.expression import Ref
from gitml.core.parameters.made_list import ListSource, MadeLists
from gitml.core.parameters.references import value_of
from gitml.core.parameters.value_path import Path, Value, text_of_value
from gitml.errors import InputError

MAX_COMBINATIONS = 10_000
NO_LISTS: MadeLists = {}


class Axis(NamedTuple):
    """An axis of a matrix: its values, or what has them: a parameter, or an output of another step."""

    name: str
    values: tuple[Value, ...] = ()
    source: Ref | None = None

    @property
    def made_by(self) -> ListSource | None:
        """The output of a step that has the values, None where they are known before anything runs."""
        if self.source is None or self.source.space != "steps":
            return None
        selector = "" if self.source.selector is None else f"[{self.source.selector}]"
        return ListSource(self.source.name + selector, self.source.port)


class Condition(NamedTuple):
    """A parameter that counts only where an axis has one of these values."""

    param: Path
    axis: str
    texts: tuple[str, ...]


class Matrix(NamedTuple):
    """A matrix as written. The `zipped` axes go through their values together, as one axis.

    The values of an axis are scalars, or mappings whose parts commands use.
    """

    axes: tuple[Axis, ...] = ()
    zipped: tuple[Axis, ...] = ()
    include: tuple[Mapping[str, Value], ...] = ()
    exclude: tuple[Mapping[str, Value], ...] = ()
    when: tuple[Condition, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The axes, in the order in which labels have their values."""
        return tuple([axis.name for axis in (*self.axes, *self.zipped)])

    @property
    def made_by(self) -> tuple[ListSource, ...]:
        """The outputs of steps that have values of axes, each once."""
        found = [axis.made_by for axis in (*self.axes, *self.zipped)]
        return tuple(dict.fromkeys(source for source in found if source is not None))

    @property
    def known(self) -> tuple[str, ...]:
        """What expressions may name: the axes, and what `include` adds."""
        return tuple(dict.fromkeys([*self.names, *(name for item in self.include for name in item)]))


class Combination(NamedTuple):
    """One of a matrix: what expressions stand for, and its own `label`."""

    values: Mapping[str, Value]
    label: str

    @property
    def suffix(self) -> str:
        """What follows the name of the step in that of its combination."""
        return f"[{self.label}]"


class Alone(Combination):
    """The one combination of a step without a matrix."""

    __slots__ = ()

    @property
    def suffix(self) -> str:
        """Nothing."""
        return ""


ALONE = Alone({}, "")


ALL = Combination({}, "*")
"""Stands for all combinations of a matrix where a list decides them that is not made yet."""


def label_text(value: Value) -> str:
    """A value as labels have it: of a mapping its ``name``, else its values joined."""
    if isinstance(value, Mapping):
        name = value.get("name")
        return text_of_value(name) if name is not None else "-".join(map(text_of_value, value.values()))
    return text_of_value(value)


def label_of(values: Mapping[str, Value], names: Sequence[str]) -> str:
    """The label of the combination that has these values of the axes `names`: ``svm`` or ``svm,0.1``."""
    return ",".join([label_text(values[name]) for name in names])


def combinations_of(
    matrix: Matrix | None, params: Mapping[str, Value], lists: MadeLists = NO_LISTS
) -> list[Combination]:
    """Every combination, the last axis changing fastest; InputError in words for a matrix that has none that fits together.

    `lists` are those that steps made, all that the matrix takes values from. One that is empty gives no combination, and what
    `include` and `exclude` have need not be in them.
    """
    if matrix is None:
        return [ALONE]
    names = matrix.names
    axes: list[list[dict[str, Value]]] = [
        [{axis.name: value} for value in _values(axis, params, lists)] for axis in matrix.axes
    ]
    if matrix.zipped:
        axes.append(_zipped(matrix.zipped, params, lists))
    dynamic = bool(matrix.made_by)
    count = 1
    for choices in axes:
        count *= len(choices)
    if count > MAX_COMBINATIONS:
        batches = ": let each be for several" if dynamic else ""
        raise InputError(f"a matrix of {count:,} combinations; at most {MAX_COMBINATIONS:,}{batches}")
    found = [dict(itertools.chain.from_iterable(choice.items() for choice in one)) for one in itertools.product(*axes)]
    for item in matrix.exclude:
        left = [values for values in found if not _agrees(values, item)]
        if len(left) == len(found) and not dynamic:
            raise InputError(f"exclude of the matrix has {_shown(item)}, which is no combination{_near(item, found)}")
        found = left
    for item in matrix.include:
        found = _including(found, item, names, dynamic=dynamic)
    labels: dict[str, None] = {}
    for values in found:
        label = label_of(values, names)
        if label in labels:
            raise InputError(f"two combinations of the matrix have the label {label!r}")
        labels[label] = None
    return [Combination(values, label) for values, label in zip(found, labels, strict=True)]


def _values(axis: Axis, params: Mapping[str, Value], lists: MadeLists) -> Sequence[Value]:
    """The values of an axis, those of a parameter or of a step's output checked."""
    if axis.source is None:
        return axis.values
    if axis.made_by is not None:
        made = lists[axis.made_by]
        if made.problem:
            raise InputError(f"matrix {axis.name!r}: {axis.made_by} {made.problem}")
        values = made.values
    else:
        values = value_of(axis.source, params)
    if isinstance(values, Mapping):  # named things: each with its name
        values = [
            {"name": name, **(part if isinstance(part, Mapping) else {"value": part})} for name, part in values.items()
        ]
    if not isinstance(values, list):
        raise InputError(f"matrix {axis.name!r} takes a list, and {axis.source} is none")
    problem = problem_with_values(values)
    if problem:
        raise InputError(f"matrix {axis.name!r} ({axis.made_by or axis.source}) {problem}")
    return values


def problem_with_values(values: Iterable[Value]) -> str | None:
    """Why values can't be those of an axis, as words; None when they can."""
    texts: set[str] = set()  # what a label is made of: 1 and "1" are the same
    for value in values:
        parts = list(value.values()) if isinstance(value, Mapping) else [value]
        if value is None or isinstance(value, list) or not parts:
            return "has a value that is no text, number, true, false or mapping"
        text = label_text(value)
        if any("\0" in text_of_value(part) for part in parts) or "\0" in text:
            return "has a value that holds a NUL character"
        if text in texts:
            return f"has {text!r} twice"
        texts.add(text)
    return None


def _zipped(axes: Sequence[Axis], params: Mapping[str, Value], lists: MadeLists) -> list[dict[str, Value]]:
    values = {axis.name: _values(axis, params, lists) for axis in axes}
    lengths = {name: len(found) for name, found in values.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise InputError(f"zip of the matrix takes lists of one length: {counts}")
    return [dict(zip(values, choice, strict=True)) for choice in zip(*values.values(), strict=True)]


def _agrees(values: Mapping[str, Value], item: Mapping[str, Value]) -> bool:
    return all(name in values and label_text(values[name]) == label_text(value) for name, value in item.items())


def _including(
    found: list[dict[str, Value]], item: Mapping[str, Value], names: Sequence[str], *, dynamic: bool
) -> list[dict[str, Value]]:
    """With what one item of `include` adds: other values to combinations that it agrees with, or a combination of its own."""
    of_axes = {name: value for name, value in item.items() if name in names}
    met = [values for values in found if _agrees(values, of_axes)]
    if not met and len(of_axes) == len(names):
        return [*found, dict(item)]
    if dynamic and not met:
        return found
    if not met:
        raise InputError(
            f"include of the matrix has {_shown(item)}, which agrees with no combination{_near(of_axes, found)}"
        )
    if len(of_axes) == len(item):
        if dynamic:
            return found
        raise InputError(f"include of the matrix has {_shown(item)}, which is a combination already")
    return [{**values, **item} if _agrees(values, of_axes) else values for values in found]


def _shown(item: Mapping[str, Value]) -> str:
    return ", ".join(f"{name}: {label_text(value)}" for name, value in item.items())[:100]


def _near(item: Mapping[str, Value], found: Sequence[Mapping[str, Value]]) -> str:
    """The nearest value of the first axis of which an item has another."""
    for name, value in item.items():
        known = dict.fromkeys(label_text(values[name]) for values in found if name in values)
        if label_text(value) not in known:
            return nearest(label_text(value), known)
    return ""


def absent_params(matrix: Matrix | None, values: Mapping[str, Value]) -> tuple[Path, ...]:
    """The parameters that do not count in a combination: under `when`, and none of its conditions holds."""
    if matrix is None or not matrix.when:
        return ()
    held = {condition.param for condition in matrix.when if label_text(values[condition.axis]) in condition.texts}
    return tuple(dict.fromkeys(condition.param for condition in matrix.when if condition.param not in held))
