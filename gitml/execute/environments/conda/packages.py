"""The packages of a lock, checked: each has a name, a version and a hash of the archive that it is installed from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from gitml.core.model.environment import package_name
from gitml.errors import InputError
from gitml.execute.environments.locks.addresses import checked_repository, is_wheel

NOARCH = "noarch"
_SUBDIRS = {
    "linux-x86_64": "linux-64",
    "linux-aarch64": "linux-aarch64",
    "linux-i686": "linux-32",
    "linux-armv6l": "linux-armv6l",
    "linux-armv7l": "linux-armv7l",
    "linux-ppc64le": "linux-ppc64le",
    "linux-riscv64": "linux-riscv64",
    "linux-s390x": "linux-s390x",
    "darwin-x86_64": "osx-64",
    "darwin-arm64": "osx-arm64",
}
"""By the names of platforms in descriptions."""

# names become names of files, so what these match has no slash and is not ``..``
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,200}")
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+!~-]{0,200}")
_BUILD = re.compile(r"[A-Za-z0-9_.+-]{0,200}")
_SUBDIR = re.compile(r"[a-z0-9_]+(-[a-z0-9_]+)?")
_PYPI_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,200}[A-Za-z0-9])?")
_ARCHIVE = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)(\.conda|\.tar\.bz2)")
_HASHES = {"sha256": 64, "md5": 32}
_SCHEMES = ("https", "http", "file", "oci", "s3", "gs", "gcs")
_TOKEN = re.compile(r"/t/[^/]+/")
_UNSAFE = re.compile(r"[\x00-\x20\x7f{}]")  # uv takes ${NAME} for a variable
_MOST = 100_000


class CondaPackage(NamedTuple):
    """`hash` is that of the archive, ``sha256:…`` or ``md5:…``; `size` in bytes, 0 where the lock has none.

    `site_packages` is where packages of Python go that is not called by its version, empty for the usual folder.
    """

    name: str
    version: str
    build: str
    subdir: str
    hash: str
    url: str
    size: int = 0
    site_packages: str = ""

    def canonical(self) -> list[str]:
        """What it is identified by: where it comes from and how large it is follow from its hash, or don't count."""
        return ["conda", self.name, self.version, self.build, self.subdir, self.hash]


class PypiPackage(NamedTuple):
    """A package of Python that is installed beside those of conda; `hash` is that of its file, or ``git:…``, a commit."""

    name: str
    version: str
    hash: str
    url: str

    def canonical(self) -> list[str]:
        """What it is identified by."""
        return ["pypi", self.name, self.version, self.hash]


class CondaLock(NamedTuple):
    """What a lock has installed on one platform."""

    conda: tuple[CondaPackage, ...]
    pypi: tuple[PypiPackage, ...] = ()

    def packages(self) -> list[CondaPackage | PypiPackage]:
        """All of them."""
        return [*self.conda, *self.pypi]

    def sources(self) -> list[str]:
        """The names of packages of Python that there are only as source."""
        return [package.name for package in self.pypi if not is_wheel(package.url)]

    def distributions(self) -> list[str]:
        """``name version`` of each package, sorted."""
        return sorted({f"{package.name} {package.version}" for package in self.packages()})

    def contents(self) -> dict[str, str]:
        """By ``name version`` the digest of what identifies the package; conda and PyPI may have one of the same name."""
        found: dict[str, list[list[str]]] = {}
        for package in self.packages():
            found.setdefault(f"{package.name} {package.version}", []).append(package.canonical())
        return {name: _digest(sorted(found[name])) for name in sorted(found)}

    def python(self) -> str | None:
        """The Python among them, as in ``CPython 3.12``; None where there is none."""
        for package in self.conda:
            if package.name == "python":
                implementation = "PyPy" if "pypy" in package.build else "CPython"
                return f"{implementation} {'.'.join(package.version.split('.')[:2])}"
        return None


def subdir_of(platform: str) -> str:
    """The subdir of a platform such as ``linux-x86_64``; InputError for one that conda has no packages for."""
    subdir = _SUBDIRS.get(platform)
    if subdir is None:
        hint = "run the step on another machine, or in another kind of environment"
        raise InputError(f"conda has no packages for {platform}", hint=hint)
    return subdir


def platform_of(subdir: str) -> str:
    """The inverse of `subdir_of`."""
    return next((platform for platform, known in _SUBDIRS.items() if known == subdir), subdir)


