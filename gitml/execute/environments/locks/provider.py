"""Isolated environments with what a lock of Python packages names; of other programs they have those of the machine."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

from gitml.core.kinds.environment_kinds import IMAGE, PYLOCK, SCRIPT
from gitml.core.model.digest import digest_of
from gitml.core.model.environment import FORMAT, REQUIREMENTS, Environment, EnvironmentSource, environment_of
from gitml.execute.environments.software import (
    EnvironmentProvider,
    EnvironmentQuery,
    MachineSoftware,
    RealizedEnvironment,
    platform_name,
)

if TYPE_CHECKING:
    from gitml.execute.environments.build_control import BuildControl
    from gitml.execute.environments.images.root import ImageRoot
    from gitml.execute.environments.locks.requirements import LockedRequirements
    from gitml.execute.environments.locks.selection import PackageSelection
    from gitml.execute.environments.locks.target import InstallTarget
    from gitml.execute.environments.locks.venvs import PackageList
    from gitml.execute.sandbox.image_view import ShownFolder

KIND = "python"
IMAGES_LIBC = "glibc 2.28"
"""What images are taken to have, as none says which it has: Debian 10 of 2019, and all since then, have it."""
_VERSION = re.compile(r"3\.[0-9]{1,3}(?:\.[0-9]{1,3})?")
_FACT = "lock-1"  # how the answer for a lock is remembered


class LockProvider(EnvironmentProvider):
    """What all kinds of locks have in common: a virtual environment that is built of what one says.

    `described` gives the part of the description that names the packages, and the packages beside it that `explain` names;
    `packages` what is built.
    """

    PORTABLE = True

    def described(
        self, here: MachineSoftware, source: EnvironmentSource, target: InstallTarget
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """See the class; InputError with its place for a lock that can't be used."""
        raise NotImplementedError

    def packages(self, here: MachineSoftware, source: EnvironmentSource, target: InstallTarget) -> PackageList:
        """See the class."""
        raise NotImplementedError

    def identify(self, here: MachineSoftware, query: EnvironmentQuery) -> Environment:
        image = query.source.spec.option(IMAGE)
        target = target_for(here, query.source, query.platform)
        part, packages = self.described(here, query.source, target)
        asked = python_asked(query.source) or ".".join(map(str, target.minor))
        description: dict[str, Any] = {
            "kind": KIND,
            "format": FORMAT,
            "platform": target.platform,
            "python": f"{target.implementation} {asked}",
            **part,
        }
        if image:  # whose programs count by it
            from gitml.execute.environments.images.provider import image_digest

            return environment_of(
                {**description, "image": image_digest(here, query.source, image)}, query.source, packages
            )
        hashes = {} if query.platform else here.program_hashes(query.programs)
        if hashes:
            description["programs"] = hashes
        return environment_of(description, query.source, packages)

    def path_folders(self, here: MachineSoftware, environment: Environment) -> tuple[str, ...] | None:
        if not self.sees_machine(environment):
            return None if self.root(here, environment) is None else (f"{_in_image(here, environment).seen}/bin",)
        from gitml.execute.environments.locks.venvs import built_at

        folder = here.folder_of(environment)
        return None if built_at(folder) is None else (f"{folder}/bin",)

    def check_buildable(self, here: MachineSoftware, environment: Environment, *, from_source: bool = True) -> None:
        """InputError where it is not built, and this machine lacks its Python, or what there is only as source is refused."""
        if self.path_folders(here, environment) is not None:
            return
        version = python_asked(environment.source)
        if version is not None and self.sees_machine(environment):
            from gitml.execute.environments.locks.venvs import python_for

            python_for(version, here)
        if not from_source:
            from gitml.execute.environments.uv_commands import refuse_source

            refuse_source(self.packages(here, environment.source, target_for(here, environment.source)).sources)

    def sees_machine(self, environment: Environment) -> bool:
        return IMAGE not in environment.description

    def root(self, here: MachineSoftware, environment: Environment) -> ImageRoot | None:
        if self.sees_machine(environment):
            return None
        from gitml.execute.environments.images.provider import image_root
        from gitml.execute.environments.single_build import read_marker

        found = image_root(here, environment)
        if found is None or read_marker(here.folder_of(environment)) is None:
            return None
        return found._replace(shown=(_in_image(here, environment),))

    def realize(self, here: MachineSoftware, environment: Environment, control: BuildControl) -> RealizedEnvironment:
        if not self.sees_machine(environment):
            return self._realize_in_image(here, environment, control)
        from gitml.execute.environments.locks.venvs import build, built_at

        folder = here.folder_of(environment)
        base = built_at(folder)
        if base is None:
            packages = self.packages(here, environment.source, target_for(here, environment.source))
            base = build(folder, packages, here, control)
        return RealizedEnvironment((f"{folder}/bin",), (folder, *base), f"{folder}/bin/python")

    def _realize_in_image(
        self,
        here: MachineSoftware,
        environment: Environment,
        control: BuildControl,
    ) -> RealizedEnvironment:
        from gitml.execute.environments.images.provider import build_image
        from gitml.execute.environments.locks.image_venvs import build_in_image

        source = environment.source
        image = build_image(here, source.spec.option(IMAGE), environment, control)
        shown = _in_image(here, environment)
        packages = self.packages(here, source, target_for(here, source))
        build_in_image(shown, image, packages, here, control)
        root = image._replace(shown=(*image.shown, shown))
        return RealizedEnvironment((f"{shown.seen}/bin",), ("/",), f"{shown.seen}/bin/python", root=root)


