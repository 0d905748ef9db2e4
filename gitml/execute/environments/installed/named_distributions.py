"""Which installed distributions a step needs that names some of them: these, and what they require in turn.

Requirements are those of the installed METADATA, with the markers that hold for the interpreter and the extras that are asked
for. What was found is remembered by the state of the site folders.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.model.digest import digest_of
from gitml.core.model.environment import package_name
from gitml.core.model.protocols import Facts
from gitml.execute.environments.interpreters import Packages, PythonInterpreter
from gitml.execute.environments.site_files import INFO, only_files

FORMAT = 1  # raised whenever the same folders would give other distributions
EDITABLE = " (editable)"
_LARGEST = 2**22  # bytes of a METADATA that are read
_BEGINS = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_SECTION = re.compile(r"\[([^\]:]*)(?::([^\]]*))?\]$")


class NamedDistributions(NamedTuple):
    """`packages` are those that count; `missing` the names of which nothing is installed."""

    packages: Packages
    missing: tuple[str, ...]


def needed_by(
    names: Sequence[str], found: Packages, interpreter: PythonInterpreter, facts: Facts
) -> NamedDistributions:
    """What of the installed packages `found` the distributions `names`, in normal form, are and need.

    Editable installs of the repository stay in it, as they lead to code of the commit, and so does a passed-on PYTHONPATH.
    """
    editable = [item for item in found.contents if item.endswith(EDITABLE)]
    there = {_name_of(item) for item in (*found.distributions, *editable)}
    wanted = {*_closure(names, found, interpreter, facts), *names, "pythonpath"}
    distributions = tuple([item for item in found.distributions if _name_of(item) in wanted])
    kept = set(distributions)
    contents = {
        item: content
        for item, content in found.contents.items()
        if item in kept or (item.endswith(EDITABLE) and _name_of(item) in wanted)
    }
    missing = tuple([name for name in names if name not in there])
    return NamedDistributions(found._replace(distributions=distributions, contents=contents), missing)


def _name_of(item: str) -> str:
    """The name in ``name version``, in normal form; what only conda knows is called by its name too."""
    return package_name(item.partition(" ")[0].removeprefix("conda:"))


def _closure(names: Sequence[str], found: Packages, interpreter: PythonInterpreter, facts: Facts) -> list[str]:
    said = [FORMAT, list(names), interpreter.implementation, interpreter.version, os.uname().machine, found.sites]
    id = digest_of(json.dumps(said).encode())
    known: list[str] | None = facts.fact("needed", id)
    if known is None:
        # only where nothing is remembered: reading markers takes a library that a run from cache does without
        known = sorted(_followed(names, _infos([site for site, _ in found.sites]), _markers_of(interpreter)))
        if all(facts.fact("installed", state) is not None for _, state in found.sites if state):
            facts.remember("needed", id, known)
    return known


def _infos(sites: Iterable[str]) -> dict[str, list[str]]:
    """The info folders of each distribution by its name."""
    found: dict[str, list[str]] = {}
    for site in sites:
        try:
            entries = sorted(os.listdir(site))
        except OSError:
            continue
        for entry in entries:
            if entry.endswith(INFO):
                name = package_name(entry[: entry.rindex(".")].partition("-")[0])
                found.setdefault(name, []).append(f"{site}/{entry}")
    return found


def _followed(names: Iterable[str], infos: Mapping[str, Sequence[str]], markers: Mapping[str, str]) -> set[str]:
    """The names of all distributions that `names` lead to; one that is required and not installed leads nowhere."""
    requirements: dict[str, list[str]] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(name, "") for name in names]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        if name not in requirements:
            requirements[name] = [line for info in infos.get(name, ()) for line in _requirements(info)]
        for line in requirements[name]:
            todo += _required(line, extra, markers)
    return {name for name, _ in seen}


def _required(line: str, extra: str, markers: Mapping[str, str]) -> list[tuple[str, str]]:
    """(name, extra) of what a requirement asks for here; one that can't be read counts by its name."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(line)
        holds = requirement.marker is None or requirement.marker.evaluate({**markers, "extra": extra})
    except (InvalidRequirement, ValueError, KeyError, RecursionError):
        begins = _BEGINS.match(line)
        return [(package_name(begins[1]), "")] if begins else []
    if not holds:
        return []
    name = package_name(requirement.name)
    return [(name, ""), *[(name, package_name(one)) for one in requirement.extras]]


def _markers_of(interpreter: PythonInterpreter) -> dict[str, Any]:
    """What markers are asked of: this machine's, with another Python."""
    from packaging.markers import default_environment

    return {
        **default_environment(),
        "implementation_name": interpreter.implementation.lower(),
        "implementation_version": interpreter.version,
        "platform_python_implementation": interpreter.implementation,
        "python_full_version": interpreter.version,
        "python_version": ".".join(interpreter.version.split(".")[:2]),
    }


def _requirements(info: str) -> list[str]:
    """The requirements that an info folder, or an info file, of a distribution names, as PEP 508 writes them."""
    for name in ("METADATA", "PKG-INFO", ""):
        text = _text_of(f"{info}/{name}" if name else info)
        if text is not None:
            break
    head = (text or "").partition("\n\n")[0]
    found = [line.partition(":")[2].strip() for line in head.splitlines() if line.lower().startswith("requires-dist:")]
    return found or _of_sections(_text_of(f"{info}/requires.txt") or "")


def _of_sections(text: str) -> list[str]:
    """The requirements of a ``requires.txt``, whose sections are ``[extra:marker]``."""
    found = []
    markers = ""
    for line in text.splitlines():
        section = _SECTION.match(line.strip())
        if section is not None:
            extra = f"extra == '{section[1]}'" if section[1] else ""
            markers = " and ".join(f"({part})" for part in (extra, section[2]) if part)
        elif line.strip():
            found.append(f"{line.strip()} ; {markers}" if markers else line.strip())
    return found


def _text_of(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace", opener=only_files) as file:
            return file.read(_LARGEST)
    except OSError:
        return None
