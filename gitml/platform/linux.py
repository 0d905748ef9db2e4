"""The Linux form: child subreapers, /proc, pidfds, Landlock, namespaces, and copies and syncs by the kernel.

All processes below one are found and ended by it: an orphan of them becomes the child of the nearest process that has
called `adopt_orphans`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from gitml.files import closing_fd, opened
from gitml.platform.interface import ChildHandle, Platform, Usage, send

if TYPE_CHECKING:
    import ctypes


PATIENCE = 10.0
MOUNTED = "/gitml-sandbox"
"""Where a step sees its sandbox, if it has a view of the machine of its own: see `execute.sandbox.namespace`."""

_UNSTOPPED = 20  # looks at what is below, in some 0.2 s, before it counts as a tree that forks too fast
_F_SETPIPE_SZ = 1031
_FICLONE = 0x40049409
_SYNC_FILE_RANGE_WRITE = 2
_CLONE_REFUSED = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM)
_COPY_REFUSED = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
_SAFELY_SYNCED = (0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x01021994)  # ext4, xfs, btrfs, f2fs, tmpfs
_REPORTS_FAILURES = (5, 8)  # the kernel whose syncfs tells of data that could not be written
_STATFS_BYTES = 256  # more than struct statfs has anywhere; it begins with the kind, a long


class _LinuxPlatform(Platform):
    """What each method is for is said in `Platform`; here only what is Linux's own."""

    LACKS = ()
    CONTROL_SOCKET = 5  # SOCK_SEQPACKET: `socket` takes a while to be imported
    ADOPTS_ORPHANS = True
    SPAWNS_SESSIONS = True

    def adopt_orphans(self, name: str, parent: int, death_signal: int) -> None:
        import ctypes

        set_name, set_death_signal, set_subreaper = 15, 1, 36
        libc = _libc()
        libc.prctl(set_name, name.encode(), 0, 0, 0)
        libc.prctl(set_death_signal, death_signal, 0, 0, 0)
        if libc.prctl(set_subreaper, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "cannot become a child subreaper")
        if os.getppid() != parent:
            os.kill(os.getpid(), death_signal)

    def children(self) -> set[int]:
        own = os.getpid()
        try:
            with opened(f"/proc/{own}/task/{own}/children") as fd:
                parts = []
                while part := os.read(fd, 2**16):
                    parts.append(part)
        except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
            return set(self.below(own, depth=1))
        return {int(word) for word in b"".join(parts).split()}

    def below(self, root: int, spare: Collection[int] = (), depth: int = 1000) -> list[int]:
        of_parent: dict[int, list[int]] = {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with opened(f"/proc/{name}/stat") as fd:
                    stat = os.read(fd, 4096)
            except OSError:
                continue
            # the name, in parentheses, may hold anything; state and parent follow it
            parent = int(stat[stat.rfind(b")") + 2 :].split(b" ", 2)[1])
            of_parent.setdefault(parent, []).append(int(name))
        found: list[int] = []
        generation = [root]
        while generation and depth > 0:
            generation = [pid for parent in generation for pid in of_parent.get(parent, ()) if pid not in spare]
            found += generation
            depth -= 1
        return found

    def end_all(
        self,
        spare: Collection[int] = (),
        reaped: Callable[[int, int], None] | None = None,
        groups: Collection[int] = (),
    ) -> Usage:
        """Until none is left. Processes the kernel won't end (waiting for a dead disk) are given up after `PATIENCE` seconds."""
        cpu = 0.0
        peak = 0
        until = time.monotonic() + PATIENCE
        pause = 0.0005
        looks = 0
        while True:
            ended, usage_cpu, usage_peak, childless = self._reap(spare, reaped)
            cpu += usage_cpu
            peak = max(peak, usage_peak)
            if childless or self.children() <= set(spare):
                break
            # A tree that forks faster than it is read is stopped first, so that it stands still. No other is: if this process
            # is killed in between, what it had stopped would stay so for ever.
            looks += 1
            if looks > _UNSTOPPED:
                send(self.below(os.getpid(), spare), signal.SIGSTOP)
            send(self.below(os.getpid(), spare), signal.SIGKILL)
            if time.monotonic() > until:
                break
            if not ended:
                time.sleep(pause)
                pause = min(pause * 2, 0.02)
        return Usage(cpu, peak)

    def _reap(self, spare: Collection[int], reaped: Callable[[int, int], None] | None) -> tuple[int, float, int, bool]:
        """Reaps what has ended: how many, their CPU seconds, their peak, and whether no child is left at all."""
        ended, cpu, peak = 0, 0.0, 0
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return ended, cpu, peak, True
            if pid == 0:
                return ended, cpu, peak, False
            if pid in spare:
                if reaped:
                    reaped(pid, status)
                continue
            ended += 1
            cpu += usage.ru_utime + usage.ru_stime
            peak = max(peak, self.peak_memory(usage))

    def end_strays(self, directory: str) -> int:
        """For what a crash of everything at once left: sandboxes are known by their place, not by who started them."""
        killed: set[int] = set()
        until = time.monotonic() + PATIENCE
        while strays := self.strays_of(directory):
            killed.update(strays)
            send(strays, signal.SIGKILL)
            if time.monotonic() > until:
                break
            time.sleep(0.002)
        return len(killed)

    def strays_of(self, directory: str) -> list[int]:
        """Those too that have their TMPDIR below it, or see it, or a folder in it, as their sandbox."""
        marks = (f"\0TMPDIR={directory}/".encode("utf-8", "surrogateescape"), directory + "/")
        seen = _identities(directory)
        own = str(os.getpid())
        return [
            int(pid)
            for pid in filter(str.isdigit, os.listdir("/proc"))
            if pid != own and (_is_stray(pid, *marks) or (seen and _mounted_in(pid) in seen))
        ]

    def note_group(self, sandbox: str, group: int) -> None:
        """Nothing: `end_strays` finds processes by where they run."""

    def watch_child(self, pid: int) -> ChildHandle:
        return _PidfdHandle(pid)

    def wait_for_other(self, pid: int, seconds: float) -> None:
        with suppress(ProcessLookupError), closing_fd(os.pidfd_open(pid)) as handle:
            _becomes_readable(handle, seconds)

    def open_descriptors(self) -> list[int]:
        return [int(name) for name in os.listdir("/proc/self/fd")]

    def enlarge_pipe(self, pipe: int, size: int) -> None:
        with suppress(OSError):  # above this user's limit: the usual 64 KiB serve
            fcntl.fcntl(pipe, _F_SETPIPE_SZ, size)

    def bytes_written(self, pid: int) -> int | None:
        """What it passed to write, pipes included."""
        with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/io", "rb") as file:
            return int(file.read().partition(b"wchar:")[2].split()[0])
        return None

    def cpu_count(self) -> int:
        return len(os.sched_getaffinity(0))

    def is_single_threaded(self) -> bool:
        try:
            return len(os.listdir("/proc/self/task")) == 1
        except OSError:
            return False

    def deny_inspection(self) -> None:
        from gitml.platform import kernel

        kernel.deny_inspection()

    def confinement_refusal(self) -> str:
        from gitml.platform.landlock import refusal  # with ctypes: only what is strict needs it

        return refusal()

    def namespace_refusal(self) -> str:
        """Empty: each kind of namespace must be tried."""
        return ""

    def boot_id(self) -> str | None:
        try:
            with open("/proc/sys/kernel/random/boot_id") as file:
                return file.read().strip()
        except OSError:
            return None

    def copy_rest(self, source: int, target: int) -> bool:
        try:
            while os.copy_file_range(source, target, 1 << 30):
                pass
        except OSError as error:
            if error.errno not in _COPY_REFUSED:
                raise
            return False
        return True

    def copy_piece(self, source: int, target: int, size: int, at: int) -> int:
        return os.copy_file_range(source, target, size, at, at)

    def clone(self, source: int, target: int) -> bool:
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError as error:
            if error.errno in _CLONE_REFUSED:
                return False
            raise
        return True

    def start_writing(self, fd: int) -> None:
        import ctypes

        at = ctypes.c_int64(0)
        _libc().sync_file_range(ctypes.c_int(fd), at, at, ctypes.c_uint(_SYNC_FILE_RANGE_WRITE))

    def sync_file_system(self, path: str) -> bool:
        import ctypes

        with opened(path) as fd:
            if _libc().syncfs(fd):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), path)
        return True

    def file_system_sync_is_safe(self, folder: str) -> bool:
        """On an overlay the failures of the disk below are not reported by it; on FUSE and NFS it depends on who serves them."""
        return reports_failures() and file_system_kind(folder) in _SAFELY_SYNCED

    def unwritten_bytes(self) -> int:
        with suppress(OSError, ValueError, IndexError), open("/proc/meminfo", "rb") as file:
            for line in file:
                if line.startswith(b"Dirty:"):
                    return int(line.split()[1]) << 10
        return sys.maxsize


