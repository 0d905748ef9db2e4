"""Many files written to the disk by one request to their file system (syncfs), where that is as good as a sync of each.

A sync of each file costs a request to the disk of its own. syncfs writes everything that is unwritten, of whichever process: so
it is asked only where there is little of that for each file that is to be synced. It is as good where the file system makes
everything durable by it and the kernel reports every failure to write: Linux 5.8 or later and a file system of `_KINDS`. On an
overlay the failures of the disk below are not reported by it; on FUSE and NFS it depends on who serves them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from gitml.files import sync_file_system
from gitml.store.local import disk

FEW = 64  # files up to which each is synced by itself
_UNWRITTEN_EACH = 64 << 10  # unwritten bytes for each file that is to be synced, up to which syncfs is the faster way
_KINDS = (0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x01021994)  # ext4, xfs, btrfs, f2fs, tmpfs
_REPORTS_FAILURES = (5, 8)  # the kernel whose syncfs tells of data that could not be written
_STATFS_BYTES = 256  # more than struct statfs has anywhere; it begins with the kind, a long


def begin_sync(folder: str) -> Callable[[], None]:
    """Begins what `sync_file_system` does; the returned function waits for its end, and raises what it raised."""
    return disk.in_threads([lambda: sync_file_system(folder)])


def is_worth_one_request(count: int, folder: str) -> bool:
    """Whether `sync_file_system` is as good as a sync of each of `count` files, and faster."""
    return count > FEW and _reports_failures() and _kind(folder) in _KINDS and _unwritten() <= count * _UNWRITTEN_EACH


def _reports_failures() -> bool:
    if sys.platform != "linux":
        return False
    numbers = os.uname().release.split("-")[0].split(".")[:2]
    return all(part.isdigit() for part in numbers) and tuple(map(int, numbers)) >= _REPORTS_FAILURES


def _kind(folder: str) -> int:
    """The number by which the kernel knows the kind of a folder's file system; 0 where it can't be asked."""
    import ctypes

    found = ctypes.create_string_buffer(_STATFS_BYTES)
    try:
        if ctypes.CDLL(None).statfs(os.fsencode(folder), found):
            return 0
    except (AttributeError, OSError):
        return 0
    return ctypes.c_ulong.from_buffer(found).value


def _unwritten() -> int:
    """Bytes written that are not on their way to a disk yet, of all file systems; very many where that can't be known."""
    try:
        with open("/proc/meminfo", "rb") as file:
            for line in file:
                if line.startswith(b"Dirty:"):
                    return int(line.split()[1]) << 10
    except (OSError, ValueError, IndexError):
        pass
    return sys.maxsize
