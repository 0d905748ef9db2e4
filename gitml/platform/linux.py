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
from typing import TYPE_CHECKING

from gitml.platform.interface import Usage, send

if TYPE_CHECKING:
    import ctypes
    import resource

LACKS: tuple[str, ...] = ()
CONTROL_SOCKET: int = 5  # SOCK_SEQPACKET: `socket` takes a while to be imported
ADOPTS_ORPHANS = True
SPAWNS_SESSIONS = True
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


def _libc() -> ctypes.CDLL:
    from gitml.platform.kernel import libc  # most commands do without

    return libc()


def deny_inspection() -> None:
    """See `Platform.deny_inspection`."""
    from gitml.platform import kernel

    kernel.deny_inspection()


def adopt_orphans(name: str, parent: int, death_signal: int) -> None:
    """Makes orphans below this process its children, has the kernel send `death_signal` when its parent dies."""
    import ctypes

    set_name, set_death_signal, set_subreaper = 15, 1, 36
    libc = _libc()
    libc.prctl(set_name, name.encode(), 0, 0, 0)
    libc.prctl(set_death_signal, death_signal, 0, 0, 0)
    if libc.prctl(set_subreaper, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot become a child subreaper")
    if os.getppid() != parent:
        os.kill(os.getpid(), death_signal)


def children() -> set[int]:
    """The ids of this process's children, those handed to it as a subreaper included, ended or not."""
    own = os.getpid()
    try:
        fd = os.open(f"/proc/{own}/task/{own}/children", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return set(below(own, depth=1))
    try:
        parts = []
        while part := os.read(fd, 2**16):
            parts.append(part)
    finally:
        os.close(fd)
    return {int(word) for word in b"".join(parts).split()}


def below(root: int, spare: Collection[int] = (), depth: int = 1000) -> list[int]:
    """The ids of all processes at most `depth` below `root`, but for those in `spare` and below them."""
    of_parent: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            fd = os.open(f"/proc/{name}/stat", os.O_RDONLY)
        except OSError:
            continue
        try:
            stat = os.read(fd, 4096)
        except OSError:
            continue
        finally:
            os.close(fd)
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
    spare: Collection[int] = (), reaped: Callable[[int, int], None] | None = None, groups: Collection[int] = ()
) -> Usage:
    """Kills and reaps all processes below this one but `spare`, until none is left; gives their CPU and peak memory.

    `reaped` is called with each spared child that ended meanwhile (pid, wait status). Processes the kernel will not end
    (waiting for a dead disk) are given up after `PATIENCE` seconds.
    """
    cpu = 0.0
    peak = 0
    until = time.monotonic() + PATIENCE
    pause = 0.0005
    looks = 0
    while True:
        ended, usage_cpu, usage_peak, childless = _reap(spare, reaped)
        cpu += usage_cpu
        peak = max(peak, usage_peak)
        if childless or children() <= set(spare):
            break
        # A tree that forks faster than it is read is stopped first, so that it stands still. No other is: if this process is
        # killed in between, what it had stopped would stay so for ever.
        looks += 1
        if looks > _UNSTOPPED:
            send(below(os.getpid(), spare), signal.SIGSTOP)
        send(below(os.getpid(), spare), signal.SIGKILL)
        if time.monotonic() > until:
            break
        if not ended:
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
    return Usage(cpu, peak)


def _reap(spare: Collection[int], reaped: Callable[[int, int], None] | None) -> tuple[int, float, int, bool]:
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
        peak = max(peak, peak_memory(usage))


def mounted_in(pid: int) -> tuple[int, int] | None:
    """(device, inode) of the folder that a process sees at the fixed path, None when there is none or it is not known."""
    try:
        found = os.stat(f"/proc/{pid}/root{MOUNTED}")
    except OSError:
        return None
    return found.st_dev, found.st_ino


def end_strays(directory: str) -> int:
    """Kills processes that run in `directory` or have it as their sandbox, until none is left; how many there were.

    For what a crash of everything at once left behind: sandboxes are known by their place, not by who started them.
    """
    killed: set[int] = set()
    until = time.monotonic() + PATIENCE
    while strays := strays_of(directory):
        killed.update(strays)
        send(strays, signal.SIGKILL)
        if time.monotonic() > until:
            break
        time.sleep(0.002)
    return len(killed)


def strays_of(directory: str) -> list[int]:
    """The processes that run in `directory`, have their TMPDIR below it, or see it, or a folder in it, as their sandbox."""
    marks = (f"\0TMPDIR={directory}/".encode("utf-8", "surrogateescape"), directory + "/")
    seen = _identities(directory)
    return [
        pid
        for pid in _all_processes()
        if _is_stray(pid, *marks) or (seen and (place := mounted_in(pid)) is not None and place in seen)
    ]


def _identities(directory: str) -> set[tuple[int, int]]:
    """(device, inode) of a directory and of those in it: what a mount of one of them is known by."""
    found = set()
    try:
        places = [directory, *[entry.path for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]]
        for place in places:
            status = os.lstat(place)
            found.add((status.st_dev, status.st_ino))
    except OSError:
        return found
    return found


def _all_processes() -> list[int]:
    own = os.getpid()
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != own]


