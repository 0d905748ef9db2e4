"""Eviction from a worker's folder: what killed attempts left goes, and beyond the limit what was used longest ago.

A use is noted for a root (what a step needs or made), not for each file below it. What the roots used last need is kept as far
as the limit goes, and whatever a running step has pinned.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from gitml.cluster.content.content_ids import (
    BLOB,
    GIT_COMMIT,
    GIT_LISTING,
    GIT_SUBMODULE,
    GIT_TREE,
    TREE,
    commit_names,
    digest_in,
    git_tree_names,
    listing_names,
    parse_name,
    submodule_names,
    tree_names,
)
from gitml.errors import GitmlError
from gitml.execute.sandbox.location import sandbox_roots
from gitml.execute.sandbox.removal import remove_tree
from gitml.git.objects.loose_objects import LooseObjects, is_partial
from gitml.platform.current import platform
from gitml.store.local.store import LocalStore

KEEP = 0.8  # of the limit: what is left after a sweep
YOUNG = 60.0  # seconds: what is younger may be on its way to its step
STALE = 3600.0  # seconds after which what nobody wrote to is waited for no more
EVERY = 600.0  # seconds between looks at a folder that nothing much was added to
_MUCH = 100 * 2**30  # bytes: the limit, for how often to look, where none is given


class FolderGarbageCollector:
    """Pins, uses and eviction of the folder at `root`; `limit` is in bytes, None for half of the disk."""

    def __init__(
        self, root: str, store: LocalStore, git: LooseObjects, limit: int | None, machine: Mapping[str, str]
    ) -> None:
        self.root = root
        self.store = store
        self.git = git
        self.limit = limit
        self.machine = machine
        self._added = 0

    def pin(self, user: str, roots: Sequence[str]) -> int:
        """Keeps contents from being evicted as long as the returned descriptor is open; `user` names who needs them."""
        folder = os.path.join(self.root, "pins")
        gate = self._gate(fcntl.LOCK_SH)
        try:
            self._note_use(roots)
            os.makedirs(folder, exist_ok=True)
            fd = os.open(os.path.join(folder, user), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.write(fd, json.dumps(list(roots)).encode())
        finally:
            os.close(gate)
        return fd

    def unpin(self, user: str, pin: int) -> None:
        """Ends what `pin` began."""
        os.unlink(os.path.join(self.root, "pins", user))
        os.close(pin)

    def note_added(self, roots: Sequence[str], size: int) -> None:
        """Notes what was made or fetched here, `size` bytes of it, and collects when that is much."""
        self._note_use(roots)
        self._added += size
        if self._added > (self.limit or _MUCH) // 20:
            self.collect(now=True)

    def _note_use(self, roots: Sequence[str]) -> None:
        """Notes a use of contents, which puts off their eviction."""
        place = os.path.join(self.root, "used")
        for root in roots:
            path = os.path.join(place, root.replace(":", "+", 1))
            try:
                os.utime(path)
            except FileNotFoundError:
                os.makedirs(place, exist_ok=True)
                with open(path, "wb"):
                    pass

    def _gate(self, how: int) -> int:
        """Collecting and pinning exclude each other: held until the descriptor is closed."""
        fd = os.open(os.path.join(self.root, "gate"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, how)
        return fd

    def collect(self, *, now: bool = False) -> int:
        """Clears up after killed attempts and evicts beyond the limit; the bytes evicted.

        Nothing is done when another process did so lately, unless `now`.
        """
        self._added = 0
        mark = os.path.join(self.root, "tidied")
        try:
            lately = 0 <= time.time() - os.stat(mark).st_mtime < EVERY  # a clock that was set back says nothing
        except FileNotFoundError:
            lately = False
        if lately and not now:
            return 0
        with open(mark, "wb"):
            os.utime(mark)
        gate = self._gate(fcntl.LOCK_EX)
        try:
            pinned = self._pinned()
            self._clear_up()
            objects = self._objects()
            disk = os.statvfs(self.root)
            limit = self.limit if self.limit is not None else disk.f_blocks * disk.f_frsize // 2
            if sum(size for _, size, _ in objects.values()) <= limit:
                return 0
            return self._evict(objects, self._kept(pinned, int(KEEP * limit)))
        finally:
            os.close(gate)

    def _pinned(self) -> list[str]:
        """The roots of attempts that go on; what the others left is ended and removed."""
        place = os.path.join(self.root, "pins")
        roots: list[str] = []
        roots_of_sandboxes = sandbox_roots(os.path.join(self.root, "live"), self.machine).roots()
        for user in os.listdir(place) if os.path.isdir(place) else ():
            path = os.path.join(place, user)
            with suppress(FileNotFoundError), open(path, "rb") as file:  # it may end now, and take its pin along
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    roots += json.loads(file.read() or b"[]")
                    continue
                for root in roots_of_sandboxes:
                    platform.end_strays(os.path.join(root, user))
                    remove_tree(os.path.join(root, user))
                os.unlink(path)
        return roots

    def _clear_up(self) -> None:
        """Removes what is being written no more: contents that never came whole, and logs of attempts that were killed."""
        self.store.sweep_temporaries(STALE)
        logs = os.path.join(self.root, "live")
        for place, is_left in ((self.git.root, is_partial), (logs, lambda name: name.endswith(".log"))):
            with suppress(FileNotFoundError), os.scandir(place) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        if is_left(entry.name) and time.time() - entry.stat().st_mtime > STALE:
                            os.unlink(entry.path)

    def _objects(self) -> dict[str, tuple[str, int, float]]:
        """(path, size, change time) of every object, by its name without the kind."""
        found: dict[str, tuple[str, int, float]] = {}
        for top in (self.store.objects, self.git.root):
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

    def _kept(self, pinned: list[str], room: int) -> set[str]:
        """The objects of pinned roots, and of the roots used last as long as there is room."""
        kept: set[str] = set()
        for root in pinned:
            self._add(root, kept)
        place = os.path.join(self.root, "used")
        with os.scandir(place) as entries:
            uses = sorted(((entry.stat().st_mtime, entry.path) for entry in entries), reverse=True)
        for _, path in uses:
            needed: set[str] = set()
            size = self._add(os.path.basename(path).replace("+", ":", 1), needed)
            if size > room:
                os.unlink(path)
                continue
            room -= size
            kept |= needed
        return kept

    def _add(self, name: str, found: set[str]) -> int:
        """Adds the ids of a content and of all below it; their bytes."""
        kind, id = parse_name(name)
        if name in found:  # one id may have two names: the files below a folder belong to one of them
            return 0
        is_new = id not in found
        found.update((name, id))
        try:
            if kind in (BLOB, TREE):
                size = os.stat(self.store.path_of(digest_in(name))).st_size
                below = tree_names(self.store.listing(digest_in(name))) if kind == TREE else []
            else:
                size = self.git.size(id) or 0
                below = self._below_git(kind, id)
            return size * is_new + sum([self._add(lower, found) for lower in below])
        except (OSError, GitmlError):  # not here any more
            return 0

    def _below_git(self, kind: str, id: str) -> list[str]:
        if kind == GIT_TREE:
            return git_tree_names(self.git.tree(id))
        if kind == GIT_LISTING:
            return listing_names(self.git.tree(id))
        if kind == GIT_SUBMODULE:
            return submodule_names(self.git.read(id))
        return commit_names(self.git.read(id)) if kind == GIT_COMMIT else []

    def _evict(self, objects: dict[str, tuple[str, int, float]], kept: set[str]) -> int:
        freed = 0
        edge = time.time() - YOUNG
        for id, (path, size, changed) in objects.items():
            if id not in kept and changed < edge:
                try:
                    os.unlink(path)
                except FileNotFoundError:
                    continue
                freed += size
        mark = os.path.join(self.root, "swept")
        with open(mark, "wb"):
            os.utime(mark)
        return freed
