"""Programs of the machine that tests drive: a test that lacks one is skipped, or fails where it should be there.

What gitml or its tests can install by themselves comes with the locks of `requirements/`, and is no program of this kind.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_TABLE = Path(__file__).parents[2] / ".ci/programs"
_MORE = {"cc": "gcc", "openssl": "openssl"}  # tests of clusters alone, which .ci/run leaves out
REQUIRED = "TESTS_REQUIRE_PROGRAMS"  # set where .ci/tools has run: what it installs must be there
FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"  # beside PATH, where an ordinary user's shell does not look


def packages() -> dict[str, str]:
    """Debian's package by program."""
    found = {}
    for line in _TABLE.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, package = line.split()
            found[name] = package
    return found


def program(name: str) -> str:
    """The path of a program. The test is skipped where it is missing, and fails where it should be there."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:{FOLDERS}")
    if found is not None:
        return found
    known = packages()
    said = f"needs {name}: apt-get install {known.get(name) or _MORE[name]}"
    if name in known and os.environ.get(REQUIRED):
        pytest.fail(f"{said}; .ci/tools did not")
    pytest.skip(said)
