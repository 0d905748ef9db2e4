"""What the owner of a bare repository allows to be run when it is pushed to: in the repository's own configuration.

Never what is pushed decides: who may push could otherwise run anything on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from gitml.git.command import Location, git

_BRANCH, _PIPELINE = "gitml.runBranch", "gitml.runPipeline"


class Allowed(NamedTuple):
    """Patterns of branches whose pushed commits run, and of pipelines that do; no branch: nothing runs."""

    branches: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ("*",)


def read_allowed(location: Location) -> Allowed:
    """What is allowed now."""
    return Allowed(_values(location, _BRANCH), _values(location, _PIPELINE) or ("*",))


def write_allowed(location: Location, allowed: Allowed) -> None:
    """Replaces what is allowed."""
    for name, values in ((_BRANCH, allowed.branches), (_PIPELINE, allowed.pipelines)):
        _forget(location, name)
        for value in values:
            git(location, "config", "--local", "--add", name, value)


def forget_allowed(location: Location) -> None:
    """Allows nothing, and leaves no word of it."""
    for name in (_BRANCH, _PIPELINE):
        _forget(location, name)


def _values(location: Location, name: str) -> tuple[str, ...]:
    answer = git(location, "config", "--local", "-z", "--get-all", name, check=False)
    return tuple(os.fsdecode(answer).split("\0")[:-1])


def _forget(location: Location, name: str) -> None:
    if _values(location, name):
        git(location, "config", "--local", "--unset-all", name)


def problem_with_pattern(texts: Sequence[str]) -> str | None:
    """The first text that can't be a pattern of names, as Git's configuration would have to hold it."""
    return next((text for text in texts if not text.strip() or text.startswith("-") or not text.isprintable()), None)
