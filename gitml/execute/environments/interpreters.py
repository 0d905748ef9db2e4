"""Python interpreters as they are installed: version and site folders; without starting one in the steady state."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from gitml.core.model.digest import digest_of
from gitml.core.model.protocols import Facts
from gitml.errors import InputError

_PROBE = """
import sys
sys.path.pop(0)
import json, os, site, sysconfig
name = {"cpython": "CPython", "pypy": "PyPy"}.get(sys.implementation.name, sys.implementation.name)
version = "%d.%d.%d" % sys.version_info[:3]
if sys.version_info[3] != "final":
    version += sys.version_info[3] + str(sys.version_info[4])
sites = site.getsitepackages()
if site.ENABLE_USER_SITE:
    sites.append(site.getusersitepackages())
roots = [sys.prefix, sys.base_prefix, sys.exec_prefix, sysconfig.get_path("stdlib")]
print(json.dumps([sys.executable, name, version, sys.prefix, sites, roots]))
"""
_SELECTORS = (".python-version", ".tool-versions", "mise.toml", ".mise.toml")


class PythonInterpreter(NamedTuple):
    """`executable` is where it is started from, `roots` are the folders it reads beside `sites`, where packages lie."""

    executable: str
    implementation: str
    version: str
    prefix: str
    sites: tuple[str, ...]
    roots: tuple[str, ...]

    @property
    def name(self) -> str:
        """As in ``CPython 3.11.7``."""
        return f"{self.implementation} {self.version}"


def interpreter_at(path: str, machine: Mapping[str, str], cwd: str, facts: Facts) -> PythonInterpreter:
    """The interpreter that `path` starts in `cwd`; InputError when it starts none.

    `path` may be a script that chooses one (pyenv, asdf, mise): what it chooses by is part of what is remembered.
    """
    identity = [path, _stat_of(path), _stat_of(_venv_settings(path)), machine.get("HOME")]
    if _is_script(path):
        identity += _chosen_by(path, machine, cwd)
    id = digest_of(json.dumps(identity).encode())
    known = facts.fact("python", id)
    if known is not None and _stat_of(known[0][0]) == known[1]:
        return _interpreter(known[0])
    raw = _probe(path, machine, cwd)
    facts.remember("python", id, [raw, _stat_of(raw[0])])
    return _interpreter(raw)


def _interpreter(raw: list[Any]) -> PythonInterpreter:
    executable, implementation, version, prefix, sites, roots = raw
    return PythonInterpreter(
        executable, implementation, version, prefix, tuple(dict.fromkeys(sites)), tuple(dict.fromkeys(roots))
    )


def _probe(path: str, machine: Mapping[str, str], cwd: str) -> list[Any]:
    import subprocess

    env = {name: value for name, value in machine.items() if not name.startswith(("PYTHON", "GIT_"))}
    try:
        ran = subprocess.run(
            [path, "-c", _PROBE],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"this Python can't be started: {error}", where=path) from error
    if ran.returncode != 0:
        said = ran.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit status {ran.returncode}"]
        raise InputError(f"this Python can't be started: {said[-1]}", where=path)
    try:
        raw = json.loads(ran.stdout)
        if [type(item) for item in raw] != [str, str, str, str, list, list]:
            raise ValueError
    except ValueError:
        raise InputError("this is no Python: it does not say what it is", where=path) from None
    return list(raw)


def _is_script(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False


def _chosen_by(path: str, machine: Mapping[str, str], cwd: str) -> list[Any]:
    """What a version manager's script looks at to choose an interpreter: variables, and files here, above and at home."""
    home = machine.get("HOME", "/")
    places = [
        os.path.join(os.path.dirname(os.path.dirname(path)), "version"),
        os.path.join(home, ".config/mise/config.toml"),
    ]
    folder = cwd
    while True:
        places += [os.path.join(folder, name) for name in _SELECTORS]
        if folder in ("/", ""):
            break
        folder = os.path.dirname(folder)
    places += [os.path.join(home, name) for name in _SELECTORS]
    variables = [machine.get(name) for name in ("PYENV_VERSION", "PYENV_ROOT", "ASDF_PYTHON_VERSION")]
    return [variables, [(place, stat) for place in places if (stat := _stat_of(place))]]


def _venv_settings(path: str) -> str:
    return os.path.join(os.path.dirname(os.path.dirname(path)), "pyvenv.cfg")


def _stat_of(path: str) -> list[int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]
