"""Damaged files of Git are moved into gitml's quarantine: Git then writes them again, and nothing is deleted."""

from __future__ import annotations

import os
from contextlib import suppress

from gitml import layout
from gitml.errors import Guard, MachineError
from gitml.files import opened
from gitml.git.command import Location
from gitml.git.integrity.durability import sync_path
from gitml.git.repository import sharing_at


def move_aside(location: Location, path: str, name: str) -> str | None:
    """Moves a file or folder into the quarantine as ``git-NAME.<number>``, durably; where it is now, None when there was none."""
    with Guard(path, "can't move it aside"):
        target = _place(location, name)
        try:
            os.rename(path, target)
        except FileNotFoundError:
            return None
    sync_path(os.path.dirname(target))
    sync_path(os.path.dirname(path))
    return target


def copy_aside(location: Location, path: str, name: str) -> str:
    """Copies a file that is about to be replaced into the quarantine, as `move_aside` would move it; where the copy is."""
    with Guard(path, "can't copy it aside"):
        target = _place(location, name)
        import shutil  # which loads what packs archives

        shutil.copyfile(path, target)
    sync_path(target)
    sync_path(os.path.dirname(target))
    return target


def _place(location: Location, name: str) -> str:
    """A path in the quarantine that nothing has yet."""
    folder = layout.own_folder(location.common_dir, layout.QUARANTINE)
    sharing_at(location, os.environ).make_folder(folder)
    number = 1
    while os.path.lexists(target := os.path.join(folder, f"git-{name}.{number}")):
        number += 1
    return target


def looks_empty(location: Location, oid: str) -> bool:
    """Whether the loose object `oid` has lost its beginning or its end, found without reading it: what a power cut does."""
    with suppress(OSError), opened(loose_path(location, oid)) as fd:
        size = os.fstat(fd).st_size
        return size < 8 or os.pread(fd, 1, 0) != b"\x78" or not any(os.pread(fd, 64, max(size - 64, 0)))
    return False


def quarantine_object(location: Location, oid: str) -> str:
    """Moves a damaged loose object into gitml's quarantine, so that Git can write it again; where it is now."""
    path = loose_path(location, oid)
    moved = move_aside(location, path, oid)
    if moved is None:
        raise MachineError("can't move it aside: it went away meanwhile", where=path)
    return moved


def loose_path(location: Location, oid: str) -> str:
    """Where a loose object lies."""
    return os.path.join(location.common_dir, "objects", oid[:2], oid[2:])
