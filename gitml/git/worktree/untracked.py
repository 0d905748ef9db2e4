"""The untracked files of a work tree that Git is not told to ignore, found only where somebody looks."""

from __future__ import annotations

import os
from collections.abc import Iterable

from gitml.errors import InputError
from gitml.git.command import Location, git


class Untracked:
    """`listed` is as `git status` lists them: files, and folders (ending in ``/``) that hold no tracked file."""

    def __init__(self, location: Location, listed: Iterable[str]) -> None:
        self._location = location
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._nested: set[str] = set()
        for path in listed:
            (self._folders if path.endswith("/") else self._files).add(path)

    @property
    def none(self) -> bool:
        """Whether there are none at all."""
        return not self._files and not self._folders and not self._nested

    def at(self, path: str) -> list[str]:
        """The files at or below `path`, in order. InputError when one lies in a repository of its own."""
        if path in self._files:
            return [path]
        if path and not os.path.lexists(os.path.join(self._location.folder, path)):
            return []
        below = path and path + "/"
        for folder in list(self._folders):
            if folder.startswith(below) or path.startswith(folder):
                self._expand(folder)
        for nested in self._nested:
            if nested.startswith(below) or path.startswith(nested):
                raise InputError(
                    "this folder is a Git repository of its own, so its files can't be recorded",
                    where=nested,
                    hint="add it as a submodule, remove its .git, or name it in .gitignore",
                )
        return sorted([found for found in self._files if found == path or found.startswith(below)])

    def _expand(self, folder: str) -> None:
        """Replaces a folder by the files in it."""
        args = ("ls-files", "--others", "--exclude-standard", "-z", "--", f":(top,literal){folder}")
        listed = os.fsdecode(git(self._location, *args)).split("\0")[:-1]
        self._folders.discard(folder)
        self._nested.update([path for path in listed if path.endswith("/")])
        self._files.update([path for path in listed if not path.endswith("/")])
