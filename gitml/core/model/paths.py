"""Paths of a repository as users write them: relative, ``/`` between names, never out of the tree."""

from __future__ import annotations

import posixpath
import re

# As Git itself refuses names (core.protectNTFS, core.protectHFS): what these file systems take for ``.git`` too.
_NTFS = re.compile(r"(?:\.git|git~1)[ .]*(?:\Z|[:\\/])", re.IGNORECASE)
_UNSEEN_ON_HFS = dict.fromkeys((*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF))


PIPELINES = "pipelines"
"""The folder of a project that holds its pipeline files."""


def project_of_file(path: str) -> str:
    """The project of a pipeline file at a path of the repository; the top is ``""``."""
    folder = posixpath.dirname(path)
    return posixpath.dirname(folder) if posixpath.basename(folder) == PIPELINES else ""


def is_git_name(name: str) -> bool:
    """Whether some file system takes this name for ``.git``, where Git looks for settings that run commands."""
    if not name.isascii():
        name = name.translate(_UNSEEN_ON_HFS)
    if "git" not in name.lower():
        return False
    return any(_NTFS.match(part) for part in name.split("\\"))


def problem_with(path: str) -> str | None:
    """Why `path` can't name something in the tree, as words; None when it can."""
    if not path:
        return "an empty path"
    if "\0" in path or "\n" in path:
        return "a path with control characters"
    if path.startswith(("/", "~")):
        return "an absolute path; paths are relative to the repository"
    if "\\" in path:
        return "a backslash in a path; names are separated by '/'"
    parts = path.rstrip("/").split("/")
    if ".." in parts:
        return "a path that leaves the tree ('..')"
    if any(is_git_name(part) for part in parts):
        return "a path into .git"
    if len(path) > 1000:
        return "a path of more than 1,000 characters"
    return None


def problem_with_output(path: str) -> str | None:
    """Why nothing a step makes can lie at `path`, as words; None when it can."""
    problem = problem_with(path)
    if problem is None and clean(path) == ".":
        return "the whole tree"
    return problem


def clean(path: str) -> str:
    """`path` without ``./``, ``//`` and a final ``/``."""
    return posixpath.normpath(path)


def overlaps(one: str, other: str) -> bool:
    """Whether two clean paths are the same or one lies in the other."""
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")
