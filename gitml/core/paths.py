"""Paths of a repository as users write them: relative, ``/`` between names, never out of the tree."""

from __future__ import annotations

import posixpath


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
    if any(part.lower() == ".git" for part in parts):
        return "a path into .git"
    if len(path) > 1000:
        return "a path of more than 1,000 characters"
    return None


def clean(path: str) -> str:
    """`path` without ``./``, ``//`` and a final ``/``."""
    return posixpath.normpath(path)


def overlaps(one: str, other: str) -> bool:
    """Whether two clean paths are the same or one lies in the other."""
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")
