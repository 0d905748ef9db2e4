"""What expressions stand for, among the values of parameters or of a combination."""

from __future__ import annotations

from collections.abc import Mapping

from gitml.core.language.expression import Ref
from gitml.core.parameters.value_path import NoSuchPartError, Value, part_at, path_text, text_of_value
from gitml.errors import InputError


def words_for(ref: Ref, values: Mapping[str, Value]) -> list[str]:
    """The words that an expression of a parameter, or of a value of the matrix, stands for; InputError where it has none."""
    value = value_of(ref, values)
    if not ref.selector:
        return [text_of_value(value)]
    if not isinstance(value, list):
        raise InputError(f"{ref} takes the items of a list, and there is none")
    return [text_of_value(item) for item in value]


def value_of(ref: Ref, values: Mapping[str, Value]) -> Value:
    """The value that an expression stands for, which is not null."""
    try:
        value = part_at(values, ref.full_path)
    except NoSuchPartError as error:
        raise InputError(f"{ref}: {path_text(error.at)!r} {error} in this run") from None
    if value is None:
        raise InputError(f"{ref} is null in this run: give it a value")
    return value
