"""Other users of this machine, as root can become them: their ids, and a Python that they may run."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.kit.projects.repository import environment

GROUP = 41_100


class OpenPython(NamedTuple):
    """A Python that every user of the machine may run, and what its environment must have to find gitml."""

    program: str
    env: Mapping[str, str]


@contextmanager
def open_python(place: Path) -> Iterator[OpenPython]:
    """This Python; mounted below `place`, a folder that all may enter, where it is installed in one that they may not."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    paths = {"PYTHONPATH": f"{Path.cwd()}:{sysconfig.get_path('purelib')}", "PYTHONDONTWRITEBYTECODE": "1"}
    env = {**environment(), **paths}
    if all(folder.stat().st_mode & 0o005 == 0o005 for folder in Path(sys.executable).resolve().parents):
        yield OpenPython(sys.executable, env)
        return
    python = place / "python"
    python.mkdir()
    if subprocess.run(["mount", "--bind", sys.base_prefix, str(python)], capture_output=True).returncode:
        pytest.skip("this Python is root's alone, and root may not mount here")
    try:
        program = str(python / "bin" / f"python3.{sys.version_info.minor}")
        yield OpenPython(program, {**env, "PATH": f"{python}/bin:/usr/local/bin:/usr/bin:/bin"})
    finally:
        subprocess.run(["umount", str(python)], check=True)
        python.rmdir()


def as_user(uid: int) -> list[str]:
    """The beginning of a command line of the user `uid` of the group GROUP."""
    return ["setpriv", f"--reuid={uid}", f"--regid={GROUP}", "--clear-groups"]
