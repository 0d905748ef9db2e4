"""What `git status` reports of the work tree, untracked files where they are looked for, and files read as they lie there."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterable
from typing import IO, NamedTuple

from gitml.errors import InputError, IntegrityError, machine_error
from gitml.git.command import Location, git, popen, stderr_file, translate

_ARGS = (
    "status",
    "--porcelain=v2",
    "-z",
    "--branch",
    "--no-ahead-behind",
    "--no-renames",
    "--untracked-files=normal",
    # A submodule counts by the commit that is checked out in it; files changed in it can't be recorded from here, but told.
    "--ignore-submodules=untracked",
)


class Status(NamedTuple):
    """Paths are relative to the work tree. `head` is None before the first commit, `branch` None when HEAD is detached.

    `changed` are tracked paths that differ from HEAD, in the index or in the work tree, and are there; `removed` are in the
    index and not there; `dropped` are in HEAD and no longer in the index. `untracked` are files that are not ignored; one
    that ends in ``/`` is a folder without any tracked file in it. In `dirty_submodules` tracked files differ from their commits.
    """

    head: str | None
    branch: str | None
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    dropped: tuple[str, ...]
    unmerged: tuple[str, ...]
    untracked: tuple[str, ...]
    dirty_submodules: tuple[str, ...] = ()


class PendingStatus:
    """A `git status` that runs beside other work."""

    def __init__(self, location: Location) -> None:
        self._folder = location.folder
        self._errors: IO[bytes] = stderr_file()
        self._process = popen(
            location, "--no-optional-locks", *_ARGS, stdin=subprocess.DEVNULL, stderr=self._errors.fileno()
        )

    def finish(self) -> Status:
        """Waits for the answer; to be called once."""
        with self._process, self._errors:
            assert self._process.stdout is not None
            answer = self._process.stdout.read()
            code = self._process.wait()
            if code:
                self._errors.seek(0)
                raise translate(self._folder, _ARGS, code, self._errors.read())
        return parse_status(answer)

    def cancel(self) -> None:
        """Ends it without an answer."""
        with self._process, self._errors:
            self._process.kill()


def parse_status(answer: bytes) -> Status:
    """`answer` of ``git status --porcelain=v2 -z --branch --no-renames``. IntegrityError when it is something else."""
    head = branch = None
    changed: list[str] = []
    removed: list[str] = []
    dropped: list[str] = []
    unmerged: list[str] = []
    untracked: list[str] = []
    dirty: list[str] = []
    for line in os.fsdecode(answer).split("\0")[:-1]:
        kind, _, rest = line.partition(" ")
        if kind == "1":
            path = rest.split(" ", 7)[7]
            if rest[3] == "S" and rest[5] == "M":
                dirty.append(path)
                if rest[0] == "." and rest[4] == ".":  # at the commit that is recorded
                    continue
            where = dropped if rest[0] == "D" else removed if rest[1] == "D" else changed
            where.append(path)
        elif kind == "?":
            untracked.append(rest)
        elif kind == "u":
            unmerged.append(rest.split(" ", 9)[9])
        elif line.startswith("# branch.oid "):
            head = None if line.endswith(" (initial)") else line[len("# branch.oid ") :]
        elif line.startswith("# branch.head "):
            branch = None if line.endswith(" (detached)") else line[len("# branch.head ") :]
        elif kind != "#":
            raise IntegrityError(f"git status answered {line[:120]!r}")
    paths = [tuple(found) for found in (changed, removed, dropped, unmerged, untracked, dirty)]
    return Status(head, branch, *paths)


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


_HINT = "put the file itself in its place"
LARGEST = 8 << 20
"""Bytes of a file of settings; of a larger one as many and one more are read, so that its reader sees that it is too large."""


def read_worktree_file(location: Location, path: str) -> bytes | None:
    """The bytes of the regular file at `path` in the work tree; None when there is none, or no work tree."""
    return (
        None if location.worktree is None else read_regular_file(os.path.join(location.worktree, path), path, LARGEST)
    )


def read_regular_file(full: str, shown: str, most: int) -> bytes | None:
    """The bytes of a file, of one that is larger than `most` one more than that; None when there is none, or a folder.

    InputError for a link, a pipe, a device: they are not opened.
    """
    try:
        mode = os.lstat(full).st_mode
        if stat.S_ISLNK(mode):
            raise InputError("a link, where a file must be", where=shown, hint=_HINT)
        if not _is_file(mode, shown):
            return None
        fd = os.open(full, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            return file.read(most + 1) if _is_file(os.fstat(fd).st_mode, shown) else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise machine_error(error, full, "can't read it") from error


def _is_file(mode: int, path: str) -> bool:
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return stat.S_ISREG(mode)
    raise InputError("not a regular file", where=path, hint=_HINT)
