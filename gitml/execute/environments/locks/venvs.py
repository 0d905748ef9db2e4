"""Builds an isolated environment with uv: once on a machine, complete or not there at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from gitml.execute.environments.interpreters import PythonInterpreter
from gitml.execute.environments.locks.requirements import parse_requirements
from gitml.execute.environments.single_build import build_once, read_marker, write_marker
from gitml.execute.environments.uv_commands import UvCommands
from gitml.execute.process import StopRequests


def built_at(place: str) -> tuple[str, ...] | None:
    """The folders beside `place` that the environment there reads; None when none is complete there."""
    facts = read_marker(place)
    if facts is None:
        return None
    # the Python it was made from may have been removed since
    return tuple(facts["roots"]) if os.path.exists(f"{place}/bin/python") else None


def build(
    place: str,
    requirements: bytes,
    python: PythonInterpreter,
    machine: Mapping[str, str],
    stop: StopRequests,
    report: Callable[[str], None],
) -> tuple[str, ...]:
    """The environment at `place`, built if it is not; gives the folders beside it that it reads.

    Of processes that need it at once one builds and the others wait. InputError in uv's words when it fails; nothing is left
    then. StoppedError when `stop` asks.
    """

    def make() -> tuple[str, ...]:
        return _build(place, requirements, python, machine, stop)

    return build_once(place, lambda: built_at(place), make, stop, report)


def _build(
    place: str, requirements: bytes, python: PythonInterpreter, machine: Mapping[str, str], stop: StopRequests
) -> tuple[str, ...]:
    folder = os.path.dirname(place)
    uv = UvCommands(machine, os.path.dirname(folder), stop)
    called_from = os.getcwd()
    os.chdir(folder)
    try:
        uv.run("venv", "--no-project", "--python", python.executable, place, purpose="make the environment")
        path = f"{place}/requirements.txt"
        with open(path, "wb") as file:
            file.write(requirements)
        locked = parse_requirements("requirements", requirements)
        inside = ("--python", f"{place}/bin/python")
        sync = ["pip", "sync", "--compile-bytecode", *inside, path]
        if locked.hashed:
            sync.append("--require-hashes")
        if not locked.lines:
            sync.append("--allow-empty-requirements")
        uv.run(*sync, purpose="install the requirements")
        uv.run("pip", "check", *inside, purpose="use the requirements: the file is not fully locked")
        version = uv.run("--version", purpose="print its version").strip()
    finally:
        os.chdir(called_from)
    write_marker(place, {"python": python.name, "uv": version, "roots": python.roots})
    return python.roots
