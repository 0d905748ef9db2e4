"""Virtual environments of exactly the files that were identified, built with uv: once on a machine, complete or not there."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from gitml.errors import InputError
from gitml.execute.environments.index_passwords import write_passwords
from gitml.execute.environments.interpreters import PythonInterpreter
from gitml.execute.environments.single_build import build_once, read_marker, write_marker
from gitml.execute.environments.software import MachineSoftware
from gitml.execute.sandbox.removal import remove_tree

if TYPE_CHECKING:  # what only building needs is imported by what builds
    from gitml.execute.environments.build_control import BuildControl
    from gitml.execute.environments.uv_commands import UvCommands

_LIST = "requirements.txt"
_MISSING = re.compile(r"requires `([A-Za-z0-9._-]+)[^`]*`, but it's not installed")
_PYPI = "https://pypi.org/simple"


class PackageList(NamedTuple):
    """What a virtual environment is built of: requirements of one file each, and the indexes that the lock names.

    With `hashed` each has its hashes. `source` is the file of the commit that says so. `python` is a version such as ``3.12``;
    without one it is the machine's. `sources` are the names of those of which the list says that they are there only as source.
    """

    lines: tuple[str, ...]
    hashed: bool
    source: str
    python: str | None = None
    indexes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


def built_at(place: str) -> tuple[str, ...] | None:
    """The folders beside `place` that the environment there reads; None when none is complete there."""
    facts = read_marker(place)
    # the Python it was made from may have been removed since
    return tuple(facts["roots"]) if facts is not None and os.path.exists(f"{place}/bin/python") else None


def build(
    place: str,
    packages: PackageList,
    here: MachineSoftware,
    control: BuildControl,
) -> tuple[str, ...]:
    """The environment at `place`, built if it is not; gives the folders beside it that it reads.

    InputError in uv's words when it fails; nothing is left then. StoppedError when `control.stop` asks.
    """
    return build_once(place, partial(built_at, place), partial(_build, place, packages, here, control), control)


def _build(place: str, packages: PackageList, here: MachineSoftware, control: BuildControl) -> tuple[str, ...]:
    from gitml.execute.environments.uv_commands import refuse_source

    if not control.from_source:
        refuse_source(packages.sources)
    python = python_for(packages.python, here)
    folder = os.path.dirname(place)
    from gitml.execute.environments.bytecode import compile_bytecode, site_folders
    from gitml.execute.environments.uv_commands import UvCommands

    uv = UvCommands(here.machine, os.path.dirname(folder), control.stop, control.report)
    # without one uv asks the Python again what it is once the packages are there, and so starts what they have for its start
    cache, stage = f"{place}.downloads", f"{place}.stage"
    if uv.env.pop("UV_NO_CACHE", None):
        uv.env["UV_CACHE_DIR"] = cache
    called_from = os.getcwd()
    os.chdir(folder)
    try:
        listed = f"{place}.{_LIST}"
        write_list(packages, listed)
        remove_tree(stage)
        os.mkdir(stage)
        write_passwords(f"{stage}/netrc", uv.env, (*packages.indexes, *packages.lines))
        uv.env["NETRC"] = f"{stage}/netrc"
        try:
            confined = "" if control.from_source else f"{stage}/check"
            if confined:
                from gitml.execute.sandbox.confined_program import write_starter

                os.mkdir(confined)
                write_starter(f"{confined}/python", f"{place}/bin/python", (place, *python.roots, confined), confined)
            version = install(packages, uv, python.executable, place, listed, confined, from_source=control.from_source)
        finally:
            remove_tree(listed)
            remove_tree(stage)
        control.report("compiling the packages")
        sites = [f"{place}/{site}" for site in site_folders(place)]
        compile_bytecode(f"{place}/bin/python", sites, {"PATH": uv.env.get("PATH", "")}, control.stop)
    finally:
        os.chdir(called_from)
        remove_tree(cache)
    write_marker(place, {"python": python.name, "uv": version, "roots": python.roots})
    return python.roots


def write_list(packages: PackageList, path: str) -> None:
    """Writes the requirements for `install` to a file, which is not there yet; nothing of the packages may have run there."""
    remove_tree(path)
    with open(path, "x", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in packages.lines)


def install(
    packages: PackageList, uv: UvCommands, python: str, place: str, listed: str, stage: str = "", *, from_source: bool
) -> str:
    """Has `uv` make a virtual environment of `python` at `place`, with these packages; gives the version of uv.

    They are in the file `listed` as uv sees it, which `write_list` wrote. With `stage`, a folder, the environment's Python is
    started confined where packages are in it. For `from_source` see `BuildControl`. InputError in uv's words when it fails.
    """
    mend = f"lock it again: gitml env lock {shlex.quote(packages.source)}"
    uv.run("venv", "--no-project", "--python", python, place, purpose="make the environment", hint=mend)
    inside = ("--python", f"{place}/bin/python")
    wheels = _options(packages, uv.env, from_source=from_source)
    sync = ("pip", "sync", "--no-compile-bytecode", *inside, *wheels, listed)
    _sync(uv, sync, packages.indexes, mend)
    options: tuple[str, ...] = inside
    if stage:
        options = ("--no-cache", "--python", f"{stage}/python")
        uv.env["TMPDIR"] = stage  # where uv has the program by which it asks
    try:
        uv.run("pip", "check", *options, purpose="use the requirements", hint=mend)
    except InputError as error:
        error.message = _incomplete(error.message, packages.source)
        raise
    return uv.run("--version", purpose="print its version", hint=mend).strip()


def _incomplete(said: str, source: str) -> str:
    """What `uv pip check` found, in one sentence that names what is missing; its own words where that is something else."""
    missing = [*dict.fromkeys(_MISSING.findall(said))]
    if not missing:
        return f"{said}: {source} is not fully locked"
    named = ", ".join(missing[:5]) + (" and others" if len(missing) > 5 or "…" in said else "")
    return f"{source} is not fully locked: what it lists needs {named}, which it does not list"


def _sync(uv: UvCommands, sync: Sequence[str], indexes: Sequence[str], mend: str) -> None:
    """Installs what is listed. Where an index of the lock doesn't answer, from the user's own ones: the hashes are the same."""
    from gitml.execute.environments.uv_commands import UNREACHABLE

    own, of_lock = dict(uv.env), _places(indexes, uv.env)
    uv.env.update(of_lock)
    try:
        uv.run(*sync, purpose="install the requirements", hint=mend)
    except InputError as error:
        if not of_lock or error.hint != UNREACHABLE:
            raise
        uv.env = own
        try:
            uv.run(*sync, purpose="install the requirements", hint=mend)
        except InputError:
            raise error from None


def _places(indexes: Sequence[str], env: Mapping[str, str]) -> dict[str, str]:
    """The variables by which uv looks at the indexes of a lock, beside those of the user's own settings."""
    others = [url for url in indexes if url != _PYPI]
    if not others:
        return {}
    asked = " ".join([*others, *filter(None, [env.get("UV_INDEX")])])
    # hashes decide which file it is, so that the best version of any index can be no other
    found = {"UV_INDEX": asked, "UV_INDEX_STRATEGY": env.get("UV_INDEX_STRATEGY", "unsafe-best-match")}
    if _PYPI not in indexes and not any(name in env for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL")):
        found["UV_DEFAULT_INDEX"] = others[
            0
        ]  # a lock that takes nothing from PyPI may be used where PyPI can't be reached
    return found


def _options(packages: PackageList, env: Mapping[str, str], *, from_source: bool) -> Sequence[str]:
    if not packages.lines:
        return ("--allow-empty-requirements",)
    from gitml.execute.environments.uv_commands import wheels_alone

    # also where a lock calls it a wheel: which file has the hash is up to the index
    wheels = wheels_alone(env, from_source=from_source)
    # a commit of a repository identifies itself, and has no hash of a file
    all_hashed = packages.hashed and not any(" @ git+" in line for line in packages.lines)
    return ("--require-hashes", *wheels) if all_hashed else wheels


def python_for(version: str | None, here: MachineSoftware) -> PythonInterpreter:
    """The Python of that version that environments are made from; InputError where this machine has none."""
    if version is None:
        return here.python_to_build_with()
    found = here.default_python
    if found is not None and is_of_version(found, version):
        return found
    return here.interpreter_at(_find(version, here.machine))


def is_of_version(python: PythonInterpreter, version: str) -> bool:
    """Whether an interpreter is the CPython of a version such as ``3.12`` or ``3.12.4``."""
    return python.implementation == "CPython" and f"{python.version}.".startswith(f"{version}.")


def _find(version: str, machine: Mapping[str, str]) -> str:
    import subprocess

    from gitml.execute.environments.uv_commands import uv_environment, uv_program

    uv = uv_program(machine)
    words = (uv, "python", "find", "--no-project", "--no-config", "--offline", f"cpython@{version}")
    env = {key: value for key, value in uv_environment(machine).items() if key != "UV_SYSTEM_PYTHON"}
    try:
        ran = subprocess.run(
            words, env=env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"Python {version} could not be looked for: {error}", hint="put it on PATH") from error
    path = ran.stdout.decode("utf-8", "surrogateescape").strip()
    if ran.returncode != 0 or not path:
        raise InputError(
            f"this machine has no Python {version}, which the environment is for",
            hint=f"{shlex.quote(uv)} python install {version}, or put it on PATH",
        )
    return path
