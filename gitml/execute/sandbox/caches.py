"""Caches of steps on this machine: where they lie, how a step holds the ones that it may use, and how unused ones go.

``<place>/<repository>/<name>/files`` is a cache: only this user's, and one repository's alone, as a step that writes to it
decides what later ones find. Beside the files lies ``used``: a lock that each step shares as long as it may use them, and the
time of the last. What is removed gets another name first, so that a step that begins meanwhile makes a new one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from gitml.core.kinds.cache_kinds import StepCache
from gitml.errors import Guard, InputError, MachineError
from gitml.execute.sandbox.removal import remove_tree
from gitml.files import bytes_below, closing_fd

_FILES, _USED, _REMOVED = "files", "used", ".removed-"
_OTHERS_WRITE = 0o022
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_-]+")


def repository_name(top: str, salt: bytes) -> str:
    """What the folder of a repository's caches is called: as its folder `top`, and by its `salt`, which no clone of it has."""
    words = _UNNAMEABLE.sub("-", os.path.basename(top)).strip("-")[:40]
    return f"{words or 'repository'}-{hashlib.sha256(b'caches ' + salt).hexdigest()[:16]}"


class OpenedCache(NamedTuple):
    """A cache that a step may use: its `folder` on this machine, a path without links, held by `lock`.

    Without a lock, -1, it is an empty one in the sandbox, and goes with it.
    """

    cache: StepCache
    folder: str
    lock: int = -1

    def close(self) -> None:
        """Notes that it was used until now, and lets it go."""
        if self.lock >= 0:
            with suppress(OSError):  # a disk that is full or gone
                os.utime(self.lock)
            os.close(self.lock)


def open_cache(place: str, repository: str, cache: StepCache) -> OpenedCache:
    """The cache of a repository, by the name of its folder in `place`, made where there is none.

    MachineError where that can't be, or where it could be another user's.
    """
    if _UNNAMEABLE.search(repository) or not repository:
        raise InputError("no repository can be called so", where=repository[:100])
    with Guard(os.path.join(place, repository, cache.name), "a cache can't be used"):
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        place = os.path.realpath(place)  # which may be a link of the user's, to a disk with more room
        above = os.path.join(place, repository)
        folder = os.path.join(above, cache.name)
        while True:
            try:
                for path in (place, above, folder):
                    _make_own(path)
                lock = os.open(f"{folder}/{_USED}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except FileNotFoundError:  # it is being removed
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_SH)
                if _is_at(lock, f"{folder}/{_USED}"):
                    os.utime(lock)
                    _make_own(f"{folder}/{_FILES}")
                    return OpenedCache(cache, f"{folder}/{_FILES}", lock)
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)


def _make_own(folder: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
        return
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise MachineError("a folder of caches is another user's, or none", where=folder, hint=f"remove {folder}")
    # a step may have opened up the one that it writes to, which nobody else gets to
    if found.st_mode & _OTHERS_WRITE and os.path.basename(folder) != _FILES:
        raise MachineError("others can write to a folder of caches", where=folder, hint=f"remove {folder}")


class KeptCache(NamedTuple):
    """A cache of a repository on this machine, of `bytes`, last used at a time in seconds since 1970."""

    repository: str
    name: str
    folder: str
    bytes: int
    used: float


def kept_caches(place: str, repository: str | None = None) -> list[KeptCache]:
    """The caches in `place`, of all repositories or of one, by name; what a killed process was removing is called as it was."""
    found = []
    for owner in [repository] if repository is not None else _folders(place):
        for name in _folders(os.path.join(place, owner)):
            folder = os.path.join(place, owner, name)
            found.append(KeptCache(owner, name.partition(_REMOVED)[0], folder, bytes_below(folder), _last_use(folder)))
    return found


def remove_unused(place: str, older: float, now: float, *, dry_run: bool = False) -> list[KeptCache]:
    """Removes the caches in `place` that no step used for `older` seconds, of all repositories; which these are, or would be."""
    removed = [cache for cache in kept_caches(place) if now - cache.used >= older and _removed(cache, dry_run=dry_run)]
    if not dry_run:
        for owner in _folders(place):
            with suppress(OSError):  # it has others
                os.rmdir(os.path.join(place, owner))
    return removed


def _removed(cache: KeptCache, *, dry_run: bool) -> bool:
    """Whether no step holds it; it is removed then, unless it is a `dry_run`."""
    gone = cache.folder
    if _REMOVED not in os.path.basename(gone):
        try:
            lock = os.open(f"{cache.folder}/{_USED}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:  # another process removes it
            return False
        with closing_fd(lock):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if dry_run:
                return True
            if not _is_at(lock, f"{cache.folder}/{_USED}"):
                return False
            gone = f"{cache.folder}{_REMOVED}{os.urandom(6).hex()}"
            os.rename(cache.folder, gone)
    if not dry_run:
        remove_tree(gone)
    return True


def _folders(place: str) -> Iterator[str]:
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(place) as entries:
        yield from sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))


def _last_use(folder: str) -> float:
    if _REMOVED in os.path.basename(folder):
        return 0.0
    for path in (f"{folder}/{_USED}", folder):
        with suppress(OSError):
            return os.lstat(path).st_mtime
    return 0.0


def _is_at(fd: int, path: str) -> bool:
    try:
        found, here = os.fstat(fd), os.lstat(path)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (here.st_dev, here.st_ino)
