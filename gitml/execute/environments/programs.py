"""Programs that steps call: where they are found, and what to do about one that is not."""

from __future__ import annotations

import re

from gitml.execute.environments.variables import find_program

_BUILTINS = frozenset(
    ("cd", "source", ".", "export", "set", "unset", "alias", "eval", "exec", "umask", "ulimit", "if", "for")
)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_OTHER_NAMES = {"python": "python3", "python3": "python"}
NOT_IN_IMAGE = "the image has no such program: name an image that has it, or a file of the repository"


def missing_program_hint(program: str, path: str) -> str:
    """What to do about a command that is not found on the search path `path`."""
    if program in _BUILTINS:
        return "it is a command of shells: add `shell: bash` to the step"
    if _ASSIGNMENT.match(program):
        return "set variables under `env:` of the step"
    other = other_python(program, path)
    if other is not None:
        return f"this machine has {other}: write {other}, or give the step a locked environment, which has {program}"
    return "install it, or name a file of the repository"


def other_python(program: str, path: str) -> str | None:
    """The name by which `path` does have the Python that a command calls by a name that is not there."""
    other = _OTHER_NAMES.get(program)
    return other if other is not None and find_program(other, path) is not None else None


def is_relative(program: str) -> bool:
    """Whether a program is named by a path of the commit."""
    return "/" in program and not program.startswith("/")
