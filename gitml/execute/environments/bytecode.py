"""Compiles what packages of Python have no bytecode for: steps can't write it, and would compile it each time.

Of the packages nothing is executed for it: a ``.pth`` file among them would have Python run its lines, outside of the sandbox of
any step. So the Python that compiles reads no site folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from gitml.execute.process import StoppedError, StopRequests, run

_PROGRAM = os.path.join(os.path.dirname(__file__), "bytecode_program.py")


def compile_bytecode(
    python: str,
    sites: list[str],
    env: Mapping[str, str],
    stop: StopRequests,
    confine: Callable[[], None] | None = None,
) -> None:
    """Has `python` compile what is in the folders `sites`, as it sees them; StoppedError when `stop` asks.

    What can't be compiled is left: files that are for another Python need not be.
    """
    if not sites:
        return
    with open(_PROGRAM, encoding="utf-8") as file:
        argv = (python, "-I", "-S", "-c", file.read(), *sites)
    if run(python, argv, {"LANG": "C.UTF-8", **env}, lambda chunk: None, stop, confine=confine).stopped:
        raise StoppedError


def site_folders(prefix: str) -> list[str]:
    """The folders below `prefix` that packages of Python lie in, relative to it."""
    lib = f"{prefix}/lib"
    names = sorted(os.listdir(lib)) if os.path.isdir(lib) and not os.path.islink(lib) else []
    found = [f"lib/{name}/site-packages" for name in names if name.startswith(("python3", "pypy3"))]
    return [folder for folder in found if os.path.isdir(f"{prefix}/{folder}")]
