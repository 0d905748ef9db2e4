"""Cancelling a run that another process performs, as Ctrl-C would where it was started."""

from __future__ import annotations

import os
import signal
import time

from gitml.core.record import Run
from gitml.errors import BusyError, InputError, MachineError
from gitml.flow.recovery import recover
from gitml.history.runs import find_run, holder_of
from gitml.workspace import Workspace


def cancel(ws: Workspace, run: str, *, now: bool = False, timeout: float = 60.0) -> Run:
    """Asks the run whose id begins with `run` to end, kills its steps at once with `now`, and waits until it has ended.

    InputError when it is not going on, BusyError when it has not ended within `timeout` seconds.
    """
    found = find_run(ws, run)
    id = found.run.id
    pid = holder_of(ws, id)
    if found.live is None or pid is None:
        raise InputError(f"run {id[:8]} is not going on: it {found.run.status}", hint=f"gitml show {id[:8]}")
    _signal(pid)
    if now:
        time.sleep(0.2)  # two signals at once may arrive as one
        _signal(pid)
    end = time.monotonic() + timeout
    while holder_of(ws, id) == pid:
        if time.monotonic() > end:
            raise BusyError(f"run {id[:8]} has not ended within {timeout:g} s", where=f"process {pid}", hint="--now")
        time.sleep(0.05)
    recover(ws)
    ws.catch_up()
    return find_run(ws, id).run


def _signal(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGINT)
    except ProcessLookupError:
        return
    except PermissionError:
        raise MachineError("it runs as another user", where=f"process {pid}", hint="ask them to cancel it") from None
