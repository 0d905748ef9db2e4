"""Kinds that a test adds are known to what is forked from its process, and to no other."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs the test in a process of its own where Ray was imported: its threads aren't forked, the supervisor is another program."""
    if "ray" not in sys.modules:
        return None
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", pyfuncitem.nodeid]
    done = subprocess.run(words, cwd=pyfuncitem.config.rootpath, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return True
