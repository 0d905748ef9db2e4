"""What a commit in the making changes, and the files it would hold: of the index, never of the work tree."""

from __future__ import annotations

import os
from typing import NamedTuple

from gitml.core.model.protocols import Entry
from gitml.git.command import git
from gitml.git.objects.source import TreeSource
from gitml.git.worktree.temporary_index import ScratchIndex
from gitml.workspace import Workspace

_DIFF = ("diff", "--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-ext-diff", "--no-relative")


class Staged(NamedTuple):
    """`source` has all files as staged; `changed` those that are new or differ from HEAD; `removed` paths are gone."""

    source: TreeSource
    changed: dict[str, Entry]
    removed: tuple[str, ...]


def staged(ws: Workspace, index: str | None) -> Staged:
    """What the index, or the file `index` that Git made for this one commit, holds."""
    env = {"GIT_INDEX_FILE": index} if index else {}
    answer = git(ws.location, *_DIFF, "--ignore-submodules=all", env=env)
    changed: dict[str, Entry] = {}
    removed = []
    fields = os.fsdecode(answer).split("\0")
    for about, path in zip(fields[::2], fields[1::2], strict=False):
        _, mode, _, oid, kind = about.split(" ")
        if kind == "D":
            removed.append(path)
        else:
            changed[path] = Entry(mode, oid)
    scratch = ScratchIndex(ws.location, index)
    try:
        tree = scratch.write_tree()
    finally:
        scratch.close()
    return Staged(TreeSource(ws.objects, tree), changed, tuple(removed))
