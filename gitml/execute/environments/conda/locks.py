"""Reads a lock of conda packages, in whichever of the three formats it is, which its content shows."""

from __future__ import annotations

from collections.abc import Collection

from gitml.execute.environments.conda.conda_lock import read_conda_lock
from gitml.execute.environments.conda.explicit_list import is_explicit_list, read_explicit_list
from gitml.execute.environments.conda.lock_document import LockDocument
from gitml.execute.environments.conda.packages import CondaLock
from gitml.execute.environments.conda.pixi_lock import DEFAULT, read_pixi_lock

_LOOSE = "gitml env lock {path}"


def read_lock(path: str, content: bytes, subdir: str, name: str = DEFAULT, groups: Collection[str] = ()) -> CondaLock:
    """What the lock in `content` has installed on the platform of `subdir`.

    `name` is an environment of a pixi.lock, `groups` categories of a conda-lock file beside ``main``. InputError with the line of
    `path` for what is no lock, is not for the platform, or names a package without content.
    """
    if is_explicit_list(content):
        return read_explicit_list(path, content, subdir)
    document = LockDocument(path, content)
    root = document.root
    if document.has(root, "environments"):
        return read_pixi_lock(document, name, subdir)
    if document.has(root, "package"):
        return read_conda_lock(document, groups, subdir)
    if document.has(root, "dependencies"):
        message = "this is a conda environment, whose packages are not locked"
        raise document.error(root, message, _LOOSE.format(path=path))
    message = "this is no lock of conda packages: no pixi.lock, no file of conda-lock, and no list with @EXPLICIT"
    raise document.error(root, message, "name another file, or fix the kind of the environment")
