"""Kernel-held locks: numbered slots of one file, each free again the moment its process ends, however it ends.

The locks are POSIX record locks, which belong to a process. Two laws follow, and callers rely on both: a second
`try_lock` of a slot by the same process is refused here, because the kernel would grant it; and the process must open
the lock file through this module only, because closing any other descriptor of it drops every lock the process holds.
After a fork the child holds nothing.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gitml.errors import BusyError, Guard, MachineError, machine_error
from gitml.permissions import ALONE, SharedMode, permission_hint

_FIRST_NAMED = 1 << 32
_NAMED = 1 << 62

# struct flock, and which of its fields are the kind of lock and the holder.
if sys.platform == "darwin":
    _FLOCK, _PID, _KIND = "qqihh", 2, 3
else:
    _FLOCK, _PID, _KIND = "hhqqi0q", 4, 0


class _File:
    """The one descriptor of a lock file in this process, and the slots held through it."""

    __slots__ = ("fd", "held", "pid", "shares_only")

    def __init__(self, fd: int, shares_only: bool = False) -> None:
        self.fd = fd
        self.shares_only = shares_only  # a file that can't be written; without a descriptor where none can be made
        self.pid = os.getpid()
        self.held: dict[int, object] = {}


_files: dict[tuple[int, int], _File] = {}


class Locks:
    """The slots of the lock file at `path`, made when missing. All `Locks` of one file share its slots within a process."""

    GC = 0
    """Shared by what runs, exclusive for what deletes."""
    RECORDS = 1
    """Exclusive for what moves a record ref."""

    def __init__(self, path: str, sharing: SharedMode = ALONE, *, read_only: bool = False) -> None:
        self.path = path
        try:
            self._file = _opened(path, sharing)
        except MachineError:
            if not read_only:
                raise
            self._file = _opened_to_look(path)

    def try_lock(self, slot: int, *, shared: bool = False) -> bool:
        """Takes the slot if that needs no waiting. False when another process has it, or this one already."""
        file = self._mine()
        token = object()
        if file.held.setdefault(slot, token) is not token:
            return False
        if file.fd < 0 and shared:
            return True
        if file.shares_only and not shared:
            del file.held[slot]
            raise MachineError("nothing can be changed here", where=self.path, hint=permission_hint(self.path))
        try:
            fcntl.lockf(file.fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB, 1, slot)
        except OSError as error:
            del file.held[slot]
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise machine_error(error, self.path) from error
        return True

    def lock(self, slot: int, timeout: float | None = None, *, shared: bool = False) -> bool:
        """Takes the slot, waiting up to `timeout` seconds (None: for ever). False when it could not be had."""
        end = None if timeout is None else time.monotonic() + timeout
        pause = 0.001
        while not self.try_lock(slot, shared=shared):
            left = pause if end is None else end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(pause * 2, 0.05)
        return True

    def unlock(self, slot: int) -> None:
        """Frees the slot; nothing happens when this process does not hold it."""
        file = self._mine()
        if slot in file.held:
            with Guard(self.path):
                if file.fd >= 0:
                    fcntl.lockf(file.fd, fcntl.LOCK_UN, 1, slot)
            del file.held[slot]

    def holder(self, slot: int) -> int | None:
        """The process that holds the slot (this one included), None when it is free. Only for showing: it may be gone."""
        file = self._mine()
        if slot in file.held:
            return file.pid
        if file.fd < 0:
            return None
        request: list[int] = [0] * 5
        request[_KIND] = fcntl.F_WRLCK
        start = 0 if _PID == 2 else 2
        request[start], request[start + 1] = slot, 1
        with Guard(self.path):
            answer = struct.unpack(_FLOCK, fcntl.fcntl(file.fd, fcntl.F_GETLK, struct.pack(_FLOCK, *request)))
        return None if answer[_KIND] == fcntl.F_UNLCK else int(answer[_PID])

    @contextmanager
    def holding(
        self, slot: int, timeout: float | None = None, *, shared: bool = False, what: str = "it"
    ) -> Iterator[None]:
        """``with locks.holding(slot, 10, what="the records"):``. BusyError naming the process that has it on time-out."""
        if not self.lock(slot, timeout, shared=shared):
            pid = self.holder(slot)
            by = f"process {pid}" if pid else "another process"
            raise BusyError(f"{by} is using {what}", where=self.path, hint="wait for it to end, then try again")
        try:
            yield
        finally:
            self.unlock(slot)

    @staticmethod
    def slot_for(name: str) -> int:
        """The slot of a name: far above the numbered ones, two names sharing one about never."""
        return _FIRST_NAMED + int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % _NAMED

    def _mine(self) -> _File:
        file = self._file
        if file.pid != os.getpid():  # a fork: the kernel gave the child no lock
            file.held.clear()
            file.pid = os.getpid()
        return file


def _opened(path: str, sharing: SharedMode) -> _File:
    """The lock file, made when missing."""
    with Guard(path):
        try:
            found = os.stat(path)
        except FileNotFoundError:
            sharing.make_folder(os.path.dirname(path) or ".")
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666))
            sharing.open_up(path)
            found = os.stat(path)
        return _file_of(found, path, shares_only=False)


def _opened_to_look(path: str) -> _File:
    """A lock file that can't be written, whose slots can be shared all the same; with no file there is nobody to share with."""
    try:
        return _file_of(os.stat(path), path, shares_only=True)
    except OSError:
        return _File(-1, True)


def _file_of(found: os.stat_result, path: str, *, shares_only: bool) -> _File:
    place = (found.st_dev, found.st_ino)
    if place not in _files:
        flags = os.O_RDONLY if shares_only else os.O_RDWR
        _files[place] = _File(os.open(path, flags | os.O_CLOEXEC), shares_only)
    return _files[place]
