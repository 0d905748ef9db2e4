"""What the machine has installed, as the environment of a step: all of it, or the distributions that a step names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gitml.core.model.environment import FORMAT, HOST, PACKAGES, Environment, environment_of
from gitml.errors import InputError
from gitml.execute.environments.import_redirect import is_python
from gitml.execute.environments.programs import is_relative, missing_program_hint
from gitml.execute.environments.software import (
    EnvironmentProvider,
    EnvironmentQuery,
    MachineSoftware,
    RealizedEnvironment,
    platform_name,
)
from gitml.execute.environments.variables import find_program

if TYPE_CHECKING:
    from gitml.execute.environments.build_control import BuildControl
    from gitml.execute.environments.interpreters import PythonInterpreter


class HostProvider(EnvironmentProvider):
    """What the machine has installed: the Python first on PATH with its distributions, and each program.

    Of distributions those alone count that the source names, with what they need, where it names any.
    """

    def identify(self, here: MachineSoftware, query: EnvironmentQuery) -> Environment:
        python = here.default_python
        names = query.source.spec.texts(PACKAGES)
        found = programs_on(here.host_path(), query.programs)
        others = others_among(here, found, python)
        _check_installed(here, names, [one for one in (python, *others.values()) if one is not None])
        described: dict[str, Any] = {
            program: here.hash_of(path) for program, path in found.items() if not is_python(program)
        }
        for program, other in others.items():
            described[program] = {"python": other.name, **here.described(other, query.python_path, names)}
        return environment_of(
            {
                "kind": HOST,
                "format": FORMAT,
                "platform": platform_name(),
                "python": python.name if python else None,
                **(here.described(python, query.python_path, names) if python else {"distributions": ()}),
                "programs": described,
            },
            query.source,
        )

    def path_folders(self, here: MachineSoftware, environment: Environment) -> tuple[str, ...] | None:
        return here.python_folder()

    def place_of(self, here: MachineSoftware, environment: Environment) -> str | None:
        return None

    def realize(self, here: MachineSoftware, environment: Environment, control: BuildControl) -> RealizedEnvironment:
        python = here.default_python
        if python is None:
            return RealizedEnvironment((), (), None)
        readable = (*read_roots(here, python), python.executable)
        redirect = here.redirect(environment, python)
        return RealizedEnvironment(here.python_folder(), readable, python.executable, redirect)


def programs_on(path: str, programs: Sequence[str]) -> dict[str, str]:
    """Where each of `programs` that is not the commit's own is on the search path; InputError for one that is not there."""
    places = {}
    for program in programs:
        if is_relative(program):
            continue
        found = find_program(program, path)
        if found is None or not os.path.exists(found):
            raise InputError(f"command not found: {program}", hint=missing_program_hint(program, path))
        places[program] = found
    return places


def others_among(
    here: MachineSoftware, places: dict[str, str], python: PythonInterpreter | None
) -> dict[str, PythonInterpreter]:
    """The Pythons among programs at `places` that are others than the environment's own."""
    pythons = {program: here.interpreter_at(place) for program, place in places.items() if is_python(program)}
    return {
        program: other
        for program, other in pythons.items()
        if python is None or (other.prefix, other.version) != (python.prefix, python.version)
    }


def read_roots(here: MachineSoftware, python: PythonInterpreter) -> tuple[str, ...]:
    """The folders that a Python reads, without the system's own prefixes: they would open all of /, and are readable anyway."""
    roots = [root for root in (*python.roots, *python.sites) if root not in ("/", "/usr", "/usr/local")]
    return (*roots, *here.installed(python).outside)


def _check_installed(here: MachineSoftware, names: Sequence[str], pythons: Sequence[PythonInterpreter]) -> None:
    """InputError for distributions that are named and that none of the step's Pythons has."""
    if not names:
        return
    absent = set(names).intersection(*[here.missing(python, names) for python in pythons])
    if absent:
        verb, them = ("is", "it") if len(absent) == 1 else ("are", "them")
        shown = ", ".join(sorted(absent)[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
        where = f" for {pythons[0].name} ({pythons[0].executable})" if pythons else ": there is no Python on PATH"
        raise InputError(
            f"environment host names {shown}, which {verb} not installed{where}",
            hint=f"install {them}, or leave {them} out of host: […]",
        )
