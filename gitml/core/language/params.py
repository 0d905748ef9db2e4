"""Parameters: values checked against their declaration, from the pipeline, a config file or ``-S name=value``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.language.diagnostics import SpecError, nearest
from gitml.core.model.action import Scalar
from gitml.core.parameters.value_path import (
    NoSuchPartError,
    Path,
    Value,
    parse_path,
    part_at,
    path_text,
    text_of_value,
    with_part,
)
from gitml.core.secrets.seals import is_seal, not_given
from gitml.errors import InputError

_FLOAT = r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\Z"
SCALAR_TYPES = ("str", "int", "float", "bool")
TYPES = (*SCALAR_TYPES, "list", "mapping")
_TYPES: Mapping[str, tuple[type, ...]] = {
    "float": (int, float),
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "list": (list,),
    "mapping": (dict,),
}
_NONE: Mapping[str, str] = {}


class ParamError(InputError):
    """A value that was given, or is missing, for a parameter."""


class Param(NamedTuple):
    """A named parameter. `default` None: it must be given. `type` is one of TYPES; bounds are inclusive.

    Of a `secret` one only seals are known here, never the value. One that is a top-level key of a config file has the path of
    that as `source`, and the value there as default, which may be null. `parts` are what a pipeline says of keys in it, each
    called by its path. The type of a `loose` one is only what the file's value is: a number may become another kind of number.
    """

    name: str
    type: str
    default: Value
    min: float | None = None
    max: float | None = None
    choices: tuple[Scalar, ...] = ()
    help: str = ""
    secret: bool = False
    source: str = ""
    parts: tuple[Param, ...] = ()
    loose: bool = False


def param_from_json(raw: Sequence[Any]) -> Param:
    """The inverse of how JSON has a Param: as a list."""
    param = Param(*raw)
    return param._replace(choices=tuple(param.choices), parts=tuple(map(param_from_json, param.parts)))


def type_name(value: object) -> str:
    """The type of a scalar; ``""`` for what is none."""
    return {bool: "bool", int: "int", float: "float", str: "str"}.get(type(value), "")


def value_type(value: Value) -> str:
    """The type of what a parameter can hold; ``""`` for null."""
    return "list" if isinstance(value, list) else "mapping" if isinstance(value, dict) else type_name(value)


def problem_with_value(param: Param, value: Value) -> str | None:
    """Why `value` can't be the parameter's, as words; None when it can."""
    if not isinstance(value, _TYPES[param.type]) or (isinstance(value, bool) and param.type != "bool"):
        return f"parameter {param.name!r} must be {param.type}, not {text_of_value(value)[:60]!r}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"parameter {param.name!r} must be finite"
    if is_seal(value) != param.secret:
        if param.secret:
            return f"parameter {param.name!r} is secret: its value is never written down"
        return f"parameter {param.name!r} can't be the seal of a secret parameter: only one that is secret holds it"
    if "\0" in text_of_value(value):
        return f"parameter {param.name!r} holds a NUL character"
    if isinstance(value, (int, float)):
        if param.min is not None and value < param.min:
            return f"parameter {param.name!r} must be at least {param.min:g}, not {value:g}"
        if param.max is not None and value > param.max:
            return f"parameter {param.name!r} must be at most {param.max:g}, not {value:g}"
    for item in (value if isinstance(value, list) else [value]) if param.choices else ():
        if item not in param.choices:
            choices = ", ".join(str(choice) for choice in param.choices)
            return f"parameter {param.name!r} must be one of {choices}, not {text_of_value(item)[:60]!r}"
    return None


def normalised(param: Param, value: Value) -> Value:
    """The one form of a value: an int given for a float parameter is that float."""
    return float(value) if param.type == "float" else value


def part_of(params: Mapping[str, Param], path: Path) -> tuple[Param, Value]:
    """The declaration of a part of a parameter, as far as there is one, and what its default has there.

    ParamError where the path leads nowhere.
    """
    name = str(path[0])
    if name not in params:
        raise ParamError(f"unknown parameter {name!r}{nearest(name, params)}")
    param = params[name]
    if len(path) == 1:
        return param, param.default
    if param.default is None and not param.source:
        raise ParamError(f"parameter {name!r} has no default, so that nothing is known of its parts")
    try:
        value = part_at(param.default, path[1:])
    except NoSuchPartError as error:
        where = f" ({param.source})" if param.source else ""
        near = nearest(str(path[len(error.at) + 1]), error.known) if error.known else ""
        raise ParamError(f"parameter {path_text((name, *error.at))!r} {error}{near}{where}") from None
    text = path_text(path)
    declared = next((part for part in param.parts if part.name == text), None)
    return declared or param_of_file(text, value, param.source), value


def param_of_file(name: str, value: Value, source: str) -> Param:
    """What a key of a config file is where the pipeline says nothing of it."""
    return Param(name, value_type(value) or "str", value, source=source, loose=True)


def bind_params(
    params: Mapping[str, Param], given: Sequence[tuple[str, str]], seals: Mapping[str, str] = _NONE
) -> dict[str, Value]:
    """Every parameter's value, those given as text overriding; InputError naming what is unknown, missing or wrong.

    A name that is given may be that of a part: ``train.lr``. Of secret parameters those of `seals`; one that has none there is
    not given.
    """
    values = defaults_of(params)
    values |= {name: seals.get(name, not_given(name)) for name, param in params.items() if param.secret}
    for name, text in given:
        try:
            path: Path = (name,) if name in params else parse_path(name) or (name,)
            param, before = part_of(params, path)
        except ParamError as error:
            error.where = f"-S {name[:60]}=…"
            raise
        if param.secret:
            hint = (
                f"others may see a command line, and shells keep it: --secret {name} takes it from a variable or asks"
            )
            raise ParamError(f"parameter {name!r} is secret", where=f"-S {name}=…", hint=hint)
        where = f"-S {name}={text[:60]}"
        value = _from_text(param, text, before, where)
        values[str(path[0])] = with_part(values.get(str(path[0])), path[1:], value)
    missing = [name for name in params if name not in values]
    if missing:
        raise ParamError(f"parameter {missing[0]!r} has no default", hint=f"give it: -S {missing[0]}=…")
    return {name: values[name] for name in params}


def defaults_of(params: Mapping[str, Param]) -> dict[str, Value]:
    """The values that parameters have where none is given, of those that have any."""
    return {name: param.default for name, param in params.items() if param.default is not None or param.source}


def owners_of(names: Iterable[str]) -> set[str]:
    """The parameters that values are given for, or for parts of which, by the names that `bind_params` took."""
    return {str((parse_path(name) or (name,))[0]) for name in names}


def bind_recorded(params: Mapping[str, Param], recorded: Mapping[str, Scalar]) -> dict[str, Value]:
    """Values as a record has them, by path, lists and mappings as JSON; of what it does not have, the defaults.

    What the pipeline does not know is kept as it is where its name is that of a parameter, and else left out.
    """
    values = defaults_of(params)
    for name, value in recorded.items():
        path: Path = (name,) if name in params else parse_path(name) or (name,)
        try:
            param, before = part_of(params, path)
        except ParamError:
            if len(path) == 1:
                values[name] = value
            continue
        if isinstance(value, str) and (
            param.type in ("list", "mapping") or (param.source and value_type(before) != "str")
        ):
            value = _from_json(value)
        values[str(path[0])] = with_part(values.get(str(path[0])), path[1:], value)
    return values


def _from_json(text: str) -> Value:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _from_text(param: Param, text: str, before: Value, where: str) -> Value:
    """A value that is given as text; `before` is the one in whose place it comes. ParamError for one that it can't be."""
    kind = param.type
    if param.source:
        if isinstance(before, dict) and before:
            keys = ", ".join(path_text((*(parse_path(param.name) or ()), key)) for key in list(before)[:3])
            what = f"parameter {param.name!r} is a mapping in {param.source}"
            raise ParamError(what, where=where, hint=f"give its keys: {keys}")
        if before is None:
            return _yaml_value(text, where)
        if param.loose and kind == "int" and not _is_int(text) and re.match(_FLOAT, text):
            kind = "float"  # a file that says 1 does not say that 0.5 is none
    value = _scalar_from_text(kind, text, where)
    problem = problem_with_value(param._replace(type=kind), value)
    if problem:
        hint = f"-S '{param.name}=[a, b]'" if kind == "list" else None
        raise ParamError(problem, where=where, hint=hint)
    return value if param.source else normalised(param, value)


def _scalar_from_text(kind: str, text: str, where: str) -> Value:
    if kind == "bool":
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind == "int":
        return int(text) if _is_int(text) else text
    if kind == "float":
        return float(text) if len(text) <= 64 and re.match(_FLOAT, text) else text
    return _yaml_value(text, where) if kind in ("list", "mapping") else text


def _is_int(text: str) -> bool:
    digits = text[1:] if text[:1] in ("+", "-") else text
    return digits.isascii() and digits.isdecimal() and len(text) <= 64


def _yaml_value(text: str, where: str) -> Value:
    # with the reader of YAML, which few values need
    from gitml.core.language.yaml_document import read_yaml
    from gitml.core.parameters.config_file import plain_value

    try:
        return plain_value(read_yaml(text.encode("utf-8", "surrogateescape"), "-S")[0], "-S")
    except SpecError as error:
        raise ParamError(error.diagnostics[0].message, where=where) from None
