"""Ends every process below this one. It must be a child subreaper, so that no orphan escapes to init."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection

from gitml.core.model.result import Cost
from gitml.execute.sandbox.namespace import mounted_in

PATIENCE = 10.0
_UNSTOPPED = 20  # looks at what is below, in some 0.2 s, before it counts as a tree that forks too fast


def become_subreaper(name: str, parent: int, death_signal: int) -> None:
    """Makes orphans below this process its children, has the kernel send `death_signal` when its parent dies."""
    import ctypes

    set_name, set_death_signal, set_subreaper = 15, 1, 36
    libc = ctypes.CDLL(None, use_errno=True)
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


def send(pids: Collection[int], number: int) -> None:
    """Sends a signal to each of `pids`; those that are gone or not ours to signal are passed over."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def end_all(spare: Collection[int] = (), reaped: Callable[[int, int], None] | None = None) -> Cost:
    """Kills and reaps all processes below this one but `spare`, until none is left; gives their CPU and peak memory.

    `reaped` is told of each spared child that ended meanwhile (pid, wait status). Processes the kernel will not end
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
    return Cost(0.0, cpu, peak)


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
        peak = max(peak, usage.ru_maxrss * 1024)


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
