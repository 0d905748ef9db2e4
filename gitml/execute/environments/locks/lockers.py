"""Locks of environments, made from files that lock nothing: for each kind of file the tool that does it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from gitml.core.model.environment import package_name
from gitml.core.text.toml import parse_toml
from gitml.errors import InputError
from gitml.execute.environments.build_control import BuildControl
from gitml.execute.environments.software import platform_name
from gitml.execute.environments.uv_commands import UvCommands
from gitml.execute.environments.variables import find_program

UV_LOCK = "uv.lock"
_LARGEST = 1 << 20  # bytes of a file that lists packages
_FAILED = "fix the file, or what it depends on"


class FileLockRequest(NamedTuple):
    """`source` is to be locked into `output`, both whole paths; what a lock there has is kept where it fits, unless `upgrade`.

    `as_of` is a time, as RFC 3339 has it: packages that came later don't count. `python` is the oldest Python that the lock must
    serve, `header` what the lock says it was made by. `machine` and `cache_dir` are those of `software.MachineSoftware`.
    `warn` is called with what the tool warns of. `groups` and `extras` are those of a project whose
    packages are locked too, where a lock doesn't have all of them in any case.
    """

    source: str
    output: str
    as_of: str | None
    upgrade: bool
    python: str
    header: str
    machine: Mapping[str, str]
    cache_dir: str
    control: BuildControl
    warn: Callable[[str], None]
    groups: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()


def python_packages(path: str, content: bytes) -> tuple[str, ...]:
    """``name version`` of each package that a requirements file, a ``uv.lock`` or a ``pylock.toml`` names."""
    try:
        if path.endswith(".txt"):
            from gitml.execute.environments.locks.requirements import parse_requirements

            return parse_requirements(path, content).packages()
        found = parse_toml(content)
    except ValueError:
        return ()
    packages = found.get("package", found.get("packages", []))
    versions: dict[str, list[str]] = {}
    for one in packages if isinstance(packages, list) else []:
        if isinstance(one, dict) and isinstance(one.get("name"), str):
            versions.setdefault(one["name"], []).append(str(one.get("version", "")))
    return tuple(f"{name} {', '.join(sorted(filter(None, several)))}".strip() for name, several in versions.items())


def _conda_packages(path: str, content: bytes) -> tuple[str, ...]:
    from gitml.execute.environments.conda.locks import read_lock
    from gitml.execute.environments.conda.packages import subdir_of

    try:
        return tuple(read_lock(path, content, subdir_of(platform_name())).distributions())
    except InputError:  # a lock for other platforms alone
        return ()


class Locker(NamedTuple):
    """How files of one kind are locked.

    `matches` is a pattern of their whole names in lower case. `output` gives the name of the lock beside such a file. `lock`
    writes `FileLockRequest.output`, and raises InputError in the words of its tool. `written` gives what stands at
    ``environment:`` for the paths of the file and of the lock. With `in_place` the tool chooses where the lock lies: always at
    `output`. `packages` gives ``name version`` of each package of a lock, by its path and content; empty for what can't be read.
    `chooses` is whether groups and extras of a project can be named, as the lock has only those.
    """

    matches: str
    output: Callable[[str], str]
    lock: Callable[[FileLockRequest], None]
    written: Callable[[str, str], str] = lambda source, lock: lock
    in_place: bool = False
    packages: Callable[[str, bytes], tuple[str, ...]] = python_packages
    chooses: bool = False


def _compile(request: FileLockRequest) -> None:
    format = ("--format", "pylock.toml") if request.output.endswith(".toml") else ()
    _uv(
        request,
        *("pip", "compile", os.path.basename(request.source), "--universal", "--generate-hashes"),
        *("--python", request.python, "--no-emit-index-url", "--no-emit-find-links", "-o", request.output, *format),
        *(word for name in request.groups for word in ("--group", name)),
        *(word for name in request.extras for word in ("--extra", name)),
    )


def _compile_project(request: FileLockRequest) -> None:
    """Locks the packages of a project, and those of the groups and extras that are named; says which it leaves out."""
    project = _toml(request.source)
    there = {
        "group": _names(project.get("dependency-groups")),
        "extra": _names(project.get("project", {}).get("optional-dependencies")),
    }
    left = []
    for what, asked in (("group", request.groups), ("extra", request.extras)):
        wanted = {package_name(name) for name in asked}
        known = {package_name(name): name for name in there[what]}
        for name in sorted(wanted - known.keys()):
            hint = f"its {what}s: {', '.join(there[what][:10]) or 'none'}"
            raise InputError(f"pyproject.toml has no {what} {name[:80]!r}", where=f"--{what}", hint=hint)
        missing = [name for key, name in known.items() if key not in wanted]
        left += [f"{what} {name} (--{what} {name})" for name in missing]
    _compile(request)
    if left:
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        request.warn(f"{os.path.basename(request.output)} leaves out {', '.join(left[:5])}{more}")


def _names(table: Any) -> list[str]:
    return [*table] if isinstance(table, dict) else []


def _lock_project(request: FileLockRequest) -> None:
    _check_project(request.source)
    _uv(request, "lock", "--project", os.path.dirname(request.source))


def _check_project(path: str) -> None:
    """InputError for a project that uv can't lock."""
    project = _toml(path)
    if "project" not in project:
        poetry = "poetry" in project.get("tool", {})
        hint = "poetry export -o requirements.txt" if poetry else "write a [project] table with its dependencies"
        raise InputError("it has no [project] table, which uv locks", where=path, hint=hint)
    above = os.path.dirname(os.path.dirname(path))
    while "workspace" not in project.get("tool", {}).get("uv", {}) and len(above) > 1:
        other = f"{above}/pyproject.toml"
        if os.path.isfile(other) and "workspace" in _toml(other).get("tool", {}).get("uv", {}):
            raise InputError(f"it belongs to the workspace of {other}", where=path, hint="lock that one")
        above = os.path.dirname(above)


