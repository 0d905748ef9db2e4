"""A program that another tool starts, confined as a strict step is and without a network.

The tool is given a script that `write_starter` wrote. This module is what the script runs, before it becomes the program.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence

from gitml.core.model.guarantees import CUT
from gitml.execute.sandbox.isolation import Isolation

_ENV = {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"}


def write_starter(path: str, program: str, readable: Sequence[str], folder: str) -> None:
    """Writes to `path` what starts `program`, which may read what is `readable` and write below `folder` alone."""
    request = json.dumps([program, list(readable), folder])
    imports = os.pathsep.join([place for place in sys.path if place.startswith("/")])
    words = ["env", "-i", f"PYTHONPATH={imports}", sys.executable, "-P", "-m", __name__, request]
    with open(path, "x") as file:
        file.write(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    os.chmod(path, 0o700)


def main(request: str, arguments: Sequence[str]) -> None:
    """Becomes the program; NotConfinedError where this machine can't confine it."""
    program, readable, folder = json.loads(request)
    own = tempfile.mkdtemp(dir=folder)
    Isolation(strict=True, network=CUT, readable=tuple(readable), seen=own, folder=own).enter()
    os.execve(program, [program, *arguments], {**_ENV, "TMPDIR": own})  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
