"""Which programs of this machine come with the commits of a repository, so that their author wrote what they do."""

from __future__ import annotations

import os

from gitml.git.command import Location, git


def is_brought(location: Location, program: str) -> bool:
    """Whether a program lies in a work tree of the repository, and Git tracks something of the installation that it is part of.

    That is the folder above its ``bin``: what a virtual environment has beside it, a ``.pth`` file say, is run as well.
    """
    folder = os.path.dirname(os.path.abspath(program))
    for place in {folder, os.path.realpath(folder)}:
        for top in location.worktrees():
            for root in {os.path.normpath(top), os.path.realpath(top)}:
                if not f"{place}/".startswith(f"{root}/"):
                    continue
                inner = os.path.relpath(os.path.dirname(place), root)
                if inner in (".", ".."):
                    return True
                if git(location, "-C", root, "--literal-pathspecs", "ls-files", "-z", "--", inner):
                    return True
    return False
