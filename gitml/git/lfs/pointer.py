"""Git LFS: pointers in commits, and the local store of what they point to."""

from __future__ import annotations

import os
import re

from gitml.core.model.digest import Digest, hex_of
from gitml.git.command import Location, git
from gitml.git.objects.submodules import object_folders

_LARGEST = 1024
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid (sha256:[0-9a-f]{64})\nsize (0|[1-9][0-9]{0,18})\n\Z"
)


def parse_lfs_pointer(content: bytes) -> tuple[Digest, int] | None:
    """The Digest and size of what an LFS pointer stands for; None for anything that is not exactly a pointer of version 1.

    Pointers with extensions give None: what they name is not the file's content.
    """
    if len(content) >= _LARGEST:
        return None
    found = _POINTER.match(content)
    return found and (Digest(found[1].decode("ascii")), int(found[2]))


def local_lfs_object(location: Location, digest: Digest) -> str | None:
    """The file in which Git LFS keeps `digest` on this machine, None when it has not fetched it. Its bytes are not checked."""
    name = hex_of(digest)
    below = os.path.join("objects", name[:2], name[2:4], name)
    usual = os.path.join(location.common_dir, "lfs", below)
    if os.path.isfile(usual):
        return usual
    for folder in object_folders(location):  # of submodules
        path = os.path.join(os.path.dirname(folder), "lfs", below)
        if os.path.isfile(path):
            return path
    storage = git(location, "config", "--path", "lfs.storage", check=False)
    if storage:
        # A relative lfs.storage is relative to the Git folder.
        path = os.path.join(location.common_dir, os.fsdecode(storage).rstrip("\n"), below)
        if os.path.isfile(path):
            return path
    return None
