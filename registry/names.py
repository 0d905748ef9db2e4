"""What modules and versions may be called, and how a use of one is written: ``[registry:]name[@requirement]``."""

from __future__ import annotations

import re
from typing import NamedTuple

from gitml.errors import InputError

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