def _toml(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            found = parse_toml(file.read())
        return {**found, "tool": {name: of for name, of in found.get("tool", {}).items() if isinstance(of, dict)}}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"it is no TOML: {error}", where=path, hint="fix the file") from None


def _lock_script(request: FileLockRequest) -> None:
    with open(request.source, "rb") as file:
        lists = any(line.rstrip() == b"# /// script" for line in file)
    if not lists:
        hint = f"uv add --script {shlex.quote(request.source)} PACKAGE"
        raise InputError("it does not list its dependencies (PEP 723)", where=request.source, hint=hint)
    _uv(request, "lock", "--script", os.path.basename(request.source))


def _lock_conda(request: FileLockRequest) -> None:
    from gitml.execute.environments.conda.environment_lock import LockRequest, lock_environment_file

    with open(request.source, "rb") as file:
        content = file.read(_LARGEST)
    until = None if request.as_of is None else datetime.fromisoformat(request.as_of)
    asked = LockRequest(request.machine, request.cache_dir, as_of=until)
    name = os.path.basename(request.source)
    text = lock_environment_file(name, content, asked, request.control)
    with open(request.output, "w", encoding="utf-8") as file_to_write:
        file_to_write.write(text)


def _lock_pixi(request: FileLockRequest) -> None:
    from gitml.execute.process import StoppedError, run

    if request.as_of is not None:
        line = f'exclude-newer = "{request.as_of}"'
        hint = f"write {line} below [workspace] of pixi.toml (pixi 0.47 or newer), and leave --as-of out"
        raise InputError("`pixi lock` takes no date; its file does", where="--as-of", hint=hint)
    if request.upgrade:
        raise InputError("`pixi lock` keeps what a lock has", where="--upgrade", hint="pixi update")
    pixi = find_program("pixi", request.machine.get("PATH", ""))
    if pixi is None:
        raise InputError("pixi is not installed, which locks its projects", where=request.source, hint="install pixi")
    said = bytearray()
    words = ("pixi", "lock", "--manifest-path", request.source, "--no-progress")
    ended = run(pixi, words, {**request.machine, "NO_COLOR": "1"}, said.extend, request.control.stop)
    if ended.stopped:
        raise StoppedError
    if ended.code != 0:
        lines = " ".join(said.decode("utf-8", "replace").split())[-1000:]
        raise InputError(f"pixi could not lock it: {lines or f'exit status {ended.code}'}", hint=_FAILED)


