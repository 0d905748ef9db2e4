"""Locks of environments, made from files that lock nothing: for each kind of file the tool that does it."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gitml.errors import InputError
from gitml.execute.environments.uv_commands import UvCommands
from gitml.execute.process import StopRequests

UV_LOCK = "uv.lock"
_FAILED = "fix the file, or what it depends on"


class LockRequest(NamedTuple):
    """`source` is to be locked into `output`, both whole paths; what a lock there has is kept where it fits, unless `upgrade`.

    `as_of` is a time, as RFC 3339 has it: packages that came later don't count. `python` is the oldest Python that the lock must
    serve, `header` what the lock says it was made by. `machine` and `cache_dir` are those of `software.MachineSoftware`.
    `report` is called with what goes on, `warn` with what the tool warns of.
    """

    source: str
    output: str
    as_of: str | None
    upgrade: bool
    python: str
    header: str
    machine: Mapping[str, str]
    cache_dir: str
    stop: StopRequests
    report: Callable[[str], None]
    warn: Callable[[str], None]


class Locker(NamedTuple):
    """How files of one kind are locked.

    `matches` is a pattern of their whole names in lower case. `output` gives the name of the lock beside such a file. `lock`
    writes `LockRequest.output`, and raises InputError in the words of its tool. `written` gives what stands at ``environment:``
    for the paths of the file and of the lock. With `in_place` the tool chooses where the lock lies: always at `output`.
    """

    matches: str
    output: Callable[[str], str]
    lock: Callable[[LockRequest], None]
    written: Callable[[str, str], str] = lambda source, lock: lock
    in_place: bool = False


def _compile(request: LockRequest) -> None:
    format = ("--format", "pylock.toml") if request.output.endswith(".toml") else ()
    _uv(
        request,
        *("pip", "compile", os.path.basename(request.source), "--universal", "--generate-hashes"),
        *("--python", request.python, "--no-emit-index-url", "--no-emit-find-links", "-o", request.output, *format),
    )


def _lock_project(request: LockRequest) -> None:
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
            found = tomllib.load(file)
        return {**found, "tool": {name: of for name, of in found.get("tool", {}).items() if isinstance(of, dict)}}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"it is no TOML: {error}", where=path, hint="fix the file") from None


def _lock_script(request: LockRequest) -> None:
    with open(request.source, "rb") as file:
        lists = any(line.rstrip() == b"# /// script" for line in file)
    if not lists:
        name = os.path.basename(request.source)
        raise InputError(
            "it does not list its dependencies (PEP 723)", where=request.source, hint=f"uv add --script {name} PACKAGE"
        )
    _uv(request, "lock", "--script", os.path.basename(request.source))


def _uv(request: LockRequest, *words: str) -> None:
    uv = UvCommands(request.machine, request.cache_dir, request.stop)
    uv.env["UV_CUSTOM_COMPILE_COMMAND"] = request.header
    words = (*words, "--upgrade") if request.upgrade else words
    words = (*words, "--exclude-newer", request.as_of) if request.as_of is not None else words
    request.report("resolving what is to be installed")
    called_from = os.getcwd()
    os.chdir(os.path.dirname(request.source))  # whose settings of uv count
    try:
        said = uv.run(*words, purpose=f"lock {os.path.basename(request.source)}", hint=_FAILED)
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
    "requirements": Locker(r".*\.(txt|in)", _lock_name, _compile),
}
"""By the kind of file. Of those that match a name the first counts."""

COMPILED = LOCKERS["requirements"]
"""What locks a file into an output of another kind than its own: a requirements file, or ``pylock.toml``."""


def locker_for(path: str, output: str | None) -> Locker:
    """What locks the file at `path`, into `output` where one is named; InputError for a file that nothing here locks."""
    from gitml.core.kinds.unlocked_files import unlocked_file

    name = os.path.basename(path)
    found = next((one for one in LOCKERS.values() if re.fullmatch(one.matches, name.lower())), None)
    if found is None:
        known = unlocked_file(path)
        if known is None:
            kinds = "requirements*.txt, *.in, pyproject.toml, setup.py, setup.cfg, a script with its dependencies"
            raise InputError("nothing is known that locks this file", where=path, hint=f"it locks {kinds}")
        raise InputError(f"it is {known[0]}", where=path, hint=known[1])
    if output is None or os.path.basename(output) == found.output(name):
        return found
    if not found.in_place:
        return found
    if name.lower().endswith(".py") or not output.endswith((".txt", ".toml")):
        raise InputError(f"its lock is {found.output(name)}, beside it", where=output, hint="leave -o out")
    return COMPILED
