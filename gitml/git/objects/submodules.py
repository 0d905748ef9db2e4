"""Where the objects of a repository's submodules are on this machine.

A commit names a commit of a submodule by an id that is a hash. So whichever of these folders has an object of that id has the
right one, and neither names nor addresses in ``.gitmodules`` decide what is read.
"""

from __future__ import annotations

import os
import re

from gitml.core.model.paths import problem_with
from gitml.git.command import Location

_MODULES = ".gitmodules"
_DEEPEST = 16  # folders in one another: submodules of submodules, and names with slashes
_MOST = 4000  # folders that are looked at
_LONGEST = 100_000  # characters of all paths, which a git is given as one variable
_LARGEST = 1 << 20  # bytes of .gitmodules that are looked at
_PATH = re.compile(rb"^[ \t]*path[ \t]*=[ \t]*\"?([^\r\n\"]*[^\r\n\" \t])", re.MULTILINE)


def object_folders(location: Location) -> list[str]:
    """The folders of objects of all submodules that are here, those of submodules in them too; empty for none.

    Git has them in ``modules/`` of the repository, or of a linked work tree. Old clones have them in the submodule's own folder.
    """
    found: list[str] = []
    looked_at = 0
    waiting = [
        (os.path.join(folder, "modules"), 0) for folder in dict.fromkeys((location.common_dir, location.git_dir))
    ]
    waiting += [(place, 0) for place in _own_repositories(location)]
    while waiting and looked_at < _MOST:
        folder, depth = waiting.pop()
        looked_at += 1
        try:
            with os.scandir(folder) as entries:
                names = {entry.name: entry.path for entry in entries if entry.is_dir(follow_symlinks=False)}
        except OSError:
            continue
        if "objects" in names and "refs" in names:  # a repository; else a part of the name of one
            found.append(names["objects"])
            names = {name: path for name, path in names.items() if name == "modules"}
        if depth < _DEEPEST:
            waiting += [(path, depth + 1) for path in names.values()]
    while sum(map(len, found)) > _LONGEST:
        found.pop()
    return sorted(dict.fromkeys(found))


def _own_repositories(location: Location) -> list[str]:
    """The repositories that lie in the folders of submodules in the work tree, as clones of Git before 1.7.8 have them."""
    if location.worktree is None:
        return []
    path = os.path.join(location.worktree, _MODULES)
    try:
        if os.path.islink(path):
            return []
        with open(path, "rb") as file:
            text = file.read(_LARGEST)
    except OSError:
        return []
    top = os.path.realpath(location.worktree)
    found = []
    for match in list(_PATH.finditer(text))[:_MOST]:
        place = os.fsdecode(match[1])
        own = os.path.join(top, place, ".git")
        if problem_with(place) is None and os.path.realpath(own) == own and os.path.isdir(own):
            found.append(own)
    return found
