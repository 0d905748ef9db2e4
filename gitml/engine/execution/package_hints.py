"""How to have a package that a failed step missed: by the environment that it ran in, and what lists the project's packages."""

from __future__ import annotations

import re
import sys

from gitml.core.kinds.environment_kinds import IMAGE, VENV
from gitml.core.kinds.unlocked_files import lock_command, unlocked_file
from gitml.core.model.environment import HOST
from gitml.core.model.graph import GraphStep
from gitml.core.model.protocols import Source

_LOCKS = (
    r"uv\.lock",
    r"pylock(\.[^.]+)?\.toml",
    r"pixi\.lock",
    r"conda-lock\.ya?ml",
    r"requirements[^/]*\.lock(\.txt)?",
)
_LISTS = (
    r"poetry\.lock|pdm\.lock|Pipfile\.lock|Pipfile",
    r"pyproject\.toml",
    r"requirements\.(txt|in)",
    r"requirements[^/]*\.(txt|in)",
    r"environment\.ya?ml",
    r"setup\.(cfg|py)",
)


def package_hint(source: Source, step: GraphStep, module: str) -> str | None:
    """The hint for a module that no file of the commit has; None for those of Python itself, and where nothing is known."""
    environment = step.settings.environment
    if module.partition(".")[0] in sys.stdlib_module_names or step.module is not None or environment.kind == IMAGE:
        return None
    if environment.kind == VENV:
        return f"no package in {environment.name} has {module}: install it there"
    if environment.kind != HOST:
        where = environment.name or environment.kind
        return f"no package of {where} has {module}: add its package to what that is made from, and lock again"
    names = sorted(source.top())
    lock = _first(_LOCKS, names)
    if lock is not None:
        return f"no package that is installed here has {module}: have the project's, environment: {lock}"
    listed = _first(_LISTS, names)
    if listed is None:
        return None
    known = unlocked_file(listed)
    command = known[1] if known is not None else lock_command(listed)
    return f"no package that is installed here has {module}: install what {listed} lists, or lock it: {command}"


def _first(patterns: tuple[str, ...], names: list[str]) -> str | None:
    """The first of the names that the earliest pattern matches."""
    return next((name for pattern in patterns for name in names if re.fullmatch(pattern, name)), None)
