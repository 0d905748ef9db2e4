"""Interface: the typed ports and parameters by which a module is used, as it is written into the log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_PORT_TYPE = re.compile(r"[a-z]{1,40}\Z")  # which kinds there are is known where module.yaml is read
PARAM_TYPES = ("str", "int", "float", "bool")

Scalar = str | int | float | bool


class ModulePort(NamedTuple):
    """An input or output. `type` is a kind of port: file, directory, metrics, plot …"""

    name: str
    type: str
    optional: bool = False
    help: str = ""


class ModuleParam(NamedTuple):
    """A parameter of type str, int, float or bool. `default` None: it must be given. Bounds are inclusive.

    The value of a `secret` one is never recorded.
    """

    name: str
    type: str
    default: Scalar | None = None
    min: float | None = None
    max: float | None = None
    choices: tuple[Scalar, ...] = ()
    help: str = ""
    secret: bool = False


class Interface(NamedTuple):
    """All of a module's ports and parameters, in the order in which they were written."""

    inputs: tuple[ModulePort, ...] = ()
    outputs: tuple[ModulePort, ...] = ()
    params: tuple[ModuleParam, ...] = ()


def interface_as_json(interface: Interface) -> dict[str, Any]:
    """The interface as data; what is not said is left out."""
    return {kind: {item.name: _said(item) for item in items} for kind, items in interface._asdict().items()}


def interface_from_json(raw: Any) -> Interface:
    """The interface that `interface_as_json` made; ValueError for anything else."""
    try:
        return Interface(
            tuple(_port(name, item) for name, item in raw["inputs"].items()),
            tuple(_port(name, item) for name, item in raw["outputs"].items()),
            tuple(_param(name, item) for name, item in raw["params"].items()),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an interface: {error!r}") from error


def _said(item: ModulePort | ModuleParam) -> dict[str, Any]:
    empty: tuple[object, ...] = (None, "", ())
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in item._asdict().items()
        if name != "name" and value not in empty and not (name in ("optional", "secret") and value is False)
    }


def _port(name: str, raw: Mapping[str, Any]) -> ModulePort:
    port = ModulePort(name, raw["type"], raw.get("optional", False), raw.get("help", ""))
    texts = isinstance(port.type, str) and isinstance(port.help, str)
    if not texts or not _PORT_TYPE.match(port.type) or not isinstance(port.optional, bool):
        raise ValueError(f"not a port: {name!r}")
    return port


def _param(name: str, raw: Mapping[str, Any]) -> ModuleParam:
    kind = raw["type"]
    choices = tuple(raw.get("choices", ()))
    param = ModuleParam(name, kind, raw.get("default"), raw.get("min"), raw.get("max"), choices, raw.get("help", ""))
    param = param._replace(secret=raw.get("secret", False))
    bounds_good = all(bound is None or isinstance(bound, (int, float)) for bound in (param.min, param.max))
    values = [value for value in (param.default, *choices) if value is not None]
    if (
        kind not in PARAM_TYPES
        or not bounds_good
        or not isinstance(param.help, str)
        or not isinstance(param.secret, bool)
        or not all(isinstance(value, (str, int, float, bool)) for value in values)
    ):
        raise ValueError(f"not a parameter: {name!r}")
    return param
