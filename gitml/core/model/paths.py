"""Paths of a repository as users write them: relative, ``/`` between names, never out of the tree."""

from __future__ import annotations

import posixpath
import re

# As Git itself refuses names (core.protectNTFS, core.protectHFS): what these file systems take for ``.git`` too.
_NTFS = re.compile(r"(?:\.git|git~1)[ .]*(?:\Z|[:\\/])", re.IGNORECASE)
_UNSEEN_ON_HFS = dict.fromkeys((*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF))


FROM_TOP = "//"
"""What a path begins with that counts from the top of the repository, whichever project names it."""
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
    if path.startswith(FROM_TOP) and not path.startswith("///"):
        return "a path from the top of the repository ('//'), which only code, sources of inputs and files of settings can be"
    if path.startswith(("/", "~")):
        return "an absolute path; paths are relative to the repository"
    if "\\" in path:
        return "a path with a backslash; names are separated by '/'"
    parts = path.rstrip("/").split("/")
    if ".." in parts:
        return "a path that leaves the tree ('..')"
    if any(is_git_name(part) for part in parts):
        return "a path into .git"
    if len(path) > 1000:
        return "a path of more than 1,000 characters"
    return None


def problem_with_named(path: str) -> str | None:
    """The same of a path that may count from the top of the repository: ``//shared/lib.py``."""
    if not path.startswith(FROM_TOP) or path.startswith("///"):
        return problem_with(path)
    below = path.removeprefix(FROM_TOP)
    if clean(below or ".") == ".":
        return "the whole repository"
    return problem_with(below)


def from_project(path: str, project: str) -> tuple[str, str | None]:
    """A path that a pipeline file names, clean and counted from its project, and what is wrong with it.

    Where it begins with ``//`` and lies beside the project, it begins with ``..`` then; no other does.
    """
    problem = problem_with_named(path)
    if problem is not None or not path.startswith(FROM_TOP):
        return clean(path) if path else path, problem
    whole = clean(path.removeprefix(FROM_TOP))
    if not project:
        return whole, None
    if f"{project}/".startswith(f"{whole}/"):
        return whole, f"a folder that holds the project {project}/: name what is meant in it"
    return posixpath.relpath(f"/{whole}", f"/{project}"), None


def from_top(path: str, project: str) -> str:
    """A path that counts from a project, counted from the top of the repository."""
    return posixpath.normpath(f"{project}/{path}") if project else path


def is_beside(path: str) -> bool:
    """Whether a path that counts from a project lies beside it: one that a pipeline file writes with ``//``."""
    return path.startswith("../")


def as_named(path: str, project: str) -> str:
    """A clean path of the repository as a pipeline file of the project names it."""
    if not project:
        return path
    return path.removeprefix(f"{project}/") if path.startswith(f"{project}/") else FROM_TOP + path


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
