"""Killing a process that starts others, and seeing those to their end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from contextlib import ExitStack, suppress

from gitml.platform.linux import form
from tests.kit.patience import PATIENCE


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
