"""Builds a prefix: conda packages by py-rattler in a process of its own, packages of PyPI by uv; complete or not there at all."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from gitml import layout
from gitml.errors import InputError
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.bytecode import compile_bytecode, site_folders
from gitml.execute.environments.conda.packages import CondaLock, PypiPackage
from gitml.execute.environments.index_passwords import write_passwords
from gitml.execute.environments.single_build import build_once, read_marker, write_marker
from gitml.execute.environments.uv_commands import UvCommands, refuse_source, wheels_alone
from gitml.execute.environments.variables import FIXED
from gitml.execute.process import StoppedError, run
from gitml.execute.sandbox.confined_program import write_starter
from gitml.execute.sandbox.isolation import Isolation
from gitml.execute.sandbox.removal import remove_tree
from gitml.platform.current import platform

_PREFIX, _ARCHIVES, _STAGE, _OF_UV = "prefix", "archives", "compile", "uv"
_PROGRAM = "gitml.execute.environments.conda.rattler_process"
_MISSING = "py-rattler is not installed; it installs conda packages"
_INSTALL = "pip install 'gitml[conda]' (of the Python that gitml runs in)"
_TAIL = 4000
_INDEXED = "https://files.pythonhosted.org/"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_VARIABLES = "etc/conda/env_vars.d"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LARGEST = 1 << 20
# what a step has from gitml, whatever packages say
_RESERVED = frozenset((*FIXED, "PATH", "HOME", "TMPDIR", "CUDA_VISIBLE_DEVICES"))
_OF_GITML = (layout.VARIABLE_PREFIX, "GIT_", "_gitml_")


class PrefixRequest(NamedTuple):
    """What is to be built: `lock` for the platform of `subdir`, with the variables of `machine`."""

    lock: CondaLock
    subdir: str
    machine: Mapping[str, str]
    cache_dir: str


def prefix_of(place: str) -> str:
    """The prefix in the folder of an environment."""
    return f"{place}/{_PREFIX}"


def built_at(place: str) -> dict[str, Any] | None:
    """What is known of the environment in `place`; None when none is complete there."""
    facts = read_marker(place)
    return facts if facts is not None and os.path.isdir(prefix_of(place)) else None


def build(place: str, request: PrefixRequest, control: BuildControl) -> dict[str, Any]:
    """The environment in `place`, built if it is not; gives what is known of it.

    InputError in rattler's or uv's words when it fails; nothing is left then. StoppedError when `control.stop` asks.
    """

    def make() -> dict[str, Any]:
        return _build(place, request, control)

    return build_once(place, lambda: built_at(place), make, control)


def variables_of_packages(prefix: str) -> dict[str, str]:
    """The variables that packages set for programs of the prefix, from ``etc/conda/env_vars.d``; scripts are not run for them."""
    found: dict[str, str] = {}
    folder = f"{prefix}/{_VARIABLES}"
    if not os.path.isdir(folder):
        return found
    for name in sorted(os.listdir(folder)):
        path = f"{folder}/{name}"
        if not name.endswith(".json") or not os.path.isfile(path) or os.path.getsize(path) > _LARGEST:
            continue
        try:
            with open(path, "rb") as file:
                raw = json.load(file)
        except (ValueError, RecursionError):
            continue
        if isinstance(raw, dict):
            given = {key: value for key, value in raw.items() if isinstance(value, str) and "\0" not in value}
            found.update({key: value for key, value in given.items() if _VARIABLE.fullmatch(key)})
    return {name: value for name, value in found.items() if name not in _RESERVED and not name.startswith(_OF_GITML)}


def _build(place: str, request: PrefixRequest, control: BuildControl) -> dict[str, Any]:
    if not control.from_source:
        refuse_source(request.lock.sources())
    prefix, archives = prefix_of(place), f"{place}/{_ARCHIVES}"
    os.makedirs(place)
    called_from = os.getcwd()
    os.chdir(place)  # what is started reads no settings of the folder where gitml was called
    try:
        asked: dict[str, Any] = {
            "prefix": prefix,
            "archives": archives,
            "lock": f"{place}.process.lock",
            "cache": os.path.join(request.cache_dir, layout.CONDA_PACKAGES),
            "subdir": request.subdir,
            "packages": [package._asdict() for package in request.lock.conda],
        }
        try:
            confine = None
            if not platform.confinement_refusal():  # else what packages say of their files is looked at alone
                os.makedirs(asked["cache"], exist_ok=True)
                os.close(os.open(asked["lock"], os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
                confine = partial(write_alone, (place, asked["cache"], asked["lock"]))
            facts = run_rattler("install", asked, f"{place}/request.json", request.machine, control, confine)
        finally:
            with suppress(FileNotFoundError):  # the process has ended; only a killed parent leaves it
                os.unlink(asked["lock"])
        remove_tree(archives)
        if request.lock.pypi:
            _install_pypi(place, request, control)
        _compile(prefix, request.machine, control)
    finally:
        os.chdir(called_from)
    if facts["scripts"]:
        control.report(f"not run: post-link scripts of {', '.join(facts['scripts'])[:200]}")
    write_marker(place, facts)
    return facts


def run_rattler(
    work: str,
    asked: Mapping[str, Any],
    path: str,
    machine: Mapping[str, str],
    control: BuildControl,
    confine: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """What `rattler_process` gives for a request, which is kept at `path`; InputError in its words when it fails.

    `confine` is called in its process first; what it keeps for a while lies beside the request.
    """
    _check_rattler()
    with open(path, "w") as file:
        json.dump({"work": work, "parent": os.getpid(), **asked}, file)
    reader = _EventReader(control.report)
    env = {name: value for name, value in machine.items() if not name.startswith(("GIT_", "CONDA_"))}
    # found where this process finds it
    env["PYTHONPATH"] = os.pathsep.join([folder for folder in sys.path if folder.startswith("/")])
    env["TMPDIR"] = os.path.dirname(path)
    argv = (sys.executable, "-P", "-m", _PROGRAM, path)
    ended = run(sys.executable, argv, env, reader.write, control.stop, confine=confine)
    if ended.stopped:
        raise StoppedError
    if reader.result is not None:
        return reader.result
    words = reader.error or " ".join(reader.rest.decode("utf-8", "replace").split()[-60:])
    words = _CONTROL.sub(" ", words.replace("\nCaused by: ", ": "))
    raise InputError(f"rattler could not {work}: {words[:1000] or f'exit status {ended.code}'}", hint=_hint(words))


class _EventReader:
    """Reads what the program prints, as it comes."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.result: dict[str, Any] | None = None
        self.error = ""
        self.rest = bytearray()
        self._line = bytearray()
        self._report = report

    def write(self, chunk: bytes) -> None:
        self._line += chunk
        *lines, last = bytes(self._line).split(b"\n")
        self._line = bytearray(last)
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            doing = event.get("doing")
            if doing is not None and "solving" in doing:
                self._report(f"solving for {doing['solving']}")
                return
            if doing is not None:
                size = f", {doing['bytes'] / 1e6:,.0f} MB fetched" if doing["bytes"] >= 1e6 else ""
                self._report(f"installing conda packages: {doing['linked']} of {doing['total']}{size}")
                return
            self.error = event.get("error") or self.error
            self.result = event.get("result", self.result)
        except (ValueError, AttributeError, KeyError, TypeError):
            self.rest += line + b"\n"
            del self.rest[:-_TAIL]


