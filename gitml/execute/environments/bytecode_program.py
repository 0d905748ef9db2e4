"""A program of its own: writes the bytecode of all modules below the folders that it is given, on all processors at once.

Its text is run by the Python of an environment, of any version from 3.8 on, which sees nothing of gitml: it imports the standard
library alone. Of the modules nothing is executed.
"""

from __future__ import annotations

import importlib.util
import os
import py_compile
import struct
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress

_BY_TIME = py_compile.PycInvalidationMode.TIMESTAMP


def modules_below(folder: str) -> Iterator[tuple[int, str]]:
    """The size and the path of each module there; none of a folder whose bytecode would go elsewhere, by a link."""
    for place, _, names in os.walk(folder):
        if not os.path.islink(os.path.join(place, "__pycache__")):
            for name in names:
                path = os.path.join(place, name)
                if name.endswith(".py") and os.path.isfile(path):
                    yield os.stat(path).st_size, path


def is_compiled(path: str) -> bool:
    """Whether its bytecode is there and says that it is of this file."""
    changed = int(os.stat(path).st_mtime) & 0xFFFFFFFF
    head = struct.pack("<4sLL", importlib.util.MAGIC_NUMBER, 0, changed)
    try:
        with open(importlib.util.cache_from_source(path), "rb") as file:
            return file.read(len(head)) == head
    except OSError:
        return False


def compile_all(paths: Iterable[str]) -> None:
    """Compiles those that aren't; what can't be compiled is left as it is."""
    for path in paths:
        with suppress(Exception):  # it is for another Python, or damaged: who imports it is told
            if not is_compiled(path):
                py_compile.compile(path, doraise=True, invalidation_mode=_BY_TIME)


def main(folders: Iterable[str]) -> None:
    """Compiles what is below `folders`, each process a share of like size."""
    warnings.simplefilter("ignore")
    found = sorted((module for folder in folders for module in modules_below(folder)), reverse=True)
    paths = [path for _, path in found]
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    children = []
    for share in range(count):
        child = os.fork()
        if child == 0:
            try:
                compile_all(paths[share::count])
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
