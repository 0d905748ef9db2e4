"""Makes what Git wrote survive a power cut: Git syncs the files it is asked to sync, and never the folders that hold their names.

The order is the contract: first the objects and the folders that name them (`sync_objects`), then the ref moves, then the
folders that name the ref (`sync_refs`). All code that moves a ref of gitml uses `move_refs` or keeps this order."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from gitml import layout
from gitml.errors import Guard
from gitml.files import opened
from gitml.git.command import DURABLE, Location, git_status, translate
from gitml.git.integrity.repairs import boot_time
from gitml.git.repository import sharing_at
from gitml.platform.current import platform

UPDATE = (*DURABLE, "update-ref", "--no-deref", "-z", "--stdin")

_SLACK = 1.0  # seconds by which the time of a folder may lag behind the clock
_WRITTEN = 3600.0  # seconds after which the kernel wrote everything by itself, many times over
_MANY = 64  # files from which on one sync of the file system is cheaper than one of each


def sync_objects(location: Location) -> None:
    """Makes every object of the repository durable, with its name.

    Packs are synced by Git itself. Loose objects, which Git does not sync, are looked for by the times of their folders: only
    what came since the last call is synced, no matter which process wrote it.
    """
    if location.scratch:
        return  # what git wrote there goes with this process
    objects = os.path.join(location.common_dir, "objects")
    with Guard(objects, "can't write to disk"):
        fresh, begun = _begin(location)
        since = max(_mark(location) - _SLACK, boot_time() - _SLACK, begun - _WRITTEN)
        files, folders = _newer(objects, since)
        if len(files) < _MANY or not platform.sync_file_system(objects):
            for path in (*files, *folders):
                _sync(path)
        _sync(os.path.join(objects, "pack"))
        _sync(objects)
        if fresh:
            os.rename(fresh, _mark_path(location))


def sync_refs(location: Location, refs: Iterable[str]) -> None:
    """Makes the names of `refs` durable: every folder from theirs up to that of the repository."""
    folders: dict[str, None] = {}
    if os.path.isdir(os.path.join(location.common_dir, "reftable")):
        folders["reftable"] = None
    for ref in refs:
        above = os.path.dirname(ref)
        while above:
            folders[above] = None
            above = os.path.dirname(above)
    with Guard(location.common_dir, "can't write to disk"):
        for folder in sorted(folders, key=len, reverse=True):
            _sync(os.path.join(location.common_dir, folder))
        _sync(location.common_dir)


def move_refs(location: Location, moves: Mapping[str, str | None]) -> None:
    """Sets refs durably, whatever they are at; takes those away that are to be None. A stale lock is removed."""
    if not moves:
        return
    sync_objects(location)
    given = os.fsencode(
        "".join(f"update {ref}\0{oid}\0\0" if oid else f"delete {ref}\0\0" for ref, oid in moves.items())
    )
    _, said, code = git_status(location, *UPDATE, input=given)
    if code:
        from gitml.git.integrity.stale_locks import clear_blocking

        if clear_blocking(location, said):
            _, said, code = git_status(location, *UPDATE, input=given)
        if code:
            raise translate(location.folder, UPDATE, code, said)
    sync_refs(location, moves)


def sync_path(path: str) -> None:
    """Has one file or folder written to the disk. MachineError when that fails."""
    with Guard(path, "can't write to disk"):
        _sync(path)


def sync_tree(path: str) -> None:
    """Has a file, or a folder with all below it, written to the disk. MachineError when that fails."""
    waiting = [path]
    for place, folders, names in os.walk(path):
        waiting += [os.path.join(place, name) for name in (*folders, *names)]
    with Guard(path, "can't write to disk"):
        if len(waiting) < _MANY or not platform.sync_file_system(path):
            for one in waiting:
                if not os.path.islink(one):
                    _sync(one)


def _mark_path(location: Location) -> str:
    return layout.own_folder(location.common_dir, layout.SYNCED)


def _mark(location: Location) -> float:
    """When `sync_objects` last began, by the file system's clock."""
    try:
        return os.stat(_mark_path(location)).st_mtime
    except FileNotFoundError:
        return 0.0


def _begin(location: Location) -> tuple[str, float]:
    """A file that becomes the mark once everything is synced, and its time; no file where none may be made."""
    fresh = f"{_mark_path(location)}.{os.getpid()}-{os.urandom(3).hex()}.new"
    folder = os.path.dirname(fresh)
    if not os.path.isdir(folder):
        sharing_at(location, os.environ).make_folder(folder)
    try:
        with opened(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666) as fd:
            return fresh, os.fstat(fd).st_mtime
    except PermissionError:
        return "", time.time()


def _newer(objects: str, since: float) -> tuple[list[str], list[str]]:
    """(loose objects that came after `since`, the folders they are in)."""
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(objects) as places:
        for place in places:
            if len(place.name) != 2:
                continue  # pack and info
            try:
                if place.stat().st_mtime < since:
                    continue
                with os.scandir(place.path) as found:
                    new = [entry.path for entry in found if entry.stat(follow_symlinks=False).st_ctime >= since]
            except (FileNotFoundError, NotADirectoryError):
                continue
            files += [path for path in new if not os.path.basename(path).startswith("tmp_")]
            folders.append(place.path)
    return files, folders


def _sync(path: str) -> None:
    with suppress(FileNotFoundError, PermissionError), opened(path) as fd:
        os.fsync(fd)  # else packed or removed meanwhile; or another user's, who alone can sync it