def _in_image(here: MachineSoftware, environment: Environment) -> ShownFolder:
    """The virtual environment as programs in its image see it: at the same path on every machine."""
    from gitml.execute.sandbox.image_view import ShownFolder

    return ShownFolder(here.folder_of(environment), "env")


def python_asked(source: EnvironmentSource) -> str | None:
    """The version of Python that a pipeline asks for, else that of a ``.python-version`` beside the lock; None for any."""
    option = source.spec.option("python")
    if option is not None:
        return str(option)
    beside = source.file(posixpath.join(posixpath.dirname(source.spec.name), ".python-version"))
    words = (beside or b"").decode("ascii", "replace").split()
    return words[0] if words and _VERSION.fullmatch(words[0]) else None


def target_for(here: MachineSoftware, source: EnvironmentSource, platform: str = "") -> InstallTarget:
    """The platform and the Python that an environment is for: those of this machine, where it names no Python."""
    from gitml.execute.environments.locks.target import target_of

    version = python_asked(source)
    if version is not None:
        libc = IMAGES_LIBC if source.spec.option(IMAGE) else None
        return target_of(platform or platform_name(), version, libc=libc)
    python = here.python_to_build_with()
    return target_of(platform or platform_name(), python.version, python.implementation)


class RequirementsProvider(LockProvider):
    """What a locked requirements file names."""

    def described(
        self, here: MachineSoftware, source: EnvironmentSource, target: InstallTarget
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        locked = _requirements(source, target)
        return {
            "kind": REQUIREMENTS,
            "requirements": digest_of("\n".join(locked.lines).encode("utf-8")),
        }, locked.packages()

    def packages(self, here: MachineSoftware, source: EnvironmentSource, target: InstallTarget) -> PackageList:
        from gitml.execute.environments.locks.venvs import PackageList

        locked = _requirements(source, target)
        return PackageList(
            locked.lines, locked.hashed, source.spec.name, python_asked(source), sources=locked.sources()
        )


def _requirements(source: EnvironmentSource, target: InstallTarget) -> LockedRequirements:
    from gitml.execute.environments.locks.requirements import parse_requirements

    name = source.spec.name
    return parse_requirements(name, source.file(name) or b"").on(target)


class SelectionProvider(LockProvider):
    """What a lock names that says of each package which files there are: one file of each counts, by its hash.

    What it says for a platform is remembered by the content of the files.
    """

    def described(
        self, here: MachineSoftware, source: EnvironmentSource, target: InstallTarget
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        id = _question(source, target)
        known = here.facts.fact(_FACT, id)
        if known is None:
            chosen = self.selection(here, source, target).packages
            known = [[package.distribution for package in chosen], [package.content for package in chosen]]
            here.facts.remember(_FACT, id, known)
        names, contents = known
        return {"distributions": names, "contents": dict(zip(names, contents, strict=True))}, ()

    def packages(self, here: MachineSoftware, source: EnvironmentSource, target: InstallTarget) -> PackageList:
        from gitml.execute.environments.locks.venvs import PackageList

        chosen = self.selection(here, source, target)
        spec = source.spec
        return PackageList(chosen.lines, True, spec.name, python_asked(source), chosen.indexes, chosen.sources)

    def selection(self, here: MachineSoftware, source: EnvironmentSource, target: InstallTarget) -> PackageSelection:
        """What gets installed on `target`."""
        from gitml.execute.environments.locks.selection import select

        spec = source.spec
        if spec.kind == PYLOCK:
            content = source.file(spec.name) or b""
            return select(content, spec.name, target, spec.texts("extras"), spec.texts("groups") or None)
        from gitml.execute.environments.locks.uv_lock import exported, lock_of

        return select(exported(source, here.machine), lock_of(spec)[1], target)


def _question(source: EnvironmentSource, target: InstallTarget) -> str:
    """All that decides what a lock means: its files by content, the options, the target."""
    import json

    spec, files = source.spec, source.files
    said = [
        spec.kind,
        spec.name if spec.kind == SCRIPT else "",
        spec.options,
        list(target),
        [digest_of(f[1]) for f in files],
    ]
    return digest_of(json.dumps(said).encode())
