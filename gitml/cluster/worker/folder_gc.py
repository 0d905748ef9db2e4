"""Clearing up a worker's folder: what killed attempts left, and beyond the limit what was used longest ago.

A use is noted for a root (what a step needs or made), not for each file below it. What the roots used last need is kept as far
as the limit goes, and whatever a running step has pinned.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from gitml.cluster.content.content_ids import (
    BLOB,
    GIT_TREE,
    TREE,
    digest_in,
    git_name,
    parse_name,
    stored_name,
)
from gitml.errors import GitmlError
from gitml.execute.descendants import end_strays
from gitml.execute.sandbox.location import sandbox_roots
from gitml.execute.sandbox.removal import remove_tree
from gitml.git.objects.loose_objects import is_partial

if TYPE_CHECKING:
    from gitml.cluster.worker.folder import WorkerFolder

KEEP = 0.8  # of the limit: what is left after a sweep
YOUNG = 60.0  # seconds: what is younger may be on its way to its step
FORSAKEN = 3600.0  # seconds after which what nobody wrote to is waited for no more
EVERY = 600.0  # seconds between looks at a folder that nothing much was added to


def collect_garbage(folder: WorkerFolder, *, now: bool = False) -> int:
    """Clears up and gives the bytes evicted; with `now` even if someone did so lately."""
    mark = os.path.join(folder.root, "tidied")
    try:
        lately = 0 <= time.time() - os.stat(mark).st_mtime < EVERY  # a clock that was set back says nothing
    except FileNotFoundError:
        lately = False
    if lately and not now:
        return 0
    with open(mark, "wb"):
        os.utime(mark)
    gate = folder.gate(fcntl.LOCK_EX)
    try:
        pinned = _pinned(folder)
        _clear_up(folder)
        objects = _objects(folder)
        limit = folder.limit if folder.limit is not None else _half_of_disk(folder.root)
        if sum(size for _, size, _ in objects.values()) <= limit:
            return 0
        return _evict(folder, objects, _kept(folder, pinned, int(KEEP * limit)))
    finally:
        os.close(gate)


def _pinned(folder: WorkerFolder) -> list[str]:
    """The roots of attempts that go on; what the others left is ended and removed."""
    place = os.path.join(folder.root, "pins")
    roots: list[str] = []
    roots_of_sandboxes = sandbox_roots(os.path.join(folder.root, "live"), folder.machine).roots()
    for user in os.listdir(place) if os.path.isdir(place) else ():
        path = os.path.join(place, user)
        with suppress(FileNotFoundError), open(path, "rb") as file:  # it may end now, and take its pin along
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                roots += json.loads(file.read() or b"[]")
                continue
            for root in roots_of_sandboxes:
                end_strays(os.path.join(root, user))
                remove_tree(os.path.join(root, user))
            os.unlink(path)
    return roots


def _clear_up(folder: WorkerFolder) -> None:
    """Removes what is being written no more: contents that never came whole, and logs of attempts that were killed."""
    folder.store.sweep_temporaries(FORSAKEN)
    logs = os.path.join(folder.root, "live")
    for place, is_left in ((folder.git.root, is_partial), (logs, lambda name: name.endswith(".log"))):
        with suppress(FileNotFoundError), os.scandir(place) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if is_left(entry.name) and time.time() - entry.stat().st_mtime > FORSAKEN:
                        os.unlink(entry.path)


def _objects(folder: WorkerFolder) -> dict[str, tuple[str, int, float]]:
    """(path, size, change time) of every object, by its name without the kind."""
    found: dict[str, tuple[str, int, float]] = {}
    for top in (folder.store.objects, folder.git.root):
        for place, _, names in os.walk(top):
            for name in names:
                path = os.path.join(place, name)
                try:
                    stat = os.stat(path)
                except FileNotFoundError:
                    continue
                if not is_partial(name) and len(os.path.basename(place)) == 2:
                    found[os.path.basename(place) + name] = (path, stat.st_size, stat.st_ctime)
    return found


def _kept(folder: WorkerFolder, pinned: list[str], room: int) -> set[str]:
    """The objects of pinned roots, and of the roots used last as long as there is room."""
    kept: set[str] = set()
    for root in pinned:
        _add(folder, root, kept)
    place = os.path.join(folder.root, "used")
    with os.scandir(place) as entries:
        uses = sorted(((entry.stat().st_mtime, entry.path) for entry in entries), reverse=True)
    for _, path in uses:
        needed: set[str] = set()
        size = _add(folder, os.path.basename(path).replace("+", ":", 1), needed)
        if size > room:
            os.unlink(path)
            continue
        room -= size
        kept |= needed
    return kept


def _add(folder: WorkerFolder, name: str, found: set[str]) -> int:
    """Adds the ids of a content and of all below it; their bytes."""
    kind, id = parse_name(name)
    if id in found:
        return 0
    found.add(id)
    try:
        if kind in (BLOB, TREE):
            size = os.stat(folder.store.path_of(digest_in(name))).st_size
            if kind == TREE:
                for entry in folder.store.listing(digest_in(name)):
                    size += _add(folder, stored_name(entry.digest, tree=entry.kind == "d"), found)
            return size
        size = folder.git.size(id) or 0
        if kind == GIT_TREE:
            for below in folder.git.tree(id).values():
                lower = git_name(below)
                size += _add(folder, lower, found) if lower is not None else 0
        return size
    except (OSError, GitmlError):  # not here any more
        return 0


def _evict(folder: WorkerFolder, objects: dict[str, tuple[str, int, float]], kept: set[str]) -> int:
    freed = 0
    edge = time.time() - YOUNG
    for id, (path, size, changed) in objects.items():
        if id not in kept and changed < edge:
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
            freed += size
    mark = os.path.join(folder.root, "swept")
    with open(mark, "wb"):
        os.utime(mark)
    return freed


def _half_of_disk(path: str) -> int:
    disk = os.statvfs(path)
    return disk.f_blocks * disk.f_frsize // 2
