"""What publishing asks beyond the rules of events: one content a version, one spelling a number, no hidden break in use."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from gitml.errors import InputError
from registry.interface import Interface, ModuleParam, ModulePort, interface_from_json
from registry.log.events import CONTENT
from registry.state import ACTIVE, DISABLED, ModuleState, VersionState, same_number
from registry.versions import Number, number_of, order


class PublicationCheck(NamedTuple):
    """Whether the version is there already with just this content, and what its publisher should know."""

    known: bool
    notes: tuple[str, ...]


def check_publication(
    state: ModuleState, version: str, tree: str, interface: Interface, *, allow_breaking: bool
) -> PublicationCheck:
    """The Verdict on publishing; InputError when the rules refuse it."""
    name = state.name
    there = state.versions.get(version)
    if there is not None:
        if there.content != CONTENT + tree:
            raise InputError(
                f"{name} {version} is published with other content, and a version never changes",
                where=f"published {there.published[:10]} by {there.by}",
                hint="publish this as another version",
            )
        told = [f"{name} {version} is published already, with this content"]
        if there.state != ACTIVE:
            told.append(f"it is {there.state}")
        return PublicationCheck(True, tuple(told))
    twin = same_number(state, version)
    if twin is not None:
        raise InputError(f"{version} is {twin} written otherwise, and {name} has that", hint="publish another version")
    breaks = [
        line for neighbour in neighbours(state, version) for line in _breaks(name, version, interface, *neighbour)
    ]
    if breaks and not allow_breaking:
        number = number_of(version)
        instead = f"a new major version ({_next_major(state, number)})" if number else "a version with an order"
        raise InputError("; ".join(breaks), where=f"{name} {version}", hint=f"publish {instead}, or --allow-breaking")
    notes = [f"breaking: {line}" for line in breaks]
    same = [other.version for other in state.versions.values() if other.content == CONTENT + tree]
    if same:
        notes.append(f"the content is that of {', '.join(same[:5])}")
    if state.state != ACTIVE:
        notes.append(f"module {name} is {state.state}" + (f": {state.reason}" if state.reason else ""))
    return PublicationCheck(False, tuple(notes))


def neighbours(state: ModuleState, version: str) -> list[tuple[VersionState, bool]]:
    """The versions that `version` must be compatible with, and whether each comes before it.

    Those are the releases just below and above it that may stand for it (same major version; below 1.0 the same minor). A
    version without an order is compared with the one published last. What is disabled does not count.
    """
    usable = [v for v in state.versions.values() if v.state != DISABLED]
    number = number_of(version)
    if number is None:
        return [(max(usable, key=lambda v: v.published), True)] if usable else []
    line = [(n, v) for v in usable if (n := number_of(v.version)) and not n.pre and n.line() == number.line()]
    below = [pair for pair in line if order(pair[0]) < order(number)]
    above = [pair for pair in line if order(pair[0]) > order(number)]
    found = []
    if below:
        found.append((max(below, key=lambda pair: order(pair[0]))[1], True))
    if above and not number.pre:
        found.append((min(above, key=lambda pair: order(pair[0]))[1], False))
    return found


def _breaks(name: str, version: str, interface: Interface, other: VersionState, before: bool) -> list[str]:
    theirs = interface_from_json(json.loads(other.interface))
    pair = (theirs, interface) if before else (interface, theirs)
    steps = f"from {other.version} to {version}" if before else f"from {version} to {other.version}"
    return [f"{line} {steps}" for line in interface_diff(*pair).breaking]


def _next_major(state: ModuleState, number: Number) -> str:
    known = [n for version in state.versions if (n := number_of(version))]
    if number.major == 0 and not any(n.major for n in known):
        return f"0.{max(n.minor for n in [*known, number]) + 1}.0"
    return f"{max(n.major for n in [*known, number]) + 1}.0.0"


Named = TypeVar("Named", ModulePort, ModuleParam)


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


def _inputs(old: dict[str, ModulePort], new: dict[str, ModulePort], breaking: list[str], compatible: list[str]) -> None:
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


def _outputs(
    old: dict[str, ModulePort], new: dict[str, ModulePort], breaking: list[str], compatible: list[str]
) -> None:
    for name in [name for name in old if name not in new]:
        breaking.append(f"output {name!r} is gone")
    for name, port in new.items():
        before = old.get(name)
        if before is None:
            compatible.append(f"output {name!r} is new")
        elif before.type != port.type:
            breaking.append(f"output {name!r} was {before.type}, is {port.type}")


def _params(
    old: dict[str, ModuleParam], new: dict[str, ModuleParam], breaking: list[str], compatible: list[str]
) -> None:
    for name in [name for name in old if name not in new]:
        breaking.append(f"parameter {name!r} is gone")
    for name, param in new.items():
        before = old.get(name)
        if before is None:
            said = breaking if param.default is None else compatible
            said.append(f"{'required ' if param.default is None else ''}parameter {name!r} is new")
        else:
            _param(before, param, breaking, compatible)


def _param(old: ModuleParam, new: ModuleParam, breaking: list[str], compatible: list[str]) -> None:
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
