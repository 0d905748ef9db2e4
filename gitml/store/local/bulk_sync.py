"""Many files written to the disk by one request to their file system (syncfs), where that is as good as a sync of each.

A sync of each file costs a request to the disk of its own. syncfs writes everything that is unwritten, of whichever process: so
it is asked only where there is little of that for each file that is to be synced, and where it is as safe.
"""

from __future__ import annotations

from collections.abc import Callable

from gitml.platform.current import platform
from gitml.store.local import disk

FEW = 64  # files up to which each is synced by itself
_UNWRITTEN_EACH = 64 << 10  # unwritten bytes for each file that is to be synced, up to which syncfs is the faster way


def begin_sync(folder: str) -> Callable[[], None]:
    """Begins a sync of the file system of `folder`; the returned function waits for its end, and raises what it raised."""
    return disk.in_threads([lambda: platform.sync_file_system(folder)])


def is_worth_one_request(count: int, folder: str) -> bool:
    """Whether `sync_file_system` is as good as a sync of each of `count` files, and faster."""
    if count <= FEW or not platform.file_system_sync_is_safe(folder):
        return False
    return platform.unwritten_bytes() <= count * _UNWRITTEN_EACH
