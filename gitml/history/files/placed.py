"""What lies in the work tree where an output belongs: put there by gitml, committed as it is, or the user's own work."""

from __future__ import annotations

import os
from collections.abc import Sequence

from gitml.core.model.digest import digest_of, parse_digest
from gitml.core.model.result import OutputRef
from gitml.git.command import Location, git
from gitml.workspace import Workspace

_KIND = "placed"  # of facts: what was put at a path of a work tree the last time
_AT_ONCE = 100  # paths that git is asked about in one call


def remember_placed(ws: Workspace, path: str, ref: OutputRef) -> None:
    """Notes that this output was put at an absolute path. Where the index is lost, what is there counts as the user's."""
    ws.index.remember(_KIND, _id(path), [ref.name, ref.kind, ref.digest, ref.size, ref.executable])


def placed_at(ws: Workspace, path: str) -> OutputRef | None:
    """The output that was put at an absolute path the last time; None where none is known."""
    try:
        known = ws.index.fact(_KIND, _id(path))
        if known is None:
            return None
        name, kind, digest, size, executable = known
        return OutputRef(name, kind, parse_digest(digest), size, executable)
    except (TypeError, ValueError):
        return None


def _id(path: str) -> str:
    return digest_of(os.fsencode(path))


def committed_as_they_are(location: Location, paths: Sequence[str]) -> set[str]:
    """Those of the paths of a work tree at which all is tracked and just as HEAD has it, so that nothing can be lost.

    A file of which git was asked to look away (``--assume-unchanged``, ``--skip-worktree``) never is.
    """
    found: set[str] = set()
    for at in range(0, len(paths), _AT_ONCE):
        asked = paths[at : at + _AT_ONCE]
        listed = _fields(location, "ls-files", "-v", "-z", "--", *asked)
        tracked = [(field[:1], field[2:]) for field in listed]
        changed = _fields(
            location,
            *("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignored=matching"),
            *("--ignore-submodules=none", "--", *asked),
        )
        other = [field[3:].rstrip("/") for field in changed]
        other += [path for tag, path in tracked if tag != "H"]
        for path in asked:
            inside = path + "/"
            is_tracked = any(name == path or name.startswith(inside) for _, name in tracked)
            is_changed = any(name == path or name.startswith(inside) or path.startswith(f"{name}/") for name in other)
            if is_tracked and not is_changed:
                found.add(path)
    return found


def _fields(location: Location, *args: str) -> list[str]:
    return os.fsdecode(git(location, "--literal-pathspecs", "--no-optional-locks", *args)).split("\0")[:-1]
