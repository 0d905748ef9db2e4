"""Semantic versions and what is required of them.

``1.2.0``, ``1.2`` and ``10`` are versions with an order; so are ``1.2.0-rc.1`` and ``1.2.0+build`` by the rules of
semver.org, for which python-semver is asked. Everything else (``blue``, ``2024-05``) is a version without one: it can be
pinned, and is never the highest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cmp_to_key
from typing import NamedTuple

from gitml.errors import InputError

_PLAIN = re.compile(r"(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*))?(?:\.(0|[1-9][0-9]*))?\Z")
_BOUND = re.compile(r"\s*(>=|<=|>|<|==|=|!=)\s*(\S+)\s*\Z")
_RANGE_START = frozenset("^~<>=!*")


class Number(NamedTuple):
    """A version that has an order. `pre` is what stands behind the first '-', empty for a release; '+…' does not count."""

    major: int
    minor: int
    patch: int
    pre: str = ""

    @property
    def release(self) -> tuple[int, int, int]:
        """The three numbers."""
        return self[:3]

    def line(self) -> tuple[int, ...]:
        """What versions that may stand for each other share: the first number that is not 0, and those before it."""
        if self.major:
            return (self.major,)
        return (0, self.minor) if self.minor else (0, 0, self.patch)


def number_of(version: str) -> Number | None:
    """The version's place in the order, None when it has none."""
    match = _PLAIN.match(version)
    if match:
        return Number(int(match[1]), int(match[2] or 0), int(match[3] or 0))
    if "-" not in version and "+" not in version:
        return None
    import semver  # 20 ms, and few versions are of this kind

    try:
        found = semver.Version.parse(version)
    except ValueError:
        return None
    return Number(found.major, found.minor, found.patch, found.prerelease or "")


def compare(one: Number, other: Number) -> int:
    """Negative, 0 or positive, as `one` comes before, with or after `other`."""
    if one.release != other.release:
        return -1 if one.release < other.release else 1
    if one.pre == other.pre:
        return 0
    if not one.pre or not other.pre:
        return 1 if not one.pre else -1
    import semver

    return int(semver.Version(0, 0, 0, one.pre).compare(semver.Version(0, 0, 0, other.pre)))


order = cmp_to_key(compare)


class Bound(NamedTuple):
    """One comparison: `sign` is ``>=``, ``<=``, ``>``, ``<``, ``==`` or ``!=``."""

    sign: str
    number: Number

    def admits(self, number: Number) -> bool:
        """Whether a version satisfies it."""
        place = compare(number, self.number)
        return {
            ">=": place >= 0, "<=": place <= 0, ">": place > 0, "<": place < 0, "==": place == 0, "!=": place != 0,
        }[self.sign]  # fmt: skip


class Requirement(NamedTuple):
    """Either one version exactly (`exact`), or all that its bounds admit; no bounds admit every version with an order."""

    text: str
    exact: str | None
    bounds: tuple[Bound, ...] = ()

    def admits(self, number: Number) -> bool:
        """Whether a version satisfies every bound. A pre-release only does when a bound names one of the same release."""
        if number.pre and not any(bound.number.pre and bound.number.release == number.release for bound in self.bounds):
            return False
        return all(bound.admits(number) for bound in self.bounds)


def parse_requirement(text: str) -> Requirement:
    """``1.2.0`` exactly, ``^1.2``, ``~1.2``, ``>=1,<3`` or ``latest``; InputError when it is none of these."""
    text = text.strip()
    if text in (LATEST, "*"):
        return Requirement(text, None)
    if text[:1] in _RANGE_START or "," in text:
        bounds: list[Bound] = []
        for part in text.split(","):
            bounds += _bounds(part.strip(), text)
        return Requirement(text, None, tuple(bounds))
    return Requirement(text, check_version(text))


