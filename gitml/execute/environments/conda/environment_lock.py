"""Locks an ``environment.yml``: conda packages are solved by py-rattler, requirements of pip by uv, for each platform."""

from __future__ import annotations

import os
import posixpath
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from gitml import layout
from gitml.errors import InputError
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.conda.lock_writer import CondaLockEntry, conda_lock_text
from gitml.execute.environments.conda.locks import read_lock
from gitml.execute.environments.conda.loose_environment import LooseEnvironment, no_pip, read_environment_file
from gitml.execute.environments.conda.packages import platform_of, subdir_of
from gitml.execute.environments.conda.prefixes import run_rattler
from gitml.execute.environments.software import platform_name
from gitml.execute.environments.uv_commands import UvCommands
from gitml.execute.process import StopRequests

LOCK = "conda-lock.yml"
# what machines of a platform have at least, for packages that ask for it; CONDA_OVERRIDE_CUDA and the like say otherwise
_VIRTUAL = {
    "linux": (("__unix", "0"), ("__linux", "4.18"), ("__glibc", "2.28")),
    "osx": (("__unix", "0"), ("__osx", "14.0")),
}
_ARCHITECTURES = {"64": "x86_64", "arm64": "m1"}
_UV_PLATFORMS = {
    "linux-64": "x86_64-manylinux_2_28",
    "linux-aarch64": "aarch64-manylinux_2_28",
    "osx-64": "x86_64-apple-darwin",
    "osx-arm64": "aarch64-apple-darwin",
}
_GLIBC = "glibc 2.28"
_OF_PYPI = {
    "pytorch": "torch",
    "matplotlib-base": "matplotlib",
    "opencv": "opencv-python",
    "msgpack-python": "msgpack",
    "pytables": "tables",
    "pyqt": "pyqt5",
}
"""What conda packages are called on PyPI, where it is something else."""
_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*((a|b|rc|\.post|\.dev)[0-9]+)?")
_NOT_SOLVED = "loosen the versions, add a channel, or lock for fewer platforms"


class LockRequest(NamedTuple):
    """`platforms` are subdirs such as ``linux-64``; without any those of the file count, else this machine's.

    Packages that came after `as_of` are not there. `machine` has the user's variables, and `cache_dir` is gitml's.
    """

    machine: Mapping[str, str]
    cache_dir: str
    platforms: Sequence[str] = ()
    as_of: datetime | None = None


def lock_environment_file(path: str, content: bytes, request: LockRequest, control: BuildControl) -> str:
    """The text of a ``conda-lock.yml`` for the environment.yml in `content`; `path` is what errors and the lock call it.

    InputError in the solver's words where there is no solution, StoppedError when `control.stop` asks.
    """
    asked = read_environment_file(path, content)
    subdirs = _subdirs(path, asked, request)
    if asked.left_out:
        control.report(f"left out: {', '.join(asked.left_out)[:200]} (variables belong under env: of a step)")
    os.makedirs(request.cache_dir, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=request.cache_dir, prefix="lock-") as folder:
        solved = _solved(path, asked, subdirs, request, folder, control)
        if asked.pip:
            for subdir in subdirs:
                control.report(f"locking {len(asked.pip)} requirements of pip for {subdir}")
                solved[subdir] += _pip_entries(path, asked, solved[subdir], subdir, request, folder, control.stop)
    text = conda_lock_text(posixpath.basename(path), asked, solved)
    for subdir in subdirs:  # what gitml could not read must not be committed
        read_lock(LOCK, text.encode("utf-8"), subdir)
    return text


def _subdirs(path: str, asked: LooseEnvironment, request: LockRequest) -> list[str]:
    subdirs = sorted(set(request.platforms or asked.platforms or (subdir_of(platform_name()),)))
    for subdir in subdirs:
        if subdir.partition("-")[0] not in _VIRTUAL:
            hint = "such as linux-64, linux-aarch64, osx-arm64"
            raise InputError(f"{subdir[:60]!r} is not a platform that steps run on", where=path, hint=hint)
    return subdirs


def _solved(
    path: str,
    asked: LooseEnvironment,
    subdirs: Iterable[str],
    request: LockRequest,
    folder: str,
    control: BuildControl,
) -> dict[str, list[CondaLockEntry]]:
    platforms = {subdir: _virtual_packages(subdir, request.machine) for subdir in subdirs}
    wanted: dict[str, Any] = {
        "channels": asked.channels,
        "specs": asked.specs,
        "platforms": platforms,
        "until": None if request.as_of is None else request.as_of.timestamp(),
        "cache": os.path.join(request.cache_dir, layout.CONDA_CHANNELS),
    }
    try:
        found = run_rattler("solve", wanted, f"{folder}/request.json", request.machine, control)
    except InputError as error:
        if "SolverError" in error.message:
            error.hint = _NOT_SOLVED
        error.where = path
        raise
    return {
        subdir: [_conda_entry(path, subdir, record) for record in found["platforms"][subdir]] for subdir in platforms
    }


