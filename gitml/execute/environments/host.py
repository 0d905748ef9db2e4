"""What the machine has installed, as the environment of a step."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gitml.core.model.environment import FORMAT, HOST, Environment, environment_of
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
    from gitml.execute.process import StopRequests


class HostProvider(EnvironmentProvider):
    """What the machine has installed: the Python first on PATH with its distributions, and each program."""

    def identify(self, here: MachineSoftware, query: EnvironmentQuery) -> Environment:
        python = here.default_python
        described: dict[str, Any] = {}
        for program in query.programs:
            if is_relative(program):
                continue
            found = find_program(program, here.host_path())
            if found is None or not os.path.exists(found):
                raise InputError(f"command not found: {program}", hint=missing_program_hint(program, here.host_path()))
            if not is_python(program):
                described[program] = here.hash_of(found)
                continue
            other = here.interpreter_at(found)
            if python is None or (other.prefix, other.version) != (python.prefix, python.version):
                described[program] = {"python": other.name, **here.described(other, query.python_path)}
        return environment_of(
            {
                "kind": HOST,
                "format": FORMAT,
                "platform": platform_name(),
                "python": python.name if python else None,
                **(here.described(python, query.python_path) if python else {"distributions": ()}),
                "programs": described,
            },
            query.source,
        )

    def path_folders(self, here: MachineSoftware, environment: Environment) -> tuple[str, ...] | None:
        return here.python_folder()

    def realize(
        self, here: MachineSoftware, environment: Environment, stop: StopRequests, report: Callable[[str], None]
    ) -> RealizedEnvironment:
        python = here.default_python
        if python is None:
            return RealizedEnvironment((), (), None)
        # the system's own prefix would open all of /, and is readable anyway
        roots = [root for root in (*python.roots, *python.sites) if root not in ("/", "/usr", "/usr/local")]
        readable = (*roots, *here.installed(python).outside, python.executable)
        redirect = here.redirect(environment, python)
        return RealizedEnvironment(here.python_folder(), readable, python.executable, redirect)
