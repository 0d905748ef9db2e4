"""Lock files that a killed git or a power cut left behind: Git holds a ref by the mere presence of ``<ref>.lock``.

A lock file is stale when it is older than the start of this machine, or when nobody touched it for longer than any git keeps
one. It is removed only after it was seen unchanged for a second, and that is reported.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from typing import NamedTuple

from gitml import layout
from gitml.errors import BusyError
from gitml.git.command import Location
from gitml.git.integrity.repairs import announce, boot_time

REF_SECONDS = 60.0
"""Untouched for so long, the lock of a ref of gitml is stale: only gitml moves these refs, in milliseconds."""
OTHER_SECONDS = 600.0
"""The same for files that any git command may lock."""

_WATCHED = 1.0
_PATIENCE = REF_SECONDS + 15.0
_ANNOUNCED = 2.0
_SETTLED = 5.0  # seconds that an older lock has at least: clocks of machines that share a disk are not the same
_OTHERS = ("packed-refs.lock", "config.lock", "shallow.lock")
_NAMED = re.compile(rb"'([^']+\.lock)'")


class LockFile(NamedTuple):
    """A lock file of Git that can block gitml: its path, how many seconds nobody touched it, and whether it is stale."""

    path: str
    age: float
    stale: bool


def lock_files(location: Location) -> list[LockFile]:
    """Every lock file that can block gitml in this repository."""
    found = []
    for path in _candidates(location):
        try:
            touched = os.lstat(path).st_mtime
        except OSError:
            continue
        age = max(time.time() - touched, 0.0)
        limit = OTHER_SECONDS if os.path.basename(path) in _OTHERS else REF_SECONDS
        found.append(LockFile(path, age, age > limit or (age > _SETTLED and touched < boot_time() - _SETTLED)))
    return found


def wait_for_ref(location: Location, ref: str) -> Iterator[None]:
    """Yields whenever it is worth trying again to move `ref`, whose lock file was in the way; removes one that is stale.

    The caller holds gitml's own lock for that ref. BusyError when another git keeps touching the file.
    """
    path = os.path.join(location.common_dir, f"{ref}.lock")
    begun = time.monotonic()
    announced = False
    pause = 0.02
    while True:
        if _clear_at(location, path):
            yield
        waited = time.monotonic() - begun
        if waited > _PATIENCE:
            hint = "end the git that keeps it, or remove the file when there is none, then try again"
            raise BusyError(f"{ref} can't be moved: another git keeps its lock file", where=path, hint=hint)
        if waited > _ANNOUNCED and not announced:
            announced = True
            announce(f"waiting for another git to end, or for its lock file to be stale: {path}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)
        yield


def clear_blocking(location: Location, said: bytes) -> bool:
    """Removes the lock that git names in `said` if it is one that blocks gitml, and stale; whether it did."""
    named = _NAMED.search(said)
    return named is not None and _clear_at(location, os.path.join(location.folder, os.fsdecode(named[1])))


def clear(lock: LockFile) -> bool:
    """Removes a stale lock unless somebody touches it within a second; whether it did."""
    before = _state(lock.path)
    time.sleep(_WATCHED)
    if not lock.stale or before is None or _state(lock.path) != before:
        return False
    try:
        os.unlink(lock.path)
    except FileNotFoundError:
        return False
    announce(f"removed a lock file that a git which was ended left behind: {lock.path}")
    return True


def _clear_at(location: Location, path: str) -> bool:
    real = os.path.realpath(path)
    for lock in lock_files(location):
        if os.path.realpath(lock.path) == real:
            return lock.stale and clear(lock)
    return not os.path.lexists(path)  # it is gone: trying again will do


def _candidates(location: Location) -> Iterator[str]:
    for name in _OTHERS:
        yield os.path.join(location.common_dir, name)
    for folder, _, names in os.walk(os.path.join(location.common_dir, layout.REFS)):
        for name in names:
            if name.endswith(".lock"):
                yield os.path.join(folder, name)


def _state(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
