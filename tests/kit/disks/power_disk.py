"""A real ext4 in a file whose power can be cut: what was not synced is lost. Only root can mount one: mark tests with `root`."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from pathlib import Path

import pytest

_SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN
_WITHOUT_FLUSH = 2


class PowerDisk:
    """The file system, mounted at `mount`; a context manager that leaves nothing mounted."""

    def __init__(self, folder: Path, size: str = "64M") -> None:
        folder.mkdir(parents=True)
        self.image = folder / "image"
        self.mount = folder / "mount"
        self.mount.mkdir()
        subprocess.run(["truncate", "-s", size, str(self.image)], check=True)
        subprocess.run(["mkfs.ext4", "-q", str(self.image)], check=True)

    def __enter__(self) -> PowerDisk:
        self._attach()
        return self

    def __exit__(self, *_: object) -> None:
        self._detach()

    def cut(self) -> None:
        """Cuts the power: nothing more is written, and what the kernel had not written yet is gone. Then it is mounted again."""
        descriptor = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSH))
        finally:
            os.close(descriptor)
        self._detach()
        # Another process may have a mount namespace in which the dead file system goes on, and it would be mounted again.
        after = self.image.with_name(f"{self.image.name}'")
        subprocess.run(["cp", "--sparse=always", str(self.image), str(after)], check=True)
        self.image.unlink()
        self.image = after
        self._attach()

    def _attach(self) -> None:
        done = subprocess.run(
            ["mount", "-o", "loop", str(self.image), str(self.mount)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"root may not mount here, as in a container without that right: {done.stderr.strip()}")

    def _detach(self) -> None:
        for _ in range(100):
            done = subprocess.run(["umount", str(self.mount)], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            time.sleep(0.1)  # a process that was cut off still ends
        raise AssertionError(done.stderr)