def conda_package(
    where: str,
    url: str,
    hash: str,
    *,
    name: str = "",
    version: str = "",
    build: str = "",
    subdir: str = "",
    size: int = 0,
    site_packages: str = "",
) -> CondaPackage:
    """The package at `url`, what is not given taken from the URL; InputError with `where` for one that can't be installed."""
    parts = unquote(urlsplit(_checked_url(where, url)).path).split("/")
    archive = _ARCHIVE.fullmatch(parts[-1])
    if archive is None:
        message = f"{parts[-1][:80]!r} is not the name of a package's archive"
        raise InputError(message, where=where, hint="expected NAME-VERSION-BUILD.conda or .tar.bz2")
    package = CondaPackage(
        name or archive["name"],
        version or archive["version"],
        build or archive["build"],
        subdir or (parts[-2] if len(parts) > 1 else ""),
        _checked_hash(where, hash),
        url,
        size,
        site_packages,
    )
    _check(where, "name", _NAME, package.name)
    _check(where, "version", _VERSION, package.version)
    _check(where, "build", _BUILD, package.build)
    _check(where, "subdir", _SUBDIR, package.subdir)
    if site_packages and (site_packages.startswith("/") or ".." in site_packages.split("/")):
        raise InputError(f"{site_packages[:80]!r} is not a folder of the environment", where=where)
    return package


def pypi_package(where: str, name: str, version: str, hash: str, url: str) -> PypiPackage:
    """The package of Python at `url`; InputError with `where` for one that can't be installed."""
    _check(where, "name", _PYPI_NAME, name)
    _check(where, "version", _VERSION, version)
    checked = _checked_url(where, url.removeprefix("git+"))
    if url.startswith("git+"):
        commit = re.search(r"[#@]([0-9a-f]{40})$", checked)
        if commit is None:
            raise InputError(f"{name} is in a repository of Git, without a commit", where=where, hint="lock it again")
        place = re.split(r"[?#]", checked, maxsplit=1)[0].removesuffix(f"@{commit[1]}")
        place = checked_repository(place, name, where)
        return PypiPackage(package_name(name), version, f"git:{commit[1]}", f"git+{place}@{commit[1]}")
    return PypiPackage(package_name(name), version, _checked_hash(where, hash), checked.partition("#")[0])


def lock_of(where: str, subdir: str, packages: Iterable[CondaPackage | PypiPackage]) -> CondaLock:
    """These packages, sorted, each once; InputError where two of one name exclude each other, or one is for another subdir."""
    found: dict[tuple[bool, str], CondaPackage | PypiPackage] = {}
    for count, package in enumerate(packages):
        if count >= _MOST:
            raise InputError(f"more than {_MOST:,} packages", where=where, hint="split the environment")
        of_conda = isinstance(package, CondaPackage)
        other = found.setdefault((of_conda, package.name), package)
        if other.canonical() != package.canonical():
            message = f"{package.name} is there twice, {other.version} and {package.version}, with different contents"
            raise InputError(message, where=where, hint="make the lock again")
        if isinstance(package, CondaPackage) and package.subdir not in (subdir, NOARCH):
            message = f"{package.name} is a package of {package.subdir}, among those of {subdir}"
            raise InputError(message, where=where, hint="make the lock again")
    in_order = [found[key] for key in sorted(found)]
    return CondaLock(
        tuple(one for one in in_order if isinstance(one, CondaPackage)),
        tuple(one for one in in_order if isinstance(one, PypiPackage)),
    )


def _check(where: str, what: str, allowed: re.Pattern[str], value: str) -> None:
    if not allowed.fullmatch(value):
        raise InputError(f"{value[:80]!r} is not the {what} of a package", where=where, hint="make the lock again")


def _checked_hash(where: str, hash: str) -> str:
    kind, _, digits = hash.partition(":")
    digits = digits.lower()
    if len(digits) != _HASHES.get(kind) or not re.fullmatch(r"[0-9a-f]+", digits):
        raise InputError(f"{hash[:80]!r} is not a hash", where=where, hint="make the lock again")
    return f"{kind}:{digits}"


def _checked_url(where: str, url: str) -> str:
    if url.startswith("/"):
        url = f"file://{url}"
    try:
        parts = urlsplit(url)
        scheme, has_secret = parts.scheme, bool(parts.password or (parts.username and parts.scheme != "ssh"))
    except ValueError:
        scheme, has_secret = "", False
    if not scheme and not _UNSAFE.search(url):
        message = f"{url[:80]!r} is a file beside the lock, which gitml does not read"
        raise InputError(message, where=where, hint="publish it to a channel or an index, and lock it from there")
    if scheme not in (*_SCHEMES, "ssh") or _UNSAFE.search(url):
        raise InputError("a package without a URL that can be fetched", where=where, hint="make the lock again")
    if has_secret or _TOKEN.search(parts.path):
        hint = "keep it in rattler's or uv's settings (`rattler auth login`, ~/.netrc), and make the lock again"
        raise InputError(f"a URL of {(parts.hostname or '')[:80]!r} has a password or a token", where=where, hint=hint)
    return url


def _digest(data: list[list[str]]) -> str:
    text = json.dumps(data, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode('ascii')).hexdigest()}"