def _check_rattler() -> None:
    from importlib.util import find_spec

    if find_spec("rattler") is None:
        raise InputError(_MISSING, hint=_INSTALL)


def _hint(words: str) -> str:
    if "HTTP status client error (404" in words:
        return "the channel has the package no more: make the lock again, or name a mirror that keeps it in pixi's settings"
    if "HTTP status client error (401" in words or "HTTP status client error (403" in words:
        return "log in: `rattler auth login HOST` or `pixi auth login HOST`, or a line in ~/.netrc"
    if "the lock has" in words:
        return "the channel or a proxy gives another file than was locked: make the lock again if you trust it"
    return "see whether the channel can be reached (HTTPS_PROXY, mirrors in pixi's settings), then run again"


def _install_pypi(place: str, request: PrefixRequest, control: BuildControl) -> None:
    """What the lock has of PyPI: of files the hash is checked, of repositories of Git the commit."""
    python = f"{prefix_of(place)}/bin/python"
    if not os.path.exists(python):
        raise InputError("the lock has packages of PyPI and no Python", hint="add python to the environment")
    control.report(f"installing {len(request.lock.pypi)} packages of PyPI")
    uv = UvCommands(request.machine, request.cache_dir, control.stop)
    hashed = [package for package in request.lock.pypi if not package.hash.startswith("git:")]
    others = [package for package in request.lock.pypi if package.hash.startswith("git:")]
    if not control.from_source:
        python = _confine(uv, place, python)
    given = ("pip", "install", "--python", python, "--break-system-packages", "--no-deps")
    wheels = wheels_alone(uv.env, from_source=control.from_source)
    passwords = f"{place}/netrc"
    write_passwords(passwords, uv.env, [package.url for package in request.lock.pypi])
    uv.env["NETRC"] = passwords
    for packages, options in ((hashed, ("--require-hashes",)), (others, ())):
        if packages:
            path = f"{place}/requirements.txt"
            with open(path, "w") as file:
                file.writelines(f"{_requirement(package)}\n" for package in packages)
            hint = "see whether the package index can be reached, and whether the lock is for this machine"
            uv.run(*given, *options, *wheels, "-r", path, purpose="install the packages of PyPI", hint=hint)
    os.unlink(passwords)
    remove_tree(f"{place}/{_OF_UV}")


