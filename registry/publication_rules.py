"""What publishing asks beyond the rules of events: one content a version, one spelling a number, no hidden break."""

from __future__ import annotations

import json
from typing import NamedTuple

from gitml.errors import InputError
from registry.compatibility import interface_diff
from registry.interface import Interface, interface_from_json
from registry.log.events import CONTENT
from registry.state import ACTIVE, DISABLED, ModuleState, VersionState, same_number
from registry.versions import Number, number_of, order


class Verdict(NamedTuple):
    """Whether the version is there already with just this content, and what its publisher should know."""

    known: bool
    notes: tuple[str, ...]


def check_publication(
    state: ModuleState, version: str, tree: str, interface: Interface, *, allow_breaking: bool
) -> Verdict:
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
        return Verdict(True, tuple(told))
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
    return Verdict(False, tuple(notes))


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
