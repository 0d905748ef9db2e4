"""Environments of conda packages: identified by the packages that a lock has for a platform, and built into a prefix."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gitml.core.model.digest import digest_of
from gitml.core.model.environment import FORMAT, Environment, EnvironmentSource, environment_of
from gitml.core.model.protocols import Facts
from gitml.errors import InputError
from gitml.execute.environments.import_redirect import is_python
from gitml.execute.environments.software import (
    EnvironmentProvider,
    EnvironmentQuery,
    MachineSoftware,
    RealizedEnvironment,
    platform_name,
)

if TYPE_CHECKING:
    from gitml.execute.environments.build_control import BuildControl
    from gitml.execute.environments.conda.packages import CondaLock

KIND = "conda"
_READER = 1  # raised when locks are read in another way
_PROGRAMS = {"r-base": ("R", "Rscript"), "nodejs": ("node", "npm", "npx"), "openjdk": ("java", "javac", "jar")}
"""By package, those programs that are not called as it is."""


class CondaProvider(EnvironmentProvider):
    """A prefix with what a pixi.lock, a file of conda-lock or an explicit list names; other programs are those of the machine."""

    PORTABLE = True

    def identify(self, here: MachineSoftware, query: EnvironmentQuery) -> Environment:
        """InputError with its line for a lock that is none, or is for other platforms."""
        platform = query.platform or platform_name()
        lock = locked(here.facts, query.source, platform)
        _check_python(lock, query)
        described = describe(lock, platform)
        hashes = {} if query.platform else here.program_hashes(_of_the_machine(lock, query.programs))
        if hashes:
            described["programs"] = hashes
        return environment_of(described, query.source)

    def path_folders(self, here: MachineSoftware, environment: Environment) -> tuple[str, ...] | None:
        from gitml.execute.environments.conda.prefixes import built_at, prefix_of

        place = here.folder_of(environment)
        return None if built_at(place) is None else (f"{prefix_of(place)}/bin",)

    def check_buildable(self, here: MachineSoftware, environment: Environment, *, from_source: bool = True) -> None:
        """InputError where it is not built, and what there is only as source may not be."""
        if not from_source and self.path_folders(here, environment) is None:
            from gitml.execute.environments.uv_commands import refuse_source

            refuse_source(locked(here.facts, environment.source, environment.description["platform"]).sources())

    def realize(self, here: MachineSoftware, environment: Environment, control: BuildControl) -> RealizedEnvironment:
        from gitml.execute.environments.conda.packages import subdir_of
        from gitml.execute.environments.conda.prefixes import PrefixRequest, build, prefix_of, variables_of_packages

        place = here.folder_of(environment)
        platform = environment.description["platform"]
        lock = locked(here.facts, environment.source, platform)
        request = PrefixRequest(lock, subdir_of(platform), here.machine, here.cache_dir)
        build(place, request, control)
        prefix = prefix_of(place)
        python = f"{prefix}/bin/python"
        # what a user installed for a Python or an R of the same version does not count
        fixed = {"CONDA_PREFIX": prefix, "PYTHONNOUSERSITE": "1", "R_LIBS_USER": "NULL"}
        variables = tuple(sorted({**variables_of_packages(prefix), **fixed}.items()))
        found = python if os.path.exists(python) else None
        return RealizedEnvironment((f"{prefix}/bin",), (place,), found, variables=variables, by_package=True)


def describe(lock: CondaLock, platform: str) -> dict[str, Any]:
    """The description of an environment with what `lock` has, for the platform that it was read for."""
    return {
        "kind": KIND,
        "format": FORMAT,
        "platform": platform,
        "python": lock.python(),
        "distributions": lock.distributions(),
        "contents": lock.contents(),
    }


def locked(facts: Facts, source: EnvironmentSource, platform: str) -> CondaLock:
    """What the lock of a source has installed on a platform such as ``linux-x86_64``, this one or another; read once."""
    from gitml.execute.environments.conda.packages import CondaLock, CondaPackage, PypiPackage, subdir_of

    spec = source.spec
    content = source.file(spec.name) or b""
    asked = [_READER, digest_of(content), spec.option("name"), spec.texts("groups"), subdir_of(platform)]
    id = digest_of(json.dumps(asked).encode("utf-8"))
    known = facts.fact("conda-lock", id)
    if known is not None:
        conda, pypi = known
        return CondaLock(tuple(CondaPackage(*one) for one in conda), tuple(PypiPackage(*one) for one in pypi))
    from gitml.execute.environments.conda.locks import read_lock
    from gitml.execute.environments.conda.pixi_lock import DEFAULT

    name = spec.option("name") or DEFAULT
    lock = read_lock(spec.name, content, subdir_of(platform), name, spec.texts("groups"))
    facts.remember("conda-lock", id, [[list(one) for one in lock.conda], [list(one) for one in lock.pypi]])
    return lock


def _check_python(lock: CondaLock, query: EnvironmentQuery) -> None:
    """A Python of the machine would be another one elsewhere, and would import what is installed there."""
    called = next((program for program in query.programs if "/" not in program and is_python(program)), None)
    if called is not None and lock.python() is None:
        name = query.source.spec.name
        message = f"the step calls {called}, and the lock has no Python for {query.platform or platform_name()}"
        raise InputError(message, where=name, hint="add python to the environment, and make the lock again")


def _of_the_machine(lock: CondaLock, programs: Iterable[str]) -> list[str]:
    """The programs that no package of the lock is called by."""
    names = {package.name for package in lock.packages()}
    provided = names | {program for name in names for program in _PROGRAMS.get(name, ())}
    return [program for program in programs if program not in provided]