def _confine(uv: UvCommands, place: str, python: str) -> str:
    """Has `uv` write below `place` alone, and start `python`, which may not be trusted, confined; gives the program for that.

    What a Python says of itself is where uv writes, and what it removes there. The user's cache is for other environments too.
    """
    folder = f"{place}/{_OF_UV}"
    os.mkdir(folder)
    uv.env |= {"TMPDIR": folder, "UV_CACHE_DIR": f"{folder}/cache"}
    # who makes namespaces, as the Python's confinement does, says in /proc which users are in them
    uv.confine = partial(write_alone, (place, "/proc"))
    starter = f"{folder}/python"
    # a prefix may lead to a Python of this machine
    write_starter(starter, python, (prefix_of(place), sys.base_prefix, folder), folder)
    return starter


def write_alone(writable: Sequence[str]) -> None:
    """Confines this process to write below these places alone."""
    from gitml.platform.landlock import Confinement

    confinement = Confinement(readable=["/"], writable=writable)
    confinement.enter()
    confinement.close()


def _requirement(package: PypiPackage) -> str:
    """A line of a requirements file. What PyPI has is taken from the user's own index: a mirror, perhaps."""
    if package.hash.startswith("git:"):
        return f"{package.name} @ {package.url}"
    pinned = f"=={package.version}" if package.url.startswith(_INDEXED) else f" @ {package.url}"
    return f"{package.name}{pinned} --hash={package.hash}"


def _compile(prefix: str, machine: Mapping[str, str], control: BuildControl) -> None:
    """Compiles the packages of Python, by the Python of the lock: it reads the prefix and the system, and reaches nothing.

    Where the machine can't keep it to that, nothing is compiled.
    """
    python = f"{prefix}/bin/python"
    sites = [f"{prefix}/{site}" for site in site_folders(prefix)]
    if not sites or not os.path.exists(python):
        return
    control.report("compiling the packages of Python")
    env = {"PATH": f"{prefix}/bin:{machine.get('PATH', '')}", "CONDA_PREFIX": prefix}
    stage = f"{os.path.dirname(prefix)}/{_STAGE}"
    os.mkdir(stage)
    with suppress(OSError):  # as where the machine can't confine it
        # a prefix may lead to a Python of this machine
        readable = (sys.base_prefix,)
        confinement = Isolation(strict=True, network="none", readable=readable, seen=prefix, folder=stage)
        compile_bytecode(python, sites, env, control.stop, confinement.enter)
    remove_tree(stage)
