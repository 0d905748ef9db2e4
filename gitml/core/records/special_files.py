"""Names of files that are obeyed without being asked for: by Git, by what a shell runs in a folder, by an editor that opens it.

What a record, a module or a store of others names is written on request, but not everything is to be written without
a remark. ``.git`` is refused where names are read (`paths.is_git_name`). Here are a bare repository, whose settings Git obeys as
well, and what a note is about. The list is short: what acts in a folder, or at Git's next command there, though nobody names the
file. What a program does that is started on purpose (make, npm, pytest) is no part of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitml.core.text.format import safe

OBEYED = {
    ".envrc": "direnv",
    ".mise.toml": "mise",
    "mise.toml": "mise",
    ".tool-versions": "asdf and mise",
    ".gitattributes": "git",
    ".gitmodules": "git",
    ".lfsconfig": "git-lfs",
    ".pre-commit-config.yaml": "pre-commit",
    ".husky": "husky",
    ".vscode": "VS Code",
    ".devcontainer": "VS Code",
    ".idea": "JetBrains' editors",
    ".exrc": "vim",
    ".nvim.lua": "Neovim",
    ".dir-locals.el": "Emacs",
}
_SHOWN = 3
_BARE = frozenset(("head", "objects", "refs"))


def obeyed_by(name: str) -> str | None:
    """What acts upon a file or folder of that name once somebody is in the folder with it; None for all others."""
    return OBEYED.get(name.casefold().rstrip(" ."))


def is_odd(name: str) -> bool:
    """Whether a name shows as another, or is taken for an option.

    Such are control, invisible and bidirectional characters, bytes that are not UTF-8, a blank at either end, and ``-`` in front.
    """
    return name.startswith("-") or not name.isprintable() or name != name.strip(" ")


def is_bare_repository(names: Iterable[str]) -> bool:
    """Whether Git takes a folder with these names for a repository, and obeys the settings in it."""
    return {name.casefold() for name in names} >= _BARE


class Remarks:
    """What a person should hear of paths that were written, in a line for each kind."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[list[str], int]] = {}  # the first of them, and how many there are

    def look(self, path: str, name: str) -> None:
        """Takes note of a file or folder at `path` whose last name is `name`."""
        who = obeyed_by(name)
        if who is not None:
            self._add(f"{who} obeys", path)
        if is_odd(name):
            self._add("a name that shows as another, or is taken for an option:", path)

    def bare(self, path: str) -> None:
        """Takes note of a bare repository."""
        self._add("git obeys the settings of the repository", path)

    def lines(self) -> tuple[str, ...]:
        """The remarks; nothing in them acts on a terminal."""
        return tuple([f"{what} {_listed(*found)}" for what, found in self._found.items()])

    def _add(self, what: str, path: str) -> None:
        first, count = self._found.get(what, ([], 0))
        self._found[what] = ([*first, path] if count < _SHOWN else first, count + 1)


def _listed(first: list[str], count: int) -> str:
    more = f" and {count - _SHOWN:,} more" if count > _SHOWN else ""
    return ", ".join(map(safe, first)) + more