def newest_first(versions: Iterable[str]) -> list[str]:
    """Versions with an order, highest first; then the others by name."""
    numbers = {version: number_of(version) for version in versions}
    numbered = [(number, version) for version, number in numbers.items() if number is not None]
    numbered.sort(key=lambda pair: order(pair[0]), reverse=True)
    return [version for _, version in numbered] + sorted(v for v, number in numbers.items() if number is None)


def _bounds(part: str, whole: str) -> list[Bound]:
    if part[:1] in ("^", "~"):
        low = _number(part[1:].strip(), whole)
        given = part.split("-", 1)[0].split("+", 1)[0].count(".") + 1
        return [Bound(">=", low), Bound("<", _end(part[0], low, given))]
    match = _BOUND.match(part)
    if match is None:
        raise InputError(
            f"not a requirement: {whole[:80]!r}", hint="write 1.2.0 (exactly), ^1.2, ~1.2, >=1,<3 or latest"
        )
    sign = "==" if match[1] == "=" else match[1]
    return [Bound(sign, _number(match[2], whole))]


def _end(sign: str, low: Number, given: int) -> Number:
    """The first release that ``^`` or ``~`` no longer admits; `given` says how many numbers were written."""
    if sign == "~":
        return Number(low.major + 1, 0, 0) if given == 1 else Number(low.major, low.minor + 1, 0)
    if low.major or given == 1:
        return Number(low.major + 1, 0, 0)
    if low.minor or given == 2:
        return Number(0, low.minor + 1, 0)
    return Number(0, 0, low.patch + 1)


def _number(text: str, whole: str) -> Number:
    number = number_of(text)
    if number is None:
        raise InputError(f"{text[:60]!r} has no order, so it can't bound a range", where=whole[:80])
    return number


MAX_NAME = 100
MAX_VERSION = 64
LATEST = "latest"

_PART = r"[a-z0-9][a-z0-9_-]*"
_NAME = re.compile(rf"{_PART}(/{_PART})?\Z")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]*\Z")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")


class ModuleRef(NamedTuple):
    """A module as pipelines and commands name it. `registry` is None for the default one, `requirement` None for none."""

    registry: str | None
    name: str
    requirement: str | None

    def __str__(self) -> str:
        prefix = f"{self.registry}:" if self.registry else ""
        return prefix + self.name + (f"@{self.requirement}" if self.requirement else "")


def parse_ref(text: str) -> ModuleRef:
    """``team:owner/name@^1`` in its parts; InputError when it is not one."""
    head, at, requirement = text.partition("@")
    alias, colon, name = head.rpartition(":")
    if colon and not _ALIAS.match(alias):
        raise InputError(f"not the name of a registry: {alias[:60]!r}", where=text[:120])
    if at and not requirement.strip():
        raise InputError("nothing stands behind '@'", where=text[:120], hint="name@1.2.0, name@^1, name@latest or name")
    check_name(name)
    return ModuleRef(alias or None, name, requirement.strip() or None)


def check_name(name: str) -> str:
    """The name; InputError unless it is ``name`` or ``owner/name`` in lower case letters, digits, '-' and '_'."""
    if len(name) > MAX_NAME:
        raise InputError(
            f"a module's name has at most {MAX_NAME} characters, this one {len(name)}", where=name[:60] + "…"
        )
    if not _NAME.match(name):
        raise InputError(
            f"not a module's name: {name[:100]!r}",
            hint="write name or owner/name in lower case letters, digits, '-' and '_'",
        )
    return name


def check_version(version: str) -> str:
    """The version; InputError unless letters, digits and ``. _ + -``, 64 at most, make it up."""
    if version == LATEST:
        raise InputError("a version can't be called 'latest': that means the highest there is")
    if len(version) > MAX_VERSION or not _VERSION.match(version) or ".." in version or version.endswith("."):
        raise InputError(
            f"not a version: {version[:80]!r}",
            hint=f"write letters, digits, '.', '_', '+' and '-', {MAX_VERSION} at most, such as 1.2.0",
        )
    return version