form = _LinuxPlatform()


class _PidfdHandle(ChildHandle):
    """A child by its pidfd."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.fd = os.pidfd_open(pid)

    def ended(self) -> bool:
        return _becomes_readable(self.fd, 0)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _becomes_readable(fd: int, seconds: float) -> bool:
    """Whether it is, or gets so within `seconds`."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _libc() -> ctypes.CDLL:
    from gitml.platform.kernel import libc  # most commands do without

    return libc()


def _mounted_in(pid: str) -> tuple[int, int] | None:
    """(device, inode) of the folder that a process sees at the fixed path, None when there is none or it is not known."""
    try:
        found = os.stat(f"/proc/{pid}/root{MOUNTED}")
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _identities(directory: str) -> set[tuple[int, int]]:
    """(device, inode) of a directory and of those in it: what a mount of one of them is known by."""
    found = set()
    with suppress(OSError):
        places = [directory, *[entry.path for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]]
        for place in places:
            status = os.lstat(place)
            found.add((status.st_dev, status.st_ino))
    return found


def _is_stray(pid: str, variable: bytes, place: str) -> bool:
    try:
        if (os.readlink(f"/proc/{pid}/cwd") + "/").startswith(place):
            return True
        with open(f"/proc/{pid}/environ", "rb") as file:
            return variable in b"\0" + file.read()
    except OSError:
        return False


def reports_failures() -> bool:
    """Whether this kernel's syncfs reports data that could not be written."""
    numbers = os.uname().release.split("-")[0].split(".")[:2]
    return all(part.isdigit() for part in numbers) and tuple(map(int, numbers)) >= _REPORTS_FAILURES


def file_system_kind(folder: str) -> int:
    """The number by which the kernel knows the kind of a folder's file system; 0 where it can't be asked."""
    import ctypes

    found = ctypes.create_string_buffer(_STATFS_BYTES)
    if _libc().statfs(os.fsencode(folder), found):
        return 0
    return ctypes.c_ulong.from_buffer(found).value
