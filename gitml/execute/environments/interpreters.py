"""Python interpreters: version and site folders, without starting one in the steady state, and what imports of them give.

Packages count by content. Code of the repository never counts as installed: an editable install of it is followed to a place in
the commit, from which the sandbox has it (see `import_redirect`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.model.digest import digest_of
from gitml.core.model.protocols import Facts
from gitml.errors import InputError
from gitml.execute.environments.site_files import EditableInstall
from gitml.execute.environments.site_packages import conda_packages, contents_of, digest_of_files, files_below, site_at

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
    venv = os.path.join(os.path.dirname(os.path.dirname(path)), "pyvenv.cfg")
    identity = [path, _stat_of(path), _stat_of(venv), machine.get("HOME")]
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
    """What a version manager's script looks at to choose an interpreter: variables, and files here, above and in ``~``."""
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


def _stat_of(path: str) -> list[int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


# of an editable install
_OWN_PLACE = os.path.realpath(__file__).removesuffix("/gitml/execute/environments/interpreters.py")
_TOLD = 1000  # files of an editable package that are told one by one
_HINT = "install it without -e, or with `pip install -e . --config-settings editable_mode=compat`"


class Packages(NamedTuple):
    """What is installed. `distributions` are ``name version``, sorted; `contents` says what each and all else importable is.

    `repository` are (module, path) of what leads into this repository, with an empty module for a folder of ``sys.path``;
    `links` are those of them that are links among the packages. `outside` are the folders beyond the site folders that modules
    are read from; `scripts` commands of editable packages by module. `sites` are all site folders that were looked at, each with
    the name of its state.
    """

    distributions: tuple[str, ...]
    contents: Mapping[str, Any]
    repository: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...]
    outside: tuple[str, ...]
    scripts: Mapping[str, str]
    sites: tuple[tuple[str, str], ...] = ()


def packages_of(interpreter: PythonInterpreter, facts: Facts, tops: Sequence[str] = (), path: str = "") -> Packages:
    """What is installed for `interpreter`; `tops` are the work trees of this repository, `path` a PYTHONPATH that is passed on.

    gitml itself is left out: it is no part of what a step computes. InputError for an editable install of this repository that
    can't be followed.
    """
    contents: dict[str, Any] = {}
    distributions: list[str] = []
    leading: list[EditableInstall] = []
    scripts: dict[str, str] = {}
    installed = conda_packages(interpreter.prefix, facts)
    sites = list(interpreter.sites)
    states: list[tuple[str, str]] = []
    inner = [os.path.realpath(place) for place in (interpreter.prefix, *sites)]
    repository: set[tuple[str, str]] = set()
    for folder in filter(None, path.split(":")):
        if os.path.isabs(folder):
            leading.append(EditableInstall("path", "PYTHONPATH", "", os.path.realpath(folder)))
        else:
            repository.add(("", os.path.normpath(folder)))  # in the sandbox
    for site in sites:
        found = site_at(site, facts)
        states.append((site, found.state))
        own, loose = contents_of(site, found, facts)
        installed = installed + [
            [name, version, content or own.get(f"{name} {version}".strip(), ""), origin]
            for name, version, content, origin in found.packages
        ]
        for entry, content in loose.items():
            _put(contents, entry, content, {})
        for item in found.editable:
            if item.kind == "path" and place_in(item.target, tops, inner) is None and _is_site(item.target):
                sites += [item.target] if item.target not in sites else []  # a .pth file that joins another environment
            else:
                leading.append(item)
        leading += [EditableInstall("unread", name, "", folder) for name, folder in found.unread if folder]
        scripts.update(found.scripts)
    for name, version, content, origin in installed:
        distribution = f"{name} {version}".strip()
        distributions.append(distribution)
        _put(contents, distribution, content, origin)
    links: set[tuple[str, str]] = set()
    outside: dict[str, str] = {}
    for item in leading:
        if item.target == _OWN_PLACE and _OWN_PLACE not in tops:
            continue
        place = place_in(item.target, tops, inner)
        if place is None and item.kind == "covered link":
            continue  # its package counts by its RECORD
        if place is None:
            outside[item.target] = item.owner or os.path.basename(item.target)
        else:
            repository.add(_followed(item, place))
            if item.kind.endswith("link"):
                links.add((item.owner, place))
    for target, owner in sorted(outside.items()):
        files = files_below(target if os.path.exists(target) else f"{target}.py", facts, source=True)
        told = {name: digest[:12] for name, digest in files.items()} if len(files) <= _TOLD else {}
        origin = {"files": told} if told else {}
        _put(contents, f"{owner} (editable)", digest_of_files(files), origin)
    outside.update(dict.fromkeys(sites[len(interpreter.sites) :], ""))
    names, ours = tuple(sorted(set(distributions))), tuple(sorted(repository))
    return Packages(names, contents, ours, tuple(sorted(links)), tuple(sorted(outside)), scripts, tuple(states))


def _is_site(folder: str) -> bool:
    """Whether packages are installed in a folder, each with its RECORD."""
    try:
        return any(name.endswith(".dist-info") for name in os.listdir(folder))
    except OSError:
        return False


def place_in(target: str, tops: Iterable[str], inner: Iterable[str]) -> str | None:
    """The path of `target` in a work tree of this repository; None for what is elsewhere, in an environment (`inner`) or
    in another repository within it."""
    for top in sorted(tops, key=len, reverse=True):
        if target != top and not target.startswith(top + "/"):
            continue
        if any(f"{target}/".startswith(place + "/") and place.startswith(top + "/") for place in inner):
            return None
        folder = target
        while folder != top:
            if os.path.lexists(f"{folder}/.git") or os.path.basename(folder) == ".git":
                return None
            folder = os.path.dirname(folder)
        return os.path.relpath(target, top)
    return None


def _put(contents: dict[str, Any], name: str, content: str, origin: Mapping[str, Any]) -> None:
    """Of two things of one name, as in two site folders, both count."""
    said = {"content": content, **origin} if origin else content
    if name in contents and contents[name] != said:
        said = {"content": content, **origin, "beside": contents[name]}
    contents[name] = said


def _followed(item: EditableInstall, place: str) -> tuple[str, str]:
    if item.kind == "unread":
        raise InputError(
            f"package {item.owner} is installed editable from {place} of this repository, in a way that can't be taken from"
            " a commit",
            hint=_HINT,
        )
    if item.kind.endswith("link") and os.path.basename(item.target) != item.name:
        raise InputError(
            f"{item.name} among the installed packages is a link to {place} of this repository, under another name",
            hint="install the project with `pip install -e .` instead",
        )
    return ("" if item.kind == "path" else item.owner if item.kind.endswith("link") else item.name, place)
