"""What gitml asks of an operating system beyond what Python gives everywhere, and the portable form of it, with POSIX alone.

In the portable form a step is a process group, and what is below it is what stays in that group: a process that leaves it can't
be found. Children are looked at again and again where no descriptor becomes readable at their end.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import resource

LOOK = 0.01
"""Seconds between looks at a process where no descriptor becomes readable at its end."""

_PATIENCE = 0.2  # what ended stays in its group until it is reaped, by a process that may not be this one
_PARENT_LOOK = 0.5  # seconds between looks at the parent
_GROUP = "group"  # the file in a sandbox that has the process group of its step
_NO_ISOLATION = "this system has neither Landlock nor namespaces, as Linux has"


class Usage(NamedTuple):
    """What processes used that were ended: seconds of CPU, and the most bytes of memory of one of them."""

    cpu: float = 0.0
    peak_memory: int = 0


def send(pids: Collection[int], number: int) -> None:
    """Sends a signal to each of `pids`; those that are gone or not ours to signal are passed over."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


class ChildHandle:
    """A child process that somebody waits for. This one is asked again and again, and reaped once it was seen to have ended."""

    fd = -1
    """Becomes readable when the child has ended; -1 where none does, and `ended` must be asked again and again."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._result: tuple[int, resource.struct_rusage] | None = None

    def ended(self) -> bool:
        """Whether the child has ended."""
        if self._result is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._result = status, usage
        return self._result is not None

    def wait(self) -> tuple[int, resource.struct_rusage]:
        """Waits for its end, and reaps it: its wait status and what it used."""
        if self._result is None:
            _, status, usage = os.wait4(self.pid, 0)
            self._result = status, usage
        return self._result

    def close(self) -> None:
        """Frees the descriptor; the child is not touched."""


class Platform:
    """The functions and facts of one form: a method says what is asked of every form, and does what the portable one can."""

    LACKS: tuple[str, ...] = (
        "processes of a step that leave its process group are not ended with it",
        "what a crash of gitml and its workers left running is not found",
        "other processes of this user can look into gitml: its memory and its environment",
        "sandbox: strict and network: loopback or none can't be kept",
        "sandboxes have no fixed path: what writes its own path into a result makes another result on another machine",
        "copies share no blocks, and each file is synced by itself",
    )
    """The guarantees that this form does not give, each in words for people."""
    CONTROL_SOCKET = 1  # SOCK_STREAM: `socket` takes a while to be imported
    """The type of a socket pair of the Unix domain whose other end notices when one is closed."""
    ADOPTS_ORPHANS = False
    """Whether orphans below a process that has called `adopt_orphans` become its children, and are ended by its `end_all`."""
    SPAWNS_SESSIONS = False
    """Whether `os.posix_spawn` can start a process in a session of its own."""

    def adopt_orphans(self, name: str, parent: int, death_signal: int) -> None:
        """Makes orphans below this process its children where that can be, and sends it `death_signal` when `parent` ends."""
        if not death_signal:
            return

        def look(_number: int, _frame: object) -> None:
            if os.getppid() != parent:
                os.kill(os.getpid(), death_signal)

        signal.signal(signal.SIGALRM, look)
        signal.setitimer(signal.ITIMER_REAL, _PARENT_LOOK, _PARENT_LOOK)

    def children(self) -> set[int]:
        """The ids of this process's children, adopted ones included, ended or not; empty where they can't be listed."""
        return set()

    def below(self, root: int, spare: Collection[int] = (), depth: int = 1000) -> list[int]:
        """The ids of all processes at most `depth` below `root`, without `spare` and those below them; as for `children`."""
        return []

    def end_all(
        self,
        spare: Collection[int] = (),
        reaped: Callable[[int, int], None] | None = None,
        groups: Collection[int] = (),
    ) -> Usage:
        """Kills and reaps all processes below this one but `spare`, as far as they can be found, and those of `groups`.

        `reaped` is called for each spared child that ended meanwhile (pid, wait status).
        """
        usage = Usage()
        for group in groups:
            until = time.monotonic() + _PATIENCE
            while _kill_group(group) and time.monotonic() < until:
                with suppress(ChildProcessError):
                    pid, _, used = os.wait4(-group, os.WNOHANG)
                    if pid:
                        cpu = usage.cpu + used.ru_utime + used.ru_stime
                        usage = Usage(cpu, max(usage.peak_memory, self.peak_memory(used)))
                        continue
                time.sleep(0.002)
        return usage

    def end_strays(self, directory: str) -> int:
        """Kills what still runs of a sandbox, or of the sandboxes in a folder; how many processes there were.

        Without a list of processes it is the group that `note_group` noted in a sandbox, counted as one.
        """
        try:
            with open(f"{directory}/{_GROUP}") as file:
                group = int(file.read())
        except (OSError, ValueError):
            return 0
        if group <= 1 or group == os.getpgrp() or not _kill_group(group):
            return 0
        until = time.monotonic() + 1.0  # see `_PATIENCE`: this process is not the one that reaps
        while _kill_group(group) and time.monotonic() < until:
            time.sleep(0.002)
        return 1

    def strays_of(self, directory: str) -> list[int]:
        """The processes that run in `directory`, as far as they can be found."""
        return []

    def note_group(self, sandbox: str, group: int) -> None:
        """Notes the process group of a step for `end_strays`, where that could not find it otherwise."""
        with open(f"{sandbox}/{_GROUP}", "w") as file:
            file.write(str(group))

    def watch_child(self, pid: int) -> ChildHandle:
        """A handle on a child of this process."""
        return ChildHandle(pid)

    def wait_for_other(self, pid: int, seconds: float) -> None:
        """Waits for a process that is no child of this one to end, or to have ended, for at most `seconds`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                os.kill(pid, 0)
            except (ProcessLookupError, PermissionError):  # gone, or another user's by now
                return
            time.sleep(0.01)

    def open_descriptors(self) -> list[int]:
        """The descriptors that are open in this process; the one of the listing itself may be among them."""
        try:
            return [int(name) for name in os.listdir("/dev/fd")]
        except (OSError, ValueError):
            import resource

            most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 4096)
            return [fd for fd in range(most) if _is_open(fd)]

    def enlarge_pipe(self, pipe: int, size: int) -> None:
        """Has a pipe hold more, where this user may ask for that."""

    def peak_memory(self, usage: resource.struct_rusage) -> int:
        """The most bytes of memory that a process used; macOS counts bytes, others KiB."""
        return usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024

    def bytes_written(self, pid: int) -> int | None:
        """The bytes that a process of this user wrote to files so far; None where that can't be known."""
        return None

    def cpu_count(self) -> int:
        """How many processors this process may use."""
        return os.cpu_count() or 1

    def is_single_threaded(self) -> bool:
        """Whether this process is known to have one thread, so that a copy of it may go on."""
        return False

    def deny_inspection(self) -> None:
        """Keeps other processes of this user from looking into this one and its copies, where that can be; see LACKS."""

    def confinement_refusal(self) -> str:
        """Why a step can't be confined to the files it is given; empty when it can."""
        return _NO_ISOLATION

    def namespace_refusal(self) -> str:
        """Why there are no namespaces of networks, mounts and processes at all; empty when the kernel can be asked for them."""
        return _NO_ISOLATION

    def boot_id(self) -> str | None:
        """What names the time since the machine was started; None where nothing does."""
        return None

    def copy_rest(self, source: int, target: int) -> bool:
        """Copies an open file from where it stands, by the kernel; False when the rest must be copied by hand."""
        return False

    def copy_piece(self, source: int, target: int, size: int, at: int) -> int:
        """Copies at most `size` bytes from `at` on to the same place, by the kernel: how many. OSError where it can't."""
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    def clone(self, source: int, target: int) -> bool:
        """Lets `target` share the blocks of `source` (a reflink); False where the file system can't."""
        return False

    def start_writing(self, fd: int) -> None:
        """Asks the kernel to begin to write an open file to the disk, so that a later sync has little to wait for."""

    def sync_file_system(self, path: str) -> bool:
        """Has all of the file system of `path` written to the disk; False where there is no such call. OSError when it failed."""
        return False

    def file_system_sync_is_safe(self, folder: str) -> bool:
        """Whether `sync_file_system` makes all of it durable, and reports every failure to write."""
        return False

    def unwritten_bytes(self) -> int:
        """Bytes written that are not on their way to a disk yet, of all file systems; very many where that can't be known."""
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
