"""Keeping the number of packs small: each record adds one."""

from __future__ import annotations

import os
import subprocess

from gitml.git.command import Location, popen

MOST_PACKS = 30
_started: list[subprocess.Popen[bytes]] = []


def tidy(location: Location) -> bool:
    """Starts joining small packs in the background when there are many; whether it did. Safe beside any other git.

    Packs in a geometric row: the large ones are left alone, and objects nobody refers to stay.
    """
    folder = os.path.join(location.common_dir, "objects", "pack")
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    if sum(name.endswith(".pack") for name in names) <= MOST_PACKS or any(name.endswith(".promisor") for name in names):
        return False
    args = ("repack", "--geometric=2", "-d", "--quiet", "--no-write-bitmap-index")
    nowhere = subprocess.DEVNULL
    # Kept, so that what has ended by the next call is reaped; nobody waits for it.
    _started[:] = [process for process in _started if process.poll() is None]
    if not _started:
        _started.append(popen(location, *args, stdin=nowhere, stdout=nowhere, stderr=nowhere))
    return True
