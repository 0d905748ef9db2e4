"""A file system that is soon full. Only root can mount one: mark tests that do with `root`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk_at(mount: Path, size: str) -> Iterator[None]:
    """A file system of `size` (as ``mount`` writes it) in the folder `mount`, gone in the end."""
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mount)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"root may not mount here, as in a container without that right: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(mount)], check=True)
