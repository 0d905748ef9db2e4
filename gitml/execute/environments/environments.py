"""Environments: what the programs of a step are, identified by content for its key, and realized on the machine where it runs.

What differs between kinds of environments is in ENVIRONMENT_PROVIDERS, one for each of `core.kinds.environment_kinds`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from gitml.core.kinds.environment_kinds import CONDA, IMAGE, PIXI, PYLOCK, SCRIPT, UV, VENV
from gitml.core.kinds.image_names import ImageName
from gitml.core.model.digest import Digest
from gitml.core.model.environment import HOST, REQUIREMENTS, Environment, EnvironmentSource, with_project
from gitml.errors import InputError
from gitml.execute.environments.conda.provider import CondaProvider
from gitml.execute.environments.images.provider import ImageProvider
from gitml.execute.environments.installed.host import HostProvider
from gitml.execute.environments.installed.venv import VenvProvider
from gitml.execute.environments.locks.provider import RequirementsProvider, SelectionProvider
from gitml.execute.environments.software import (
    EnvironmentProvider,
    EnvironmentQuery,
    MachineSoftware,
    RealizedEnvironment,
)
from gitml.execute.environments.variables import search_path

if TYPE_CHECKING:
    from gitml.execute.environments.build_control import BuildControl
    from gitml.execute.environments.images.root import ImageRoot


class Environments(MachineSoftware):
    """The environments of this machine. Make one for each run: what is installed is looked at once."""

    @cached_property
    def _identified(self) -> dict[EnvironmentQuery, Environment]:
        return {}

    @cached_property
    def _realized(self) -> dict[Digest, RealizedEnvironment]:
        return {}

    def identify(
        self, source: EnvironmentSource, programs: tuple[str, ...] = (), path: str = "", platform: str = ""
    ) -> Environment:
        """The Environment that an EnvironmentQuery with these fields means here.

        A program with a relative path is the commit's own and is left out, as commands of the project's package are. InputError
        for a program that is not found and for a source that can't be used, NotInspectedError for a Python that is not to be
        started.
        """
        query = EnvironmentQuery(source, _not_of_project(source, programs), path, platform)
        known = self._identified.get(query)
        if known is None:
            provider = _provider_of(source)
            if platform and not provider.PORTABLE:
                what = f"what {source.spec} is on {platform} is known there alone"
                raise InputError(what, hint="name a lock, whose packages are known for every platform")
            known = self._identified[query] = with_project(provider.identify(self, query))
        return known

    def path_of(self, environment: Environment) -> str | None:
        """The PATH of steps in it; None while it is not built, as nobody knows which programs it will have."""
        folders = _provider_of(environment.source).path_folders(self, environment)
        if folders is None:
            return None
        root = self.root_of(environment)
        return search_path(self.machine, folders) if root is None else ":".join((*folders, root.search_path()))

    def check_buildable(self, environment: Environment, *, from_source: bool = True) -> None:
        """InputError for what is sure to keep it from being realized on this machine, as far as that is seen at once."""
        _provider_of(environment.source).check_buildable(self, environment, from_source=from_source)

    def place_of(self, environment: Environment) -> str | None:
        """The folder that is built for it on this machine, whether it is there or not; None for what is never built."""
        return _provider_of(environment.source).place_of(self, environment)

    def root_of(self, environment: Environment) -> ImageRoot | None:
        """The image whose files its steps see; None where they see the machine's, and for an image that is not here."""
        return _provider_of(environment.source).root(self, environment)

    def digest_of_tag(self, name: ImageName) -> str:
        """The digest of what the tag of an image leads to now, asked of its registry. InputError where it does not answer."""
        from gitml.execute.environments.images.provider import digest_of_tag

        return digest_of_tag(self, name)

    def sees_machine(self, environment: Environment) -> bool:
        """Whether its steps see the files of the machine."""
        return _provider_of(environment.source).sees_machine(environment)

    def realize(
        self,
        environment: Environment,
        control: BuildControl | None = None,
    ) -> RealizedEnvironment:
        """Makes `environment` real, building it when no one has; to be called in a worker.

        InputError with the builder's words when it can't be built, StoppedError where `control` stops it.
        """
        known = self._realized.get(environment.digest)
        if known is None:
            from gitml.execute.environments.build_control import BuildControl
            from gitml.execute.environments.single_build import hold
            from gitml.execute.process import StopRequests

            place = self.place_of(environment)
            if place is not None:
                hold(place)  # before it is looked for, and also where it is built already
            known = _provider_of(environment.source).realize(self, environment, control or BuildControl(StopRequests()))
            self._realized[environment.digest] = known
        return known


ENVIRONMENT_PROVIDERS: dict[str, EnvironmentProvider] = {
    HOST: HostProvider(),
    REQUIREMENTS: RequirementsProvider(),
    VENV: VenvProvider(),
    PIXI: CondaProvider(),
    CONDA: CondaProvider(),
    PYLOCK: SelectionProvider(),
    UV: SelectionProvider(),
    SCRIPT: SelectionProvider(),
    IMAGE: ImageProvider(),
}
"""By the names of `core.kinds.environment_kinds.ENVIRONMENT_KINDS`."""


def _not_of_project(source: EnvironmentSource, programs: tuple[str, ...]) -> tuple[str, ...]:
    """`programs` without those that are commands of the project's own package."""
    if not source.project:
        return programs
    from gitml.core.planner.project_package import decode_package

    commands = decode_package(source.project).commands()
    return tuple([program for program in programs if program not in commands])


def _provider_of(source: EnvironmentSource) -> EnvironmentProvider:
    kind = source.spec.kind
    provider = ENVIRONMENT_PROVIDERS.get(kind)
    if provider is None:
        raise InputError(f"this gitml knows no environment of kind {kind!r}", hint="install the gitml that planned it")
    return provider
