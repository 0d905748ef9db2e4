"""Builds an isolated environment with uv: once on a machine, complete or not there at all."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from gitml import layout
from gitml.errors import InputError
from gitml.execute.environments.interpreters import PythonInterpreter
from gitml.execute.environments.locks.requirements import parse_requirements
from gitml.execute.environments.variables import find_program
from gitml.execute.process import NONE, StoppedError, StopRequests, run
from gitml.execute.sandbox.removal import remove_tree
from gitml.permissions import can_be_written

MARKER = "built.json"
_TAIL = 4000


def built_at(place: str) -> tuple[str, ...] | None:
    """The folders beside `place` that the environment there reads; None when none is complete there."""
    try:
        with open(f"{place}/{MARKER}", "rb") as file:
            facts = json.load(file)
    except (OSError, ValueError):
        return None
    # the Python it was made from may have been removed since
    return tuple(facts["roots"]) if os.path.exists(f"{place}/bin/python") else None


def build(
    place: str,
    requirements: bytes,
    python: PythonInterpreter,
    machine: Mapping[str, str],
    stop: StopRequests,
    report: Callable[[str], None],
) -> tuple[str, ...]:
    """The environment at `place`, built if it is not; gives the folders beside it that it reads.

    Of processes that need it at once one builds and the others wait. InputError in uv's words when it fails; nothing is left
    then. StoppedError when `stop` asks.
    """
    roots = built_at(place)
    if roots is not None:
        return roots
    os.makedirs(os.path.dirname(place), exist_ok=True)
    lock = os.open(f"{place}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _lock(lock, stop, report)
        roots = built_at(place)
        if roots is not None:
            return roots
        report("building the environment")
        remove_tree(place)
        try:
            return _build(place, requirements, python, machine, stop)
        except BaseException:
            remove_tree(place)
            raise
    finally:
        os.close(lock)


def _build(
    place: str, requirements: bytes, python: PythonInterpreter, machine: Mapping[str, str], stop: StopRequests
) -> tuple[str, ...]:
    uv = _uv(machine)
    env = {name: value for name, value in machine.items() if name not in ("VIRTUAL_ENV", "CONDA_PREFIX", "UV_PYTHON")}
    env = {name: value for name, value in env.items() if not name.startswith(("PYTHON", "GIT_"))}
    env.update(NO_COLOR="1", UV_NO_PROGRESS="1", UV_PYTHON_DOWNLOADS="never")
    if "UV_CACHE_DIR" not in env and not can_be_written(os.path.join(layout.user_cache(env), "uv")):
        env["UV_CACHE_DIR"] = os.path.join(os.path.dirname(os.path.dirname(place)), "uv")
    called_from = os.getcwd()
    os.chdir(os.path.dirname(place))
    try:
        _uv_run((uv, "venv", "--no-project", "--python", python.executable, place), env, stop, "make the environment")
        path = f"{place}/requirements.txt"
        with open(path, "wb") as file:
            file.write(requirements)
        locked = parse_requirements("requirements", requirements)
        inside = ("--python", f"{place}/bin/python")
        sync = [uv, "pip", "sync", "--compile-bytecode", *inside, path]
        if locked.hashed:
            sync.append("--require-hashes")
        if not locked.lines:
            sync.append("--allow-empty-requirements")
        _uv_run(tuple(sync), env, stop, "install the requirements")
        _uv_run((uv, "pip", "check", *inside), env, stop, "use the requirements: the file is not fully locked")
        version = _uv_run((uv, "--version"), env, stop, "ask uv for its version").strip()
    finally:
        os.chdir(called_from)
    facts: dict[str, Any] = {"python": python.name, "uv": version, "roots": python.roots}
    with open(f"{place}/{MARKER}.part", "w") as marker:
        json.dump(facts, marker)
        marker.flush()
        os.fsync(marker.fileno())
    os.rename(f"{place}/{MARKER}.part", f"{place}/{MARKER}")
    return python.roots


# what uv says of a failed build that is not the reason, and the words of those that a network is the reason of
_BESIDE = ("Using Python ", "Resolved ", "Prepared ")
_OF_THE_NET = ("connect", "dns error", "timed out", "network", "certificate")


def _uv_run(argv: tuple[str, ...], env: Mapping[str, str], stop: StopRequests, purpose: str) -> str:
    said = bytearray()

    def keep(chunk: bytes) -> None:
        said.extend(chunk)
        del said[:-_TAIL]

    ended = run(argv[0], argv, env, keep, stop)
    if ended.stopped:
        raise StoppedError
    text = said.decode("utf-8", "replace")
    if ended.code != 0:
        lines = [line.strip(" │╰╴─▶\u00d7├") for line in text.strip().splitlines()[-12:]]
        words = " ".join(line for line in lines if not line.startswith(_BESIDE))
        hint = "compile the file again: uv pip compile requirements.in -o requirements.txt"
        if any(sign in words.lower() for sign in _OF_THE_NET):
            hint = "see whether the package index can be reached: UV_DEFAULT_INDEX, HTTPS_PROXY …"
        raise InputError(f"uv could not {purpose}: {words or f'exit status {ended.code}'}", hint=hint)
    return text


def _uv(machine: Mapping[str, str]) -> str:
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = find_program("uv", machine.get("PATH", ""))
        if found is None:
            raise InputError("uv is not installed; it builds environments", hint="pip install uv") from None
        return found


def _lock(lock: int, stop: StopRequests, report: Callable[[str], None]) -> None:
    import fcntl

    reported = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if stop.requested() != NONE:
                raise StoppedError from None
            if not reported:
                report("waiting for another process that builds the environment")
                reported = True
            time.sleep(0.05)