def _conda_entry(path: str, subdir: str, record: Mapping[str, Any]) -> CondaLockEntry:
    if not record["sha256"]:
        hint = "take it from a channel that lists sha256"
        raise InputError(f"the channel has no sha256 of {record['name']}", where=path, hint=hint)
    digests = {kind: record[kind] for kind in ("md5", "sha256") if record[kind]}
    depends = {name: rest.strip() for name, _, rest in (one.partition(" ") for one in record["depends"])}
    return CondaLockEntry("conda", record["name"], record["version"], subdir, record["url"], digests, depends)


def _virtual_packages(subdir: str, machine: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """What is taken for granted of a machine, as (name, version, build)."""
    system, _, bits = subdir.partition("-")
    found = dict(_VIRTUAL[system])
    for name in ("__glibc", "__linux", "__osx", "__cuda"):
        given = machine.get(f"CONDA_OVERRIDE_{name.strip('_').upper()}")
        if given and (name in found or (name == "__cuda" and system == "linux")):
            found[name] = given
    architecture = _ARCHITECTURES.get(bits, bits)
    return [*[(name, version, "0") for name, version in found.items()], ("__archspec", "1", architecture)]


def _pip_entries(
    path: str,
    asked: LooseEnvironment,
    conda: Sequence[CondaLockEntry],
    subdir: str,
    request: LockRequest,
    folder: str,
    stop: StopRequests,
) -> list[CondaLockEntry]:
    """What pip would install beside the conda packages of a platform, which count as installed."""
    python = next((entry.version for entry in conda if entry.name == "python"), None)
    if python is None:
        raise no_pip(path, subdir)
    platform = _UV_PLATFORMS.get(subdir)
    if platform is None:
        hint = "take these packages from conda, under dependencies"
        raise InputError(f"requirements of pip can't be locked for {subdir}", where=path, hint=hint)
    names_there = ((_OF_PYPI.get(entry.name, entry.name), entry.version) for entry in conda)
    there = {re.sub(r"[-_.]+", "-", name): version for name, version in names_there}
    names = {name: f"{folder}/{name}" for name in ("requirements.in", "constraints.txt", "pylock.toml")}
    with open(names["requirements.in"], "w") as file:
        file.writelines(f"{line}\n" for line in asked.pip)
    with open(names["constraints.txt"], "w") as file:
        file.writelines(f"{name}=={version}\n" for name, version in there.items() if _VERSION.fullmatch(version))
    arguments = ["pip", "compile", "--format", "pylock.toml", "--quiet", "--python-platform", platform]
    arguments += ["--python-version", python, "--constraints", names["constraints.txt"], "-o", names["pylock.toml"]]
    if request.as_of is not None:
        arguments += ["--exclude-newer", request.as_of.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")]
    uv = UvCommands(request.machine, request.cache_dir, stop)
    uv.run(*arguments, names["requirements.in"], purpose="lock the requirements of pip", hint=_NOT_SOLVED)
    with open(names["pylock.toml"], "rb") as file:
        return _entries_of_pylock(path, file.read(), subdir, python, there)


def _entries_of_pylock(
    path: str, text: bytes, subdir: str, python: str, there: Mapping[str, str]
) -> list[CondaLockEntry]:
    import tomllib

    from packaging.pylock import Pylock

    from gitml.execute.environments.locks.target import target_of

    target = target_of(platform_of(subdir), python, libc=_GLIBC)
    lock = Pylock.from_dict(tomllib.loads(text.decode("utf-8")))
    found = []
    for package, file in lock.select(environment=target.markers(), tags=target.tags()):  # type: ignore[arg-type]
        if package.name in there:
            continue
        digests = dict(getattr(file, "hashes", {}))
        url = getattr(file, "url", None)
        if url is None or "sha256" not in digests:
            hint = "name a released version of it, of an index"
            raise InputError(f"{package.name} under pip has no file with a sha256", where=path, hint=hint)
        found.append(
            CondaLockEntry("pip", package.name, str(package.version), subdir, url, {"sha256": digests["sha256"]}, {})
        )
    return found