def _uv(request: FileLockRequest, *words: str) -> None:
    uv = UvCommands(request.machine, request.cache_dir, request.control.stop, request.control.report)
    uv.env["UV_CUSTOM_COMPILE_COMMAND"] = request.header
    words = (*words, "--upgrade") if request.upgrade else words
    words = (*words, "--exclude-newer", request.as_of) if request.as_of is not None else words
    mend = _FAILED if request.as_of is None else f"take a later --as-of, or {_FAILED}"
    request.control.report("resolving what is to be installed")
    called_from = os.getcwd()
    os.chdir(os.path.dirname(request.source))  # whose settings of uv count
    try:
        said = uv.run(*words, purpose=f"lock {os.path.basename(request.source)}", hint=mend)
    finally:
        os.chdir(called_from)
    for line in said.splitlines():
        if line.startswith("warning: "):
            request.warn(line.removeprefix("warning: "))


def _lock_name(name: str) -> str:
    stem, ending = os.path.splitext(name)
    if ending == ".in":
        return f"{stem}.txt"
    return "requirements.lock.txt" if name in ("setup.py", "setup.cfg") else f"{stem}.lock.txt"


LOCKERS: dict[str, Locker] = {
    "project": Locker(r"pyproject\.toml", lambda name: UV_LOCK, _lock_project, in_place=True),
    "setuptools": Locker(r"setup\.(py|cfg)", _lock_name, _compile),
    "script": Locker(
        r".*\.py",
        lambda name: f"{name}.lock",
        _lock_script,
        lambda source, lock: f"{{script: {source}}}",
        in_place=True,
    ),
    "conda": Locker(
        r"environment.*\.ya?ml|.*[.-]environment\.ya?ml",
        lambda name: "conda-lock.yml",
        _lock_conda,
        packages=_conda_packages,
    ),
    "pixi": Locker(r"pixi\.toml", lambda name: "pixi.lock", _lock_pixi, in_place=True, packages=_conda_packages),
    "requirements": Locker(r".*\.(txt|in)", _lock_name, _compile),
}
"""By the kind of file. Of those that match a name the first counts."""

COMPILED = Locker(r"pyproject\.toml", _lock_name, _compile_project, chooses=True)
"""What locks a project into an output of another kind than its own: a requirements file, or ``pylock.toml``."""


def locker_for(path: str, output: str | None) -> Locker:
    """What locks the file at `path`, into `output` where one is named; InputError for a file that nothing here locks."""
    from gitml.core.kinds.environment_kinds import kind_told_by
    from gitml.core.kinds.unlocked_files import unlocked_file

    name = os.path.basename(path)
    found = next((one for one in LOCKERS.values() if re.fullmatch(one.matches, name.lower())), None)
    if found is None:
        known = unlocked_file(path)
        if kind_told_by(path) is not None:
            raise InputError("it is a lock already", where=path, hint=f"write environment: {path}")
        if known is None:
            kinds = "requirements*.txt, *.in, pyproject.toml, setup.py, setup.cfg, environment.yml, scripts"
            raise InputError("nothing is known that locks this file", where=path, hint=f"it locks {kinds}")
        raise InputError(f"it is {known[0]}", where=path, hint=known[1])
    if output is None or os.path.basename(output) == found.output(name) or not found.in_place:
        return found
    if name != "pyproject.toml" or not output.endswith((".txt", ".toml")):
        raise InputError(f"its lock is {found.output(name)}, beside it", where=output, hint="leave -o out")
    return COMPILED
