"""The portable form: what POSIX has, and what Python does with it on every system.

A step is a process group, and what is below it is what stays in that group: a process that leaves it can't be found. Children
are looked at again and again where no descriptor becomes readable at their end.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from gitml.platform.interface import Usage

LACKS: tuple[str, ...] = (
    "processes of a step that leave its process group are not ended with it",
    "what a crash of gitml and its workers left running is not found",
    "other processes of this user can look into gitml: its memory and its environment",
    "sandbox: strict and network: loopback or none can't be kept",
    "sandboxes have no fixed path: what writes its own path into a result makes another result on another machine",
    "copies share no blocks, and each file is synced by itself",
)
CONTROL_SOCKET: int = 1  # SOCK_STREAM: `socket` takes a while to be imported
ADOPTS_ORPHANS = False
SPAWNS_SESSIONS = False

_PATIENCE = 0.2  # what ended stays in its group until it is reaped, by a process that may not be this one
_LOOK = 0.5  # seconds between looks at the parent
_GROUP = "group"  # the file in a sandbox that has the process group of its step
_NO_ISOLATION = "this system has neither Landlock nor namespaces, as Linux has"


def adopt_orphans(name: str, parent: int, death_signal: int) -> None:
    """Sends this process `death_signal` soon after its parent has ended; orphans below it can't become its children."""
    if not death_signal:
        return

    def look(_number: int, _frame: object) -> None:
        if os.getppid() != parent:
            os.kill(os.getpid(), death_signal)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _LOOK, _LOOK)


def children() -> set[int]:
    """Empty: they can't be listed."""
    return set()


def below(root: int, spare: Collection[int] = (), depth: int = 1000) -> list[int]:
    """Empty: they can't be listed."""
    return []


def end_all(
    spare: Collection[int] = (), reaped: Callable[[int, int], None] | None = None, groups: Collection[int] = ()
) -> Usage:
    """Kills all processes of `groups`, and reaps those that are children of this one."""
    usage = Usage()
    for group in groups:
        until = time.monotonic() + _PATIENCE
        while _kill_group(group) and time.monotonic() < until:
            with suppress(ChildProcessError):
                pid, _, used = os.wait4(-group, os.WNOHANG)
                if pid:
                    cpu = usage.cpu + used.ru_utime + used.ru_stime
                    usage = Usage(cpu, max(usage.peak_memory, peak_memory(used)))
                    continue
            time.sleep(0.002)
    return usage


def end_strays(directory: str) -> int:
    """Kills the process group that `note_group` noted in a sandbox; 1 when it was there."""
    try:
        with open(f"{directory}/{_GROUP}") as file:
            group = int(file.read())
    except (OSError, ValueError):
        return 0
    if group <= 1 or group == os.getpgrp() or not _kill_group(group):
        return 0
    until = (
        time.monotonic() + 1.0
    )  # what ended stays in its group until it is reaped, by a process that is not this one
    while _kill_group(group) and time.monotonic() < until:
        time.sleep(0.002)
    return 1


def strays_of(directory: str) -> list[int]:
    """Empty: where a process runs can't be asked."""
    return []


def note_group(sandbox: str, group: int) -> None:
    """Notes the process group of a step in its sandbox, for who ends it if the worker is killed."""
    with open(f"{sandbox}/{_GROUP}", "w") as file:
        file.write(str(group))


class PolledHandle:
    """A child that is asked for again and again; once it was seen to have ended it is reaped."""

    fd = -1

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._result: tuple[int, resource.struct_rusage] | None = None

    def ended(self) -> bool:
        """See `interface.ChildHandle`."""
        if self._result is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._result = status, usage
        return self._result is not None

    def wait(self) -> tuple[int, resource.struct_rusage]:
        """See `interface.ChildHandle`."""
        if self._result is None:
            _, status, usage = os.wait4(self.pid, 0)
            self._result = status, usage
        return self._result

    def close(self) -> None:
        """See `interface.ChildHandle`."""


def watch_child(pid: int) -> PolledHandle:
    """A handle on a child of this process."""
    return PolledHandle(pid)


def wait_for_other(pid: int, seconds: float) -> None:
    """Waits for a process that is no child of this one to end, or to have ended, for at most `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        except PermissionError:  # another user's by now
            return
        time.sleep(0.01)


def open_descriptors() -> list[int]:
    """The descriptors that are open in this process; the one of the listing itself may be among them."""
    try:
        return [int(name) for name in os.listdir("/dev/fd")]
    except (OSError, ValueError):
        most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 4096)
        return [fd for fd in range(most) if _is_open(fd)]


def enlarge_pipe(pipe: int, size: int) -> None:
    """Nothing: pipes hold what they hold."""


def peak_memory(usage: resource.struct_rusage) -> int:
    """The most bytes of memory that a process used; macOS counts bytes, others KiB."""
    return usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024


def cpu_count() -> int:
    """How many processors this machine has."""
    return os.cpu_count() or 1


def is_single_threaded() -> bool:
    """False: threads of libraries can't be counted."""
    return False


def deny_inspection() -> None:
    """Nothing: see LACKS."""


def confinement_refusal() -> str:
    """Why a step can't be confined to the files it is given."""
    return _NO_ISOLATION


def namespace_refusal() -> str:
    """Why there are no namespaces."""
    return _NO_ISOLATION


def boot_id() -> str | None:
    """None: nothing names the time since the machine was started."""
    return None


def copy_rest(source: int, target: int) -> bool:
    """False: it is copied by hand."""
    return False


def copy_piece(source: int, target: int, size: int, at: int) -> int:
    """OSError: the kernel copies nothing."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def clone(source: int, target: int) -> bool:
    """False: copies share no blocks."""
    return False


def start_writing(fd: int) -> None:
    """Nothing: the later sync does it all."""


def sync_file_system(path: str) -> bool:
    """False: each file must be synced."""
    return False


def file_system_sync_is_safe(folder: str) -> bool:
    """False: there is no such call."""
    return False


def unwritten_bytes() -> int:
    """Very many: that can't be known."""
    return sys.maxsize


def _kill_group(group: int) -> bool:
    """Whether there was a process in the group to be killed."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (
        ProcessLookupError,
        PermissionError,
    ):  # macOS answers so for a group of processes that ended and aren't reaped
        return False
    return True


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
