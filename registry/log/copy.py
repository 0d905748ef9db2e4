"""Content between repositories: the objects of a tree as a pack, and what differs between two trees."""

from __future__ import annotations

import os

from gitml.errors import InputError
from gitml.git.command import DURABLE, Location, git


def copy_tree(source: Location, target: Location, tree: str) -> None:
    """Puts the tree and all below it into `target`. InputError when the two name objects by different hashes."""
    if source.object_format != target.object_format:
        raise InputError(
            f"this repository names objects by {source.object_format}, that one by {target.object_format}",
            where=target.folder,
            hint="use a registry with the same object format",
        )
    pack = git(source, "pack-objects", "--revs", "--stdout", "-q", input=f"{tree}\n".encode("ascii"))
    git(target, *DURABLE, "index-pack", "--stdin", input=pack)


def changed_files(location: Location, one: str, other: str) -> tuple[tuple[str, str], ...]:
    """(``A``, ``M`` or ``D``, path) of each file that differs between two trees."""
    said = git(location, "diff-tree", "-r", "-z", "--no-renames", "--name-status", one, other)
    fields = os.fsdecode(said).split("\0")[:-1]
    return tuple(zip(fields[::2], fields[1::2], strict=True))
