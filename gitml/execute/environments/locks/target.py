"""The platform and the Python that packages are chosen for: what markers are compared with, and which wheels can be installed.

Nothing here asks the machine for the Python of gitml itself: what a lock means for another platform is computed in the same way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from gitml.errors import InputError
from gitml.execute.environments.software import platform_name

if TYPE_CHECKING:
    from packaging.tags import Tag

_ANY_PATCH = 999  # of a Python of which only the minor version is asked for: the last there will be
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}  # PEP 600, by minor version of glibc
_OLDEST_GLIBC = {"x86_64": 5, "i686": 5}
_OS_NAMES = {"linux": ("posix", "linux", "Linux"), "darwin": ("posix", "darwin", "Darwin")}
_LIBC = re.compile(r"(glibc|musl) ?([0-9]+)\.([0-9]+)")
_LINUX_MACHINES = ("x86_64", "aarch64", "i686", "armv7l", "ppc64le", "s390x", "riscv64")
_PLATFORMS = (*(f"linux-{machine}" for machine in _LINUX_MACHINES), "darwin-arm64", "darwin-x86_64")
_SYSTEMS = {"macos": "darwin", "osx": "darwin", "manylinux": "linux"}  # as others call them
_MACHINES = {"amd64": "x86_64", "x64": "x86_64", "64": "x86_64", "arm64": "aarch64"}
_COMMON_LIBC = "glibc 2.28"
_COMMON_MACOS = (14, 0)


class InstallTarget(NamedTuple):
    """A platform such as ``linux-x86_64``, its C library such as ``glibc 2.36``, and a Python such as ``3.12`` or ``3.12.4``."""

    platform: str
    libc: str
    python: str
    implementation: str = "CPython"

    @property
    def minor(self) -> tuple[int, int]:
        """Major and minor version of its Python."""
        major, minor = self.python.split(".")[:2]
        return int(major), int(minor)

    @property
    def full_version(self) -> str:
        """The version of its Python that markers are compared with."""
        return self.python if self.python.count(".") > 1 else f"{self.python}.{_ANY_PATCH}"

    def markers(self) -> dict[str, str]:
        """The values of environment markers. What differs from one kernel to the next is empty."""
        system, _, machine = self.platform.partition("-")
        os_name, sys_platform, platform_system = _OS_NAMES[system]
        return {
            "implementation_name": self.implementation.lower(),
            "implementation_version": self.full_version,
            "os_name": os_name,
            "platform_machine": machine,
            "platform_release": "",
            "platform_system": platform_system,
            "platform_version": "",
            "python_full_version": self.full_version,
            "platform_python_implementation": self.implementation,
            "python_version": ".".join(map(str, self.minor)),
            "sys_platform": sys_platform,
        }

    def tags(self) -> list[Tag]:
        """The tags of wheels that can be installed, the best first. InputError for a Python that is not CPython."""
        from packaging.tags import compatible_tags, cpython_tags

        if self.implementation != "CPython":
            raise InputError(
                f"wheels are chosen for CPython, and this Python is {self.implementation}",
                hint='name one: python: "3.12"',
            )
        platforms = list(self._platforms())
        interpreter = f"cp{self.minor[0]}{self.minor[1]}"
        found = list(cpython_tags(self.minor, [interpreter], platforms))
        return [*found, *compatible_tags(self.minor, interpreter, platforms)]

    def _platforms(self) -> Iterator[str]:
        system, _, machine = self.platform.partition("-")
        if system == "darwin":
            from packaging.tags import mac_platforms

            yield from mac_platforms(_COMMON_MACOS, machine)
            return
        yield f"linux_{machine}"
        kind, major, minor = _libc_of(self.libc)
        if kind == "musl":
            yield from (f"musllinux_{major}_{number}_{machine}" for number in range(minor, -1, -1))
        else:
            for number in range(minor, _OLDEST_GLIBC.get(machine, 17) - 1, -1):
                yield f"manylinux_{major}_{number}_{machine}"
                if number in _LEGACY:
                    yield f"{_LEGACY[number]}_{machine}"


def target_of(platform: str, python: str, implementation: str = "CPython", libc: str | None = None) -> InstallTarget:
    """The InstallTarget of a platform by name; without `libc` this machine's where it is of that platform, else a common one.

    InputError for a platform that no wheel is chosen for.
    """
    system, _, machine = platform.partition("-")
    if system not in _OS_NAMES or not machine:
        known = "linux-x86_64, linux-aarch64, darwin-arm64"
        raise InputError(f"{platform[:60]!r} is not a platform that packages are chosen for", hint=f"such as {known}")
    return InstallTarget(
        platform, libc or (_libc_here() if platform == platform_name() else _COMMON_LIBC), python, implementation
    )


def check_platform(platform: str) -> None:
    """InputError for the name of a platform that no machine has: a misspelt one would get the packages for every platform."""
    if platform == platform_name() or platform in _PLATFORMS:
        return
    system, _, machine = platform.partition("-")
    meant = f"{_SYSTEMS.get(system, system)}-{_MACHINES.get(machine, machine)}"
    meant = meant.replace("darwin-aarch64", "darwin-arm64")
    hint = meant if meant in _PLATFORMS else "linux-x86_64, linux-aarch64, darwin-arm64"
    raise InputError(f"{platform[:60]!r} is not a platform that packages are chosen for", hint=f"such as {hint}")


def _libc_here() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or _COMMON_LIBC
    except (ValueError, OSError):
        return "musl 1.2" if os.path.exists(f"/lib/ld-musl-{os.uname().machine}.so.1") else _COMMON_LIBC


def _libc_of(text: str) -> tuple[str, int, int]:
    match = _LIBC.fullmatch(text)
    if match is None:
        raise InputError(f"{text[:60]!r} is not the version of a C library", hint="such as glibc 2.28")
    return match[1], int(match[2]), int(match[3])


def holds(marker: str, values: dict[str, Any]) -> bool:
    """Whether an environment marker holds; InputError for what is none."""
    from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName

    try:
        return Marker(marker).evaluate(values)
    # ValueError: of a version with a number of thousands of digits
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName, RecursionError, ValueError) as error:
        raise InputError(f"not an environment marker: {marker[:80]!r}") from error
