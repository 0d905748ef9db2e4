"""What changed between two interfaces, and which of it breaks a pipeline that was right for the first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from registry.interface import Interface, Param, Port

Named = TypeVar("Named", Port, Param)


class InterfaceDiff(NamedTuple):
    """Changes as words. A pipeline that used the old interface works with the new one unless `breaking` has something."""

    breaking: tuple[str, ...]
    compatible: tuple[str, ...]


def interface_diff(old: Interface, new: Interface) -> InterfaceDiff:
    """How `new` differs from `old`."""
    breaking: list[str] = []
    compatible: list[str] = []
    _inputs(_by_name(old.inputs), _by_name(new.inputs), breaking, compatible)
    _outputs(_by_name(old.outputs), _by_name(new.outputs), breaking, compatible)
    _params(_by_name(old.params), _by_name(new.params), breaking, compatible)
    return InterfaceDiff(tuple(breaking), tuple(compatible))


def _by_name(items: Iterable[Named]) -> dict[str, Named]:
    return {item.name: item for item in items}


def _inputs(old: dict[str, Port], new: dict[str, Port], breaking: list[str], compatible: list[str]) -> None:
    for name in [name for name in old if name not in new]:
        breaking.append(f"input {name!r} is gone")
    for name, port in new.items():
        before = old.get(name)
        if before is None:
            said = compatible if port.optional else breaking
            said.append(f"{'optional' if port.optional else 'required'} input {name!r} is new")
            continue
        if before.type != port.type:
            breaking.append(f"input {name!r} was {before.type}, is {port.type}")
        if before.optional and not port.optional:
            breaking.append(f"input {name!r} was optional, is required")
        if port.optional and not before.optional:
            compatible.append(f"input {name!r} was required, is optional")


def _outputs(old: dict[str, Port], new: dict[str, Port], breaking: list[str], compatible: list[str]) -> None:
    for name in [name for name in old if name not in new]:
        breaking.append(f"output {name!r} is gone")
    for name, port in new.items():
        before = old.get(name)
        if before is None:
            compatible.append(f"output {name!r} is new")
        elif before.type != port.type:
            breaking.append(f"output {name!r} was {before.type}, is {port.type}")


def _params(old: dict[str, Param], new: dict[str, Param], breaking: list[str], compatible: list[str]) -> None:
    for name in [name for name in old if name not in new]:
        breaking.append(f"parameter {name!r} is gone")
    for name, param in new.items():
        before = old.get(name)
        if before is None:
            said = breaking if param.default is None else compatible
            said.append(f"{'required ' if param.default is None else ''}parameter {name!r} is new")
        else:
            _param(before, param, breaking, compatible)


def _param(old: Param, new: Param, breaking: list[str], compatible: list[str]) -> None:
    what = f"parameter {new.name!r}"
    if old.type != new.type:
        # Every int is a float, so what was given before can still be given.
        said = compatible if (old.type, new.type) == ("int", "float") else breaking
        said.append(f"{what} was {old.type}, is {new.type}")
    if old.default is not None and new.default is None:
        breaking.append(f"{what} had the default {old.default!r}, has none")
    elif old.default != new.default or type(old.default) is not type(new.default):
        compatible.append(f"{what} has the default {new.default!r}, had {old.default!r}")
    _bound(what, "min", old.min, new.min, -1, breaking, compatible)
    _bound(what, "max", old.max, new.max, 1, breaking, compatible)
    if old.choices != new.choices:
        lost = [choice for choice in old.choices if choice not in new.choices]
        if new.choices and not old.choices:
            breaking.append(f"{what} took anything, now one of {_listed(new.choices)}")
        elif new.choices and lost:
            breaking.append(f"{what} no longer takes {_listed(lost)}")
        else:
            compatible.append(f"{what} takes more than {_listed(old.choices)}")


def _bound(
    what: str, name: str, old: float | None, new: float | None, wider: int, breaking: list[str], compatible: list[str]
) -> None:
    if old == new:
        return
    narrowed = new is not None and (old is None or (new - old) * wider < 0)
    (breaking if narrowed else compatible).append(f"{what}: {name} was {old}, is {new}")


def _listed(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values)
