"""Which environment a project has already, by the files at its top: for who starts to use gitml in it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from gitml.core.kinds.unlocked_files import lock_command, unlocked_file
from gitml.core.model.protocols import Source
from gitml.errors import InputError

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LARGEST = 8 << 20  # bytes of a file that is looked into
_LOCKS = (r"uv\.lock", r"pylock(\.[^.]+)?\.toml", r"pixi\.lock", r"conda-lock\.ya?ml")
_REQUIREMENTS = r"requirements[^/]*\.txt"
_FOREIGN = (r"poetry\.lock", r"pdm\.lock", r"Pipfile(\.lock)?", r"renv\.lock")  # which other tools install from
_BELOW = ("requirements.txt", "requirements.in", "environment.yml", "environment.yaml")
_OF_ENVIRONMENTS = ("conda", "env", "environment", "environments", "envs", "requirements", "src")
_NOT_OF_STEPS = frozenset(("doc", "docs", "test", "tests", "examples", "node_modules"))
_LOOSE = (
    *_FOREIGN,
    r"pyproject\.toml",
    r"requirements[^/]*\.(txt|in)",
    r"environment\.ya?ml",
    r"pixi\.toml",
    r"setup\.(py|cfg)",
)


class ProjectEnvironment(NamedTuple):
    """`written` is what stands at ``environment:``; ``host`` where there is nothing better.

    `lock` is the command that locks what the project lists only loosely, None where it has a lock, or lists nothing.
    """

    written: str
    lock: str | None = None


def project_environment(top: str, source: Source) -> ProjectEnvironment:
    """A lock in the folder `top`, of several the one that holds most; else its own virtual environment, else the host.

    Where nothing at the top lists packages, a lock in a folder for environments, such as ``env/requirements.txt``, counts too.
    `source` has the same files. A package that uv would install from them is installed beside what its lock names.
    """
    names = sorted(name for name in os.listdir(top) if _PLAIN.fullmatch(name))
    files = [name for name in names if os.path.isfile(os.path.join(top, name))]
    for pattern in _LOCKS:
        for name in files:
            if re.fullmatch(pattern, name) and (name != "uv.lock" or "pyproject.toml" in files):
                installs = name == "uv.lock" and _is_package(top, source)
                return ProjectEnvironment("{uv: uv.lock, install: .}" if installs else name)
    for name in files:
        if re.fullmatch(_REQUIREMENTS, name) and _is_locked(top, name):
            return ProjectEnvironment(name)
    venv = os.path.isfile(os.path.join(top, ".venv", "pyvenv.cfg"))
    loose = next((name for pattern in _LOOSE for name in files if re.fullmatch(pattern, name)), None)
    if loose is None and not venv:
        locked = _below(top, [name for name in names if name in _OF_ENVIRONMENTS], locked=True)
        if locked is not None:
            return ProjectEnvironment(locked)
    loose = loose or _below(top, names, locked=False)
    lock = None
    if loose is not None:
        known = unlocked_file(loose)
        lock = known[1] if known is not None else lock_command(loose)
    if venv:
        return ProjectEnvironment("{venv: .venv}", lock)
    return ProjectEnvironment("host", lock)


def _is_package(top: str, source: Source) -> bool:
    """Whether the ``uv.lock`` in `top` has the project itself as a package, and its modules are found."""
    from gitml.core.planner.project_package import own_package
    from gitml.execute.environments.locks.uv_lock import has_package

    with open(os.path.join(top, "uv.lock"), "rb") as file:
        return has_package(file.read(_LARGEST)) and own_package(source) is not None


def _below(top: str, names: Sequence[str], *, locked: bool) -> str | None:
    """The first list of packages in a folder at the top, such as ``env/requirements.txt``; None where there is none.

    With `locked` one that locks them, else one that does not.
    """
    found = (f"{folder}/{name}" for folder in names if folder not in _NOT_OF_STEPS for name in _BELOW)
    files = (path for path in found if os.path.isfile(os.path.join(top, path)))
    return next((path for path in files if _is_locked(top, path) is locked), None)


def _is_locked(top: str, name: str) -> bool:
    from gitml.execute.environments.locks.requirements import parse_requirements

    try:
        with open(os.path.join(top, name), "rb") as file:
            return bool(parse_requirements(name, file.read(_LARGEST)).lines)
    except (OSError, InputError):
        return False
