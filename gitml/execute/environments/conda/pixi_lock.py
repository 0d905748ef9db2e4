"""``pixi.lock``, versions 4 to 7: what one of its environments has installed on one platform."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gitml.core.language.diagnostics import nearest
from gitml.core.language.yaml_document import Node
from gitml.errors import InputError
from gitml.execute.environments.conda.lock_document import LockDocument
from gitml.execute.environments.conda.packages import (
    CondaLock,
    CondaPackage,
    PypiPackage,
    conda_package,
    lock_of,
    pypi_package,
)

OLDEST, NEWEST = 4, 7
DEFAULT = "default"
_AGAIN = "pixi lock"
_KINDS = ("conda", "pypi", "conda_source", "source")
_OWN = (".", "./")
_FILES = (".whl", ".tar.gz", ".zip")


def read_pixi_lock(document: LockDocument, environment: str, subdir: str) -> CondaLock:
    """What `environment` has installed on the platform of `subdir`; InputError where the lock has neither."""
    root = document.root
    version = document.number(root, "version")
    if not OLDEST <= version <= NEWEST:
        message = f"this is version {version} of the format of pixi.lock, and gitml reads {OLDEST} to {NEWEST}"
        hint = _AGAIN if version < OLDEST else "install a newer gitml"
        raise document.error(root, message, hint)
    environments = document.child(root, "environments")
    if not document.has(environments, environment):
        known = nearest(environment, document.keys(environments))
        message = f"there is no environment {environment[:60]!r} in the lock{known}"
        raise document.error(environments, message, "name one of them: {pixi: PATH, name: NAME}")
    platforms = document.child(document.child(environments, environment), "packages")
    chosen = _platform(document, platforms, subdir)
    return lock_of(document.path, subdir, _packages(document, document.child(platforms, chosen)))


def _platform(document: LockDocument, platforms: Node, subdir: str) -> str:
    """The name of the platform of `subdir`: from version 7 on a project may call one by a name of its own."""
    called = {name: name for name in document.keys(platforms)}
    if document.has(document.root, "platforms"):
        for item in document.items(document.child(document.root, "platforms")):
            name = document.text(item, "name")
            if name in called:
                called[name] = document.text(item, "subdir", name)
    found = [name for name, its in called.items() if its == subdir]
    if subdir in found or len(found) == 1:
        return subdir if subdir in found else found[0]
    if found:
        message = f"the lock has several platforms of {subdir}: {', '.join(found)[:200]}"
        raise document.error(platforms, message, f"call one of them {subdir}")
    raise missing_platform(document.path, called.values(), subdir, f"pixi workspace platform add {subdir}")


def missing_platform(path: str, platforms: Iterable[str], subdir: str, hint: str) -> InputError:
    """The error for a lock of other `platforms` than that of `subdir`."""
    listed = ", ".join(sorted(set(platforms)))[:200] or "no platform"
    return InputError(f"the lock is for {listed}, and not for {subdir}", where=path, hint=hint)


def _packages(document: LockDocument, selected: Node) -> Iterator[CondaPackage | PypiPackage]:
    known = _by_location(document)
    for item in document.items(selected):
        kind, location = _selector(document, item)
        if location.rpartition(" @ ")[2] in _OWN:  # the project itself is code of the commit
            continue
        entry = known.get((kind, location))
        if kind in ("conda_source", "source") or (kind == "conda" and not location.endswith((".conda", ".tar.bz2"))):
            message = f"{location[:80]!r} is built from source, and what that gives is not known"
            raise document.error(item, message, "publish it to a channel, and lock it from there")
        if entry is None:
            raise document.error(item, f"the lock has no package {location[:80]!r}", _AGAIN)
        if kind == "conda":
            yield _conda(document, entry, location)
        else:
            yield _pypi(document, entry, location)


def _selector(document: LockDocument, item: Node) -> tuple[str, str]:
    for kind in _KINDS:
        if document.has(item, kind):
            return kind, document.text(item, kind)
    raise document.error(item, "this names no package", _AGAIN)


def _by_location(document: LockDocument) -> dict[tuple[str, str], Node]:
    """The entries of packages by kind and URL. Until version 5 these have keys of their own, as in ``kind: conda, url: …``."""
    found = {}
    for entry in document.items(document.child(document.root, "packages")):
        if document.has(entry, "kind"):
            at = "url" if document.has(entry, "url") else "path"
            found[document.text(entry, "kind"), document.text(entry, at)] = entry
        else:
            found[_selector(document, entry)] = entry
    return found


def _conda(document: LockDocument, entry: Node, location: str) -> CondaPackage:
    where = document.where(entry)
    if not document.has(entry, "sha256"):
        message = f"{location.rpartition('/')[2][:80]!r} has no sha256 in the lock"
        raise InputError(message, where=where, hint=f"take it from a channel that lists sha256, then {_AGAIN}")
    return conda_package(
        where,
        location,
        f"sha256:{document.text(entry, 'sha256')}",
        name=document.text(entry, "name", ""),
        version=document.text(entry, "version", ""),
        build=document.text(entry, "build", ""),
        subdir=document.text(entry, "subdir", ""),
        size=document.number(entry, "size"),
        site_packages=document.text(entry, "python_site_packages_path", ""),
    )


def _pypi(document: LockDocument, entry: Node, location: str) -> PypiPackage:
    name = document.text(entry, "name")
    if ":" not in location and not location.endswith(_FILES):
        hint = "leave it out of the lock; code of the commit is importable with install: FOLDER"
        raise document.error(entry, f"{location[:80]!r} is a folder, whose content the lock does not hold", hint)
    digits = document.text(entry, "sha256", "") or location.partition("#sha256=")[2]
    if not digits and not location.startswith("git+"):
        hint = "publish it to an index, and lock it from there"
        raise document.error(entry, f"{name[:60]!r} has no sha256 in the lock", hint)
    return pypi_package(document.where(entry), name, document.text(entry, "version", "0"), f"sha256:{digits}", location)
