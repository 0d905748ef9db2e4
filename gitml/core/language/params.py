"""Parameters: values checked against their declaration, from the file or from ``-S name=value``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitml.core.language.diagnostics import nearest
from gitml.core.model.action import Scalar
from gitml.core.secrets.seals import is_seal, not_given
from gitml.errors import InputError

_FLOAT = r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\Z"
TYPES = ("str", "int", "float", "bool")
_NONE: Mapping[str, str] = {}


class ParamError(InputError):
    """A value that was given, or is missing, for a parameter."""


class Param(NamedTuple):
    """A named parameter. `default` None: it must be given. `type` is str, int, float or bool; bounds are inclusive.

    Of a `secret` one only seals are known here, never the value.
    """

    name: str
    type: str
    default: Scalar | None
    min: float | None = None
    max: float | None = None
    choices: tuple[Scalar, ...] = ()
    help: str = ""
    secret: bool = False


def type_name(value: object) -> str:
    """The type a default stands for; ``""`` when a parameter can't hold it."""
    return {bool: "bool", int: "int", float: "float", str: "str"}.get(type(value), "")


def problem_with_value(param: Param, value: object) -> str | None:
    """Why `value` can't be the parameter's, as words; None when it can."""
    allowed = (int, float) if param.type == "float" else {"str": (str,), "int": (int,), "bool": (bool,)}[param.type]
    if not isinstance(value, allowed) or (isinstance(value, bool) and param.type != "bool"):
        return f"parameter {param.name!r} must be {param.type}, not {str(value)[:60]!r}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"parameter {param.name!r} must be finite"
    if is_seal(value) != param.secret:
        if param.secret:
            return f"parameter {param.name!r} is secret: its value is never written down"
        return f"parameter {param.name!r} can't be the seal of a secret parameter: only one that is secret holds it"
    if isinstance(value, str) and "\0" in value:
        return f"parameter {param.name!r} holds a NUL character"
    if isinstance(value, (int, float)):
        if param.min is not None and value < param.min:
            return f"parameter {param.name!r} must be at least {param.min:g}, not {value:g}"
        if param.max is not None and value > param.max:
            return f"parameter {param.name!r} must be at most {param.max:g}, not {value:g}"
    if param.choices and value not in param.choices:
        choices = ", ".join(str(choice) for choice in param.choices)
        return f"parameter {param.name!r} must be one of {choices}, not {str(value)[:60]!r}"
    return None


def normalised(param: Param, value: Scalar) -> Scalar:
    """The one form of a value: an int given for a float parameter is that float."""
    return float(value) if param.type == "float" else value


def bind_params(
    params: Mapping[str, Param], given: Sequence[tuple[str, str]], seals: Mapping[str, str] = _NONE
) -> dict[str, Scalar]:
    """Every parameter's value, those given as text overriding; InputError naming what is unknown, missing or wrong.

    Of secret parameters those of `seals`; one that has none there is not given.
    """
    values: dict[str, Scalar] = {name: param.default for name, param in params.items() if param.default is not None}
    values |= {name: seals.get(name, not_given(name)) for name, param in params.items() if param.secret}
    for name, text in given:
        if name not in params:
            raise ParamError(f"unknown parameter {name!r}{nearest(name, params)}", where=f"-S {name}=…")
        if params[name].secret:
            hint = (
                f"others may see a command line, and shells keep it: --secret {name} takes it from a variable or asks"
            )
            raise ParamError(f"parameter {name!r} is secret", where=f"-S {name}=…", hint=hint)
        value = _from_text(params[name], text)
        problem = problem_with_value(params[name], value)
        if problem:
            raise ParamError(problem, where=f"-S {name}={text[:60]}")
        values[name] = normalised(params[name], value)
    missing = [name for name in params if name not in values]
    if missing:
        raise ParamError(f"parameter {missing[0]!r} has no default", hint=f"give it: -S {missing[0]}=…")
    return {name: values[name] for name in params}


def text_of(value: Scalar) -> str:
    """A value as commands and environment variables see it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def _from_text(param: Param, text: str) -> Scalar:
    if param.type == "bool":
        return {"true": True, "false": False}.get(text.lower(), text)
    if param.type == "int":
        digits = text[1:] if text[:1] in ("+", "-") else text
        return int(text) if digits.isascii() and digits.isdecimal() and len(text) <= 64 else text
    if param.type == "float":
        return float(text) if len(text) <= 64 and re.match(_FLOAT, text) else text
    return text
