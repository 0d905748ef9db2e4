"""What publishing asks beyond the rules of events: one content a version, one spelling a number, no hidden break in use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from gitml.errors import InputError
from registry.interface import Interface, ModuleParam, ModulePort
from registry.log.events import CONTENT
from registry.state import ACTIVE, DISABLED, ModuleState, ModuleVersion, same_number
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


def neighbours(state: ModuleState, version: str) -> list[tuple[ModuleVersion, bool]]:
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


def _breaks(name: str, version: str, interface: Interface, other: ModuleVersion, before: bool) -> list[str]:
    pair = (other.interface, interface) if before else (interface, other.interface)
    steps = f"from {other.version} to {version}" if before else f"from {version} to {other.version}"
    return [f"{line} {steps}" for line in interface_diff(*pair).breaking]


def _next_major(state: ModuleState, number: Number) -> str:
    known = [n for version in state.versions if (n := number_of(version))]
    if number.major == 0 and not any(n.major for n in known):
        return f"0.{max(n.minor for n in [*known, number]) + 1}.0"
    return f"{max(n.major for n in [*known, number]) + 1}.0.0"


class InterfaceDiff(NamedTuple):
    """Changes as words. A pipeline that used the old interface works with the new one unless `breaking` has something."""

    breaking: tuple[str, ...]
    compatible: tuple[str, ...]


def interface_diff(old: Interface, new: Interface) -> InterfaceDiff:
    """How `new` differs from `old`."""
    found = [
        *_differences("input", old.inputs, new.inputs, _input),
        *_differences("output", old.outputs, new.outputs, _output),
        *_differences("parameter", old.params, new.params, _param),
    ]
    return InterfaceDiff(*(tuple(line for breaks, line in found if breaks is kind) for kind in (True, False)))


Named = TypeVar("Named", ModulePort, ModuleParam)
Differences = Iterator[tuple[bool, str]]
"""What differs, in words, each with whether it breaks pipelines that used what was there before."""


def _differences(
    kind: str, old: Iterable[Named], new: Iterable[Named], compare: Callable[[str, Named | None, Named], Differences]
) -> Differences:
    before, after = ({item.name: item for item in items} for items in (old, new))
    for name in before:
        if name not in after:
            yield True, f"{kind} {name!r} is gone"
    for name, item in after.items():
        yield from compare(f"{kind} {name!r}", before.get(name), item)


def _input(what: str, old: ModulePort | None, new: ModulePort) -> Differences:
    if old is None:
        yield not new.optional, f"{'optional' if new.optional else 'required'} {what} is new"
        return
    if old.type != new.type:
        yield True, f"{what} was {old.type}, is {new.type}"
    if old.optional and not new.optional:
        yield True, f"{what} was optional, is required"
    if new.optional and not old.optional:
        yield False, f"{what} was required, is optional"


def _output(what: str, old: ModulePort | None, new: ModulePort) -> Differences:
    if old is None:
        yield False, f"{what} is new"
    elif old.type != new.type:
        yield True, f"{what} was {old.type}, is {new.type}"


def _param(what: str, old: ModuleParam | None, new: ModuleParam) -> Differences:
    if old is None:
        yield new.default is None, f"{'required ' if new.default is None else ''}{what} is new"
        return
    if old.type != new.type:
        # Every int is a float, so what was given before can still be given.
        yield (old.type, new.type) != ("int", "float"), f"{what} was {old.type}, is {new.type}"
    if old.default is not None and new.default is None:
        yield True, f"{what} had the default {old.default!r}, has none"
    elif old.default != new.default or type(old.default) is not type(new.default):
        yield False, f"{what} has the default {new.default!r}, had {old.default!r}"
    for name, was, now, wider in (("min", old.min, new.min, -1), ("max", old.max, new.max, 1)):
        if was != now:
            narrowed = now is not None and (was is None or (now - was) * wider < 0)
            yield narrowed, f"{what}: {name} was {was}, is {now}"
    if old.choices != new.choices:
        lost = [choice for choice in old.choices if choice not in new.choices]
        if new.choices and not old.choices:
            yield True, f"{what} took anything, now one of {_listed(new.choices)}"
        elif new.choices and lost:
            yield True, f"{what} no longer takes {_listed(lost)}"
        else:
            yield False, f"{what} takes more than {_listed(old.choices)}"


def _listed(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values)
