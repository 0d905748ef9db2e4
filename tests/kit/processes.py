"""Processes of tests: a copy of this one that does a part, killing one that starts others, and waiting for what they do."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import NamedTuple

from gitml.platform.linux import form
from tests.kit.patience import PATIENCE


def forked(work: Callable[[], object]) -> int:
    """The process id of a copy of this process that does `work` and ends, with status 0 where it did not raise."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def ended_well(pid: int) -> bool:
    """Whether a process that `forked` made ends with status 0; waits for that."""
    return os.waitpid(pid, 0)[1] == 0


def kill_forked(pid: int) -> None:
    """Kills a process that `forked` made."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


class Measured(NamedTuple):
    """How a command ended, and what it took: seconds, and the largest it or a child of it was, in bytes."""

    code: int
    said: str
    seconds: float
    memory: int


_RUNNER = (
    "import sys, resource, subprocess\n"
    "done = subprocess.run(sys.argv[2:], timeout=float(sys.argv[1]))\n"
    "print('\\nPEAK', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, done.returncode)\n"
)


def measured(words: Sequence[str], cwd: str, env: Mapping[str, str], timeout: float = 100.0) -> Measured:
    """A command to its end, with all it prints; it must come within `timeout` seconds."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as out:
        # By way of a process of its own, since a child counts what its parent was when it was forked.
        subprocess.run(
            [sys.executable, "-c", _RUNNER, str(timeout), *words],
            cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True,
        )  # fmt: skip
        seconds = time.monotonic() - begun
        out.seek(0)
        text = out.read().decode("utf-8", "replace")
    said, _, numbers = text.rpartition("\nPEAK ")
    peak, code = numbers.split()
    return Measured(int(code), said, seconds, int(peak) * 1024)


def wait_until(condition: Callable[[], object]) -> None:
    """Returns once it holds; fails after PATIENCE seconds."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def kill(process: subprocess.Popen[bytes] | subprocess.Popen[str], *, all_of_it: bool = False) -> bool:
    """Kills a process, with every other that it started if `all_of_it`; whether it was alive.

    Git goes on when what started it is killed: what it was told to write may be written a moment later. That is waited for.
    """
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGSTOP)  # so that nothing is started, and nothing becomes an orphan unseen
    if process.returncode is None:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    with ExitStack() as stack:
        others = {}
        for pid in form.below(process.pid):
            with suppress(ProcessLookupError):
                others[pid] = os.pidfd_open(pid)
                stack.callback(os.close, others[pid])
        for pid in others if all_of_it else ():
            with suppress(ProcessLookupError):  # one ends by itself when another was killed
                os.kill(pid, signal.SIGKILL)
        process.kill()
        alive = process.wait() == -signal.SIGKILL
        for pid, ended in others.items():
            assert select.select([ended], [], [], PATIENCE)[0], f"{pid} goes on"
    return alive
