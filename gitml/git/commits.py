"""The commits of a history, and what names them."""

from __future__ import annotations

import os

from gitml.git.command import Location, git


def history_of(location: Location, commit: str, *, first_parent: bool = True) -> list[str]:
    """The ids of `commit` (a full id) and all before it, newest first; with `first_parent` without merged branches."""
    only = ["--first-parent"] if first_parent else []
    listed = git(location, "rev-list", *only, "--topo-order", "--end-of-options", commit)
    return listed.decode("ascii").split()


def names_of_commits(location: Location) -> dict[str, list[str]]:
    """For each commit that a branch or tag names, their short names: branches of here first, then tags, then others' branches."""
    places = ("refs/heads", "refs/tags", "refs/remotes")
    listed = git(location, "for-each-ref", "--format=%(objectname) %(*objectname) %(refname)", *places)
    found: dict[str, list[str]] = {}
    for line in sorted(listed.split(b"\n"), key=_rank):
        if line:
            oid, peeled, name = line.split(b" ", 2)
            short = name.split(b"/", 2)[2]
            if not short.endswith(b"/HEAD"):
                found.setdefault((peeled or oid).decode("ascii"), []).append(os.fsdecode(short))
    return found


def branches_of(location: Location) -> list[str]:
    """The branches of here, the one last committed to first, then those of remotes."""
    listed = git(location, "for-each-ref", "--sort=-committerdate", "--format=%(refname)", "refs/heads", "refs/remotes")
    names = [line.split(b"/", 2) for line in listed.split(b"\n") if line and not line.endswith(b"/HEAD")]
    return [os.fsdecode(name) for _, _, name in sorted(names, key=lambda parts: parts[1] != b"heads")]


def _rank(line: bytes) -> tuple[int, bytes]:
    name = line.split(b" ", 2)[-1]
    for rank, place in enumerate((b"refs/heads/", b"refs/tags/")):
        if name.startswith(place):
            return rank, name
    return 2, name
