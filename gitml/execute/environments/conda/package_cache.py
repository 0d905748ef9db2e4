"""The conda packages that are kept extracted for the next prefix, which links their files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from gitml import layout
from gitml.execute.sandbox.removal import remove_tree


class ExtractedPackage(NamedTuple):
    """A package in the cache, and the bytes on disk that are freed with it."""

    path: str
    size: int


def unused_packages(cache_dir: str, age: float) -> Iterator[ExtractedPackage]:
    """Packages of which no prefix has a file any more, and that were extracted more than `age` seconds ago.

    A build that goes on may need younger ones. What can't be looked at counts as used.
    """
    folder = os.path.join(cache_dir, layout.CONDA_PACKAGES)
    before = time.time() - age
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        path = os.path.join(folder, name)
        if name.startswith(".") or os.path.islink(path) or not os.path.isdir(path):
            continue
        try:
            size = _size_unless_used(path) if os.stat(path).st_ctime < before else None
        except OSError:
            continue
        if size is not None:
            yield ExtractedPackage(path, size)


def remove_package(package: ExtractedPackage) -> None:
    """Removes a package from the cache; an environment that needs it is built with what is fetched again."""
    remove_tree(package.path)


def _size_unless_used(path: str) -> int | None:
    """The bytes that a package takes, None where a file of it has another link."""
    size = 0
    stack = [path]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                    continue
                found = entry.stat(follow_symlinks=False)
                if found.st_nlink > 1:
                    return None
                size += found.st_blocks * 512
    return size
