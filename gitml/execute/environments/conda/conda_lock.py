"""Files of conda-lock (``conda-lock.yml``, version 1): what they have installed on one platform.

Versions 2 and 3 are those of a ``pixi.lock`` of 2023, which was written like this.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

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
from gitml.execute.environments.conda.pixi_lock import missing_platform

NEWEST = 3
MAIN = "main"
_MANAGERS = ("conda", "pip", "pypi")


def read_conda_lock(document: LockDocument, groups: Collection[str], subdir: str) -> CondaLock:
    """What the category ``main`` and those of `groups` have on the platform of `subdir`; InputError where they have nothing."""
    root = document.root
    version = document.number(root, "version")
    if not 1 <= version <= NEWEST:
        message = f"this is version {version} of the format of conda-lock, and gitml reads 1 to {NEWEST}"
        raise document.error(root, message, "make it by conda-lock 1 to 4")
    platforms = _platforms(document)
    if subdir not in platforms:
        asked = " ".join(f"-p {name}" for name in sorted({*platforms, subdir}))
        raise missing_platform(document.path, platforms, subdir, f"conda-lock lock {asked}")
    entries = list(document.items(document.child(root, "package")))
    wanted = {MAIN, *groups}
    categories = {document.text(entry, "category", MAIN) for entry in entries} | {MAIN}
    for name in sorted(wanted - categories):
        message = f"there is no category {name[:60]!r} in the lock{nearest(name, categories)}"
        raise document.error(root, message, "fix `groups` of the environment")
    here = [entry for entry in entries if document.text(entry, "platform") == subdir]
    chosen = [entry for entry in here if document.text(entry, "category", MAIN) in wanted]
    return lock_of(document.path, subdir, _packages(document, chosen))


def _platforms(document: LockDocument) -> list[str]:
    metadata = document.child(document.root, "metadata")
    return [document.written(item) for item in document.items(document.child(metadata, "platforms"))]


def _packages(document: LockDocument, entries: list[Node]) -> Iterator[CondaPackage | PypiPackage]:
    for entry in entries:
        manager, name = document.text(entry, "manager"), document.text(entry, "name")
        if manager not in _MANAGERS:
            raise document.error(entry, f"{name[:60]!r} is installed by {manager[:60]!r}, which gitml does not know")
        where, url = document.where(entry), document.text(entry, "url")
        digits = document.text(document.child(entry, "hash"), "sha256", "")
        if not digits and not url.startswith("git+"):
            hint = "take it from a channel that lists sha256, and make the lock again"
            raise InputError(f"{name[:60]!r} has no sha256 in the lock", where=where, hint=hint)
        version = document.text(entry, "version")
        if manager == "conda":
            yield conda_package(where, url, f"sha256:{digits}", name=name, version=version)
        else:
            yield pypi_package(where, name, version, f"sha256:{digits}", url)
