"""What gitml asks of an operating system beyond what Python gives everywhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import resource

LOOK = 0.01
"""Seconds between looks at a process where no descriptor becomes readable at its end."""


class Usage(NamedTuple):
    """What processes used that were ended: seconds of CPU, and the most bytes of memory of one of them."""

    cpu: float = 0.0
    peak_memory: int = 0


def send(pids: Collection[int], number: int) -> None:
    """Sends a signal to each of `pids`; those that are gone or not ours to signal are passed over."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


class ChildHandle(Protocol):
    """A child process that somebody waits for."""

    fd: int
    """Becomes readable when the child has ended; -1 where none does, and `ended` must be asked again and again."""

    def ended(self) -> bool:
        """Whether the child has ended."""

    def wait(self) -> tuple[int, resource.struct_rusage]:
        """Waits for its end, and reaps it: its wait status and what it used."""

    def close(self) -> None:
        """Frees the descriptor; the child is not touched."""


class Platform(Protocol):
    """The functions and facts of one form."""

    LACKS: tuple[str, ...]
    """The guarantees that this form does not give, each in words for people."""
    CONTROL_SOCKET: int
    """The type of a socket pair of the Unix domain whose other end notices when one is closed."""
    ADOPTS_ORPHANS: bool
    """Whether orphans below a process that has called `adopt_orphans` become its children, and are ended by its `end_all`."""
    SPAWNS_SESSIONS: bool
    """Whether `os.posix_spawn` can start a process in a session of its own."""

    def adopt_orphans(self, name: str, parent: int, death_signal: int) -> None:
        """Makes orphans below this process its children where that can be, and sends it `death_signal` when `parent` ends."""

    def children(self) -> set[int]:
        """The ids of this process's children, adopted ones included, ended or not; empty where they can't be listed."""

    def below(self, root: int, spare: Collection[int] = (), depth: int = 1000) -> list[int]:
        """The ids of all processes below `root`, without `spare` and those below them; empty where they can't be listed."""

    def end_all(
        self,
        spare: Collection[int] = (),
        reaped: Callable[[int, int], None] | None = None,
        groups: Collection[int] = (),
    ) -> Usage:
        """Kills and reaps all processes below this one but `spare`, as far as they can be found, and those of `groups`.

        `reaped` is called for each spared child that ended meanwhile (pid, wait status).
        """

    def end_strays(self, directory: str) -> int:
        """Kills what still runs of a sandbox, or of the sandboxes in a folder; how many processes there were."""

    def strays_of(self, directory: str) -> list[int]:
        """The processes that run in `directory`, as far as they can be found."""

    def note_group(self, sandbox: str, group: int) -> None:
        """Notes the process group of a step for `end_strays`, where that could not find it otherwise."""

    def watch_child(self, pid: int) -> ChildHandle:
        """A handle on a child of this process."""

    def wait_for_other(self, pid: int, seconds: float) -> None:
        """Waits for a process that is no child of this one to end, or to have ended, for at most `seconds`."""

    def open_descriptors(self) -> list[int]:
        """The descriptors that are open in this process; the one of the listing itself may be among them."""

    def enlarge_pipe(self, pipe: int, size: int) -> None:
        """Has a pipe hold more, where this user may ask for that."""

    def peak_memory(self, usage: resource.struct_rusage) -> int:
        """The most bytes of memory that a process used."""

    def cpu_count(self) -> int:
        """How many processors this process may use."""

    def is_single_threaded(self) -> bool:
        """Whether this process is known to have one thread, so that a copy of it may go on."""

    def deny_inspection(self) -> None:
        """Keeps other processes of this user from looking into this one and its copies."""

    def confinement_refusal(self) -> str:
        """Why a step can't be confined to the files it is given; empty when it can."""

    def namespace_refusal(self) -> str:
        """Why there are no namespaces of networks, mounts and processes at all; empty when the kernel can be asked for them."""

    def boot_id(self) -> str | None:
        """What names the time since the machine was started; None where nothing does."""

    def copy_rest(self, source: int, target: int) -> bool:
        """Copies an open file from where it stands, by the kernel; False when the rest must be copied by hand."""

    def copy_piece(self, source: int, target: int, size: int, at: int) -> int:
        """Copies at most `size` bytes from `at` on to the same place, by the kernel: how many. OSError where it can't."""

    def clone(self, source: int, target: int) -> bool:
        """Lets `target` share the blocks of `source` (a reflink); False where the file system can't."""

    def start_writing(self, fd: int) -> None:
        """Asks the kernel to begin to write an open file to the disk, so that a later sync has little to wait for."""

    def sync_file_system(self, path: str) -> bool:
        """Has all of the file system of `path` written to the disk; False where there is no such call. OSError when it failed."""

    def file_system_sync_is_safe(self, folder: str) -> bool:
        """Whether `sync_file_system` makes all of it durable, and reports every failure to write."""

    def unwritten_bytes(self) -> int:
        """Bytes written that are not on their way to a disk yet, of all file systems; very many where that can't be known."""
