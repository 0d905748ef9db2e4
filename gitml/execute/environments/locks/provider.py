"""Isolated environments with what a lock of Python packages names; of other programs they have those of the machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gitml.core.model.digest import digest_of
from gitml.core.model.environment import FORMAT, REQUIREMENTS, Environment, environment_of
from gitml.execute.environments.software import (
    EnvironmentProvider,
    EnvironmentQuery,
    MachineSoftware,
    RealizedEnvironment,
    platform_name,
)

if TYPE_CHECKING:
    from gitml.execute.process import StopRequests


class RequirementsProvider(EnvironmentProvider):
    """What a locked requirements file names."""

    def identify(self, here: MachineSoftware, query: EnvironmentQuery) -> Environment:
        """InputError with its line for a file that is not locked."""
        from gitml.execute.environments.locks.requirements import parse_requirements

        name = query.source.spec.name
        locked = parse_requirements(name, query.source.file(name) or b"")
        python = here.python_to_build_with()
        description: dict[str, Any] = {
            "kind": REQUIREMENTS,
            "format": FORMAT,
            "platform": platform_name(),
            "python": f"{python.implementation} {'.'.join(python.version.split('.')[:2])}",
            "requirements": digest_of("\n".join(locked.lines).encode("utf-8")),
        }
        hashes = here.program_hashes(query.programs)
        if hashes:
            description["programs"] = hashes
        return environment_of(description, query.source, locked.packages())

    def path_folders(self, here: MachineSoftware, environment: Environment) -> tuple[str, ...] | None:
        from gitml.execute.environments.locks.venvs import built_at

        folder = here.folder_of(environment)
        return None if built_at(folder) is None else (f"{folder}/bin",)

    def realize(
        self, here: MachineSoftware, environment: Environment, stop: StopRequests, report: Callable[[str], None]
    ) -> RealizedEnvironment:
        from gitml.execute.environments.locks.venvs import build

        folder = here.folder_of(environment)
        content = environment.source.file(environment.source.spec.name) or b""
        base = build(folder, content, here.python_to_build_with(), here.machine, stop, report)
        return RealizedEnvironment((f"{folder}/bin",), (folder, *base), f"{folder}/bin/python")
