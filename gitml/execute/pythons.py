"""Python interpreters as they are installed: version, site folders, distributions; without starting one in the steady state."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from gitml.core.digest import digest_of
from gitml.core.protocols import Facts
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
_UNWALKED = frozenset(("__pycache__", "node_modules", "build", "dist", "site-packages"))
_SETTLED = 2 * 10**9
_OWN_NAME = "gitml"
_OWN_PLACE = os.path.realpath(__file__).removesuffix("/gitml/execute/pythons.py")  # of an editable install


class Interpreter(NamedTuple):
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


class Packages(NamedTuple):
    """What is installed: ``name version`` each, sorted, and the folders that editable installs are read from."""

    distributions: tuple[str, ...]
    editable: tuple[str, ...]


def interpreter_at(path: str, machine: Mapping[str, str], cwd: str, facts: Facts) -> Interpreter:
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


def packages_of(interpreter: Interpreter, facts: Facts) -> Packages:
    """What is installed for `interpreter`. gitml itself is left out: it is no part of what a step computes.

    Editable installs count by path, size and time of their Python files, as their code can change at any time.
    """
    distributions: list[str] = []
    editable: dict[str, str] = {}
    for site in interpreter.sites:
        found, links, roots = _listing(site, facts)
        distributions += found
        for name, root in roots:
            editable[os.path.realpath(root)] = name
        for link in links:
            for root in _roots_in(site, link):
                editable.setdefault(root, os.path.basename(root))
    folders = [root for root in sorted(editable) if root != _OWN_PLACE]
    for root in folders:
        distributions.append(f"{editable[root]} (editable {_sources_digest(root)})")
    return Packages(tuple(sorted(set(distributions))), tuple(folders))


def _interpreter(raw: list[Any]) -> Interpreter:
    executable, implementation, version, prefix, sites, roots = raw
    return Interpreter(
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
    raw: list[Any] = json.loads(ran.stdout)
    return raw


def _listing(site: str, facts: Facts) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Distributions, ``.pth`` files, and (name, folder) of editable installs in a site folder, which may be missing."""
    try:
        stat = os.stat(site)
    except OSError:
        return [], [], []
    id = f"{site}\0{stat.st_ino}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}"
    known = facts.fact("site", id)
    if known is not None:
        return known[0], known[1], [(name, root) for name, root in known[2]]
    distributions, links, roots = [], [], []
    for entry in sorted(os.listdir(site)):
        if entry.endswith((".pth", ".egg-link")):
            links.append(entry)
        if not entry.endswith((".dist-info", ".egg-info")):
            continue
        name, _, version = entry[: entry.rindex(".")].partition("-")
        name = name.replace("_", "-").replace(".", "-").lower()
        version = version.partition("-py")[0]
        if name == _OWN_NAME:
            continue
        distributions.append(f"{name} {version}".strip())
        root = _editable_root(f"{site}/{entry}/direct_url.json")
        if root is not None:
            roots.append((name, root))
    # a folder changed within the clock's grain may change again and look the same
    if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _SETTLED:
        facts.remember("site", id, [distributions, links, roots])
    return distributions, links, roots


def _editable_root(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            raw = json.loads(file.read(2**16))
        if not raw.get("dir_info", {}).get("editable"):
            return None
        url = str(raw["url"])
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    if not url.startswith("file://"):
        return None
    from urllib.parse import unquote

    return unquote(url[7:])


def _roots_in(site: str, link: str) -> list[str]:
    """The folders that a ``.pth`` or ``.egg-link`` file adds."""
    try:
        with open(f"{site}/{link}", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    roots = []
    for line in lines:
        if not line.strip() or line.startswith(("#", "import ", "import\t")):
            continue
        root = os.path.realpath(os.path.join(site, line.strip()))
        if os.path.isdir(root) and not root.startswith(os.path.realpath(site)):
            roots.append(root)
    return roots


def _sources_digest(root: str) -> str:
    hasher = hashlib.sha256()
    for folder, names, files in os.walk(root):
        names[:] = sorted(
            name
            for name in names
            if name[0] != "." and name not in _UNWALKED and not os.path.exists(f"{folder}/{name}/pyvenv.cfg")
        )
        for name in sorted(files):
            if name.endswith(".py"):
                try:
                    stat = os.stat(f"{folder}/{name}")
                except OSError:
                    continue
                line = f"{os.path.relpath(folder, root)}/{name}\0{stat.st_size}\0{stat.st_mtime_ns}\n"
                hasher.update(line.encode("utf-8", "surrogateescape"))
    return hasher.hexdigest()[:16]


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
