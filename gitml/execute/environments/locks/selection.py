"""What a lock installs on one platform: of each package one file, by its hash.

The reader of PEP 751 and the choice among wheels are those of `packaging`. What is built later gets the chosen hash alone, so
that what was identified is what gets installed, or nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gitml.core.text.toml import parse_toml
from gitml.errors import InputError
from gitml.execute.environments.locks.addresses import (
    checked_commit,
    checked_hash,
    checked_index,
    checked_repository,
    checked_subdirectory,
    checked_url,
    is_wheel,
)
from gitml.execute.environments.locks.target import InstallTarget

if TYPE_CHECKING:
    from packaging.pylock import Package

_STRONG = ("sha256", "sha512", "sha384", "blake2b")  # the algorithms by which a file can be identified


class LockedPackage(NamedTuple):
    """A package as it gets installed. `content` is the hash of its file, or the commit it is taken from; no address is in it.

    `line` is the requirement that installs exactly this. A package that `is_source` is built first.
    """

    name: str
    version: str
    content: str
    line: str
    is_source: bool

    @property
    def distribution(self) -> str:
        """``name version``."""
        return f"{self.name} {self.version}".strip()


class PackageSelection(NamedTuple):
    """The packages of a lock on one platform, by name, and the `indexes` that the lock takes them from."""

    packages: tuple[LockedPackage, ...]
    indexes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """The requirements that install them."""
        return tuple(package.line for package in self.packages)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of those that are there only as source."""
        return tuple(package.name for package in self.packages if package.is_source)


def select(
    text: bytes, where: str, target: InstallTarget, extras: Collection[str] = (), groups: Collection[str] | None = None
) -> PackageSelection:
    """What the pylock in `text` (PEP 751) installs on `target`; without `groups` with its default ones.

    InputError, with `where` it is, for a lock that is malformed or not meant for this platform, and for a package that can't be
    identified.
    """
    from packaging.pylock import Pylock, PylockSelectError, PylockValidationError

    raw = toml_of(text, where)
    try:
        lock = Pylock.from_dict(raw)
    except (PylockValidationError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"not a pylock file: {_first_line(error)}", where=where, hint="lock it again") from error
    _refuse_unknown(lock.extras or (), extras, "extra", where)
    _refuse_unknown(lock.dependency_groups or (), groups or (), "group", where)
    packages = []
    indexes = []
    try:
        chosen = lock.select(
            environment=target.markers(),  # type: ignore[arg-type]
            tags=target.tags(),
            extras=extras,
            dependency_groups=None if groups is None else {*(lock.default_groups or ()), *groups},
        )
        for package, file in chosen:
            packages.append(_locked(package, file, where))
            if package.index:
                indexes.append(checked_index(package.index, where))
    except PylockSelectError as error:
        raise _not_for(error, where, target) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"not a pylock file: {_first_line(error)}", where=where, hint="lock it again") from error
    return PackageSelection(tuple(sorted(packages)), tuple(dict.fromkeys(indexes)))


def toml_of(text: bytes, where: str) -> dict[str, Any]:
    """The data in a TOML file of a commit; InputError where it is none."""
    try:
        return parse_toml(text)
    except ValueError as error:
        raise InputError(f"not TOML: {_first_line(error)}", where=where, hint="fix it, or lock it again") from error


def _refuse_unknown(known: Collection[str], wanted: Collection[str], what: str, where: str) -> None:
    missing = [name for name in wanted if name not in known]
    if missing:
        there = ", ".join(sorted(known)) or "none"
        raise InputError(f"the lock has no {what} {missing[0]!r}", where=where, hint=f"its {what}s: {there}")


def _locked(package: Package, file: Any, where: str) -> LockedPackage:
    from packaging.pylock import PackageDirectory, PackageSdist, PackageVcs

    name, version = str(package.name), str(package.version or "")
    if isinstance(file, PackageDirectory):
        raise InputError(
            f"{name} is a folder ({file.path}), whose content the lock does not hold",
            where=where,
            hint="leave it out of the lock; code of the commit is importable with `install: FOLDER`",
        )
    if file.url is None and getattr(file, "path", None):
        raise InputError(f"{name} is a file beside the lock ({file.path})", where=where, hint="take it from an index")
    if isinstance(file, PackageVcs):
        if file.type != "git" or file.url is None:
            raise InputError(f"{name} is in a {file.type} repository", where=where, hint="take it from an index")
        below = _below(file, name, where)
        commit = checked_commit(file.commit_id, name, where)
        url = checked_repository(file.url, name, where)
        return LockedPackage(name, version, f"git:{commit}{below}", f"{name} @ git+{url}@{commit}{below}", True)
    digest = _digest(file.hashes, name, where)
    if package.archive is not None:
        below = _below(file, name, where)
        url = checked_url(file.url or "", name, where).partition("#")[0]
        return LockedPackage(name, version, digest + below, f"{name} @ {url}{below} --hash={digest}", not is_wheel(url))
    is_source = isinstance(file, PackageSdist)
    return LockedPackage(name, version, digest, f"{name}=={version} --hash={digest}", is_source)


def _below(file: Any, name: str, where: str) -> str:
    return f"#subdirectory={checked_subdirectory(file.subdirectory, name, where)}" if file.subdirectory else ""


def _digest(hashes: Mapping[str, str], name: str, where: str) -> str:
    algorithm = next((one for one in _STRONG if one in hashes), None)
    if algorithm is None:
        raise InputError(f"{name} has no sha256", where=where, hint="lock it again, with hashes")
    return checked_hash(f"{algorithm}:{hashes[algorithm]}", name, where)


def _not_for(error: Exception, where: str, target: InstallTarget) -> InputError:
    said = _first_line(error)
    place = f"{target.platform} with {target.implementation} {target.python}"
    if "Python version" in said:
        wanted = said.rpartition("requirement ")[2]
        what = f"the lock is not for Python {target.python}: it requires {wanted}"
        return InputError(what, where=where, hint='name one that it is for: python: "3.12", or a whole version')
    what = "has a package without a file" if "No wheel found" in said else "is not"
    return InputError(f"the lock {what} for {place}: {said}", where=where, hint="lock it again, for this platform too")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