def _is_stray(pid: int, variable: bytes, place: str) -> bool:
    try:
        if (os.readlink(f"/proc/{pid}/cwd") + "/").startswith(place):
            return True
        with open(f"/proc/{pid}/environ", "rb") as file:
            return variable in b"\0" + file.read()
    except OSError:
        return False


def note_group(sandbox: str, group: int) -> None:
    """Nothing: `end_strays` finds processes by where they run."""


class PidfdHandle:
    """A child by its pidfd."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.fd = os.pidfd_open(pid)

    def ended(self) -> bool:
        """See `interface.ChildHandle`."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(0))

    def wait(self) -> tuple[int, resource.struct_rusage]:
        """See `interface.ChildHandle`."""
        _, status, usage = os.wait4(self.pid, 0)
        return status, usage

    def close(self) -> None:
        """See `interface.ChildHandle`."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def watch_child(pid: int) -> PidfdHandle:
    """A handle on a child of this process."""
    return PidfdHandle(pid)


def wait_for_other(pid: int, seconds: float) -> None:
    """Waits for a process that is no child of this one to end, or to have ended, for at most `seconds`."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll(seconds * 1000)
    finally:
        os.close(handle)


def open_descriptors() -> list[int]:
    """The descriptors that are open in this process; the one of the listing itself is among them."""
    return [int(name) for name in os.listdir("/proc/self/fd")]


def enlarge_pipe(pipe: int, size: int) -> None:
    """Has a pipe hold more, where this user may ask for that."""
    try:
        fcntl.fcntl(pipe, _F_SETPIPE_SZ, size)
    except OSError:  # above this user's limit: the usual 64 KiB serve
        return


def peak_memory(usage: resource.struct_rusage) -> int:
    """The most bytes of memory that a process used."""
    return usage.ru_maxrss * 1024


def cpu_count() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def is_single_threaded() -> bool:
    """Whether this process has one thread."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


def confinement_refusal() -> str:
    """Why a step can't be confined to the files it is given; empty when it can."""
    from gitml.platform.landlock import available  # with ctypes: only what is strict needs it

    return available()[1]


def namespace_refusal() -> str:
    """Empty: each kind of namespace must be tried."""
    return ""


def boot_id() -> str | None:
    """What names the time since the machine was started; None where nothing does."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return None


def copy_rest(source: int, target: int) -> bool:
    """Copies an open file from where it stands, by the kernel; False when the rest must be copied by hand."""
    try:
        while os.copy_file_range(source, target, 1 << 30):
            pass
    except OSError as error:
        if error.errno not in _COPY_REFUSED:
            raise
        return False
    return True


def copy_piece(source: int, target: int, size: int, at: int) -> int:
    """Copies at most `size` bytes from `at` on to the same place, by the kernel: how many. OSError where it can't."""
    return os.copy_file_range(source, target, size, at, at)


def clone(source: int, target: int) -> bool:
    """Lets `target` share the blocks of `source` (a reflink); False where the file system can't."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _CLONE_REFUSED:
            return False
        raise
    return True


def start_writing(fd: int) -> None:
    """Asks the kernel to begin to write an open file to the disk, so that a later sync has little to wait for."""
    import ctypes

    at = ctypes.c_int64(0)
    _libc().sync_file_range(ctypes.c_int(fd), at, at, ctypes.c_uint(_SYNC_FILE_RANGE_WRITE))


def sync_file_system(path: str) -> bool:
    """Has all of the file system of `path` written to the disk. OSError when something can't be."""
    import ctypes

    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc().syncfs(fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(fd)
    return True


def file_system_sync_is_safe(folder: str) -> bool:
    """Whether `sync_file_system` makes all of it durable, and reports every failure to write.

    On an overlay the failures of the disk below are not reported by it; on FUSE and NFS it depends on who serves them.
    """
    return reports_failures() and file_system_kind(folder) in _SAFELY_SYNCED


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


def unwritten_bytes() -> int:
    """Bytes written that are not on their way to a disk yet, of all file systems; very many where that can't be known."""
    try:
        with open("/proc/meminfo", "rb") as file:
            for line in file:
                if line.startswith(b"Dirty:"):
                    return int(line.split()[1]) << 10
    except (OSError, ValueError, IndexError):
        pass
    return sys.maxsize
