"""Names that no folder of others may hold, since Git would obey what lies there."""

from __future__ import annotations

from collections.abc import Iterable

from gitml.core.model.paths import is_git_name
from gitml.core.records.special_files import is_bare_repository


def problem_with_names(names: Iterable[str]) -> tuple[str, str] | None:
    """(name, why) of the first of the names of a folder that makes a repository of it; None when none does."""
    names = list(names)
    for name in names:
        if is_git_name(name):
            return name, "git, or a file system, takes it for the settings of a repository"
    if is_bare_repository(names):
        return "HEAD", "git takes the folder for a bare repository, and obeys the settings in it"
    return None
