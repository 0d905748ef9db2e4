"""Cancelling a run that another process performs, or a cluster that it was handed to, as Ctrl-C would where it was started."""

from __future__ import annotations

import os
import signal
import time
from typing import NamedTuple

from gitml.core.records.record import Run
from gitml.engine.journal.recovery import recover
from gitml.errors import BusyError, InputError, MachineError, RemoteError
from gitml.history.runs import find_run, holder_of
from gitml.submission.lookup import SubmittedRun, find_submitted_run
from gitml.workspace import Workspace

_LEAST = 5.0  # seconds that a cluster has for an answer, however little time is given


class Cancelled(NamedTuple):
    """The id of a run that has ended, how it did, and the cluster that has its record, None for one of this machine."""

    run: str
    status: str
    target: str | None = None


def cancel(
    ws: Workspace, run: str | None, on: str | None = None, *, now: bool = False, timeout: float = 60.0
) -> Cancelled:
    """Asks a run to end and waits until it has: the one whose id begins with `run`, here or submitted from here.

    With `on` that of any machine on the cluster of this target (its newest for None). `now` kills the steps of a
    run of this machine at once. InputError when it is not going on, BusyError when it has not ended within `timeout` seconds.
    """
    with find_submitted_run(ws, run, on) as there:
        if there is not None:
            return _cancel_there(there, timeout)
    assert run is not None
    ended = _cancel_here(ws, run, now, timeout)
    return Cancelled(ended.id, ended.status)


def _cancel_there(there: SubmittedRun, timeout: float) -> Cancelled:
    from gitml.cluster.jobs import RUNNING
    from gitml.submission.collect import progress_of

    submission = there.submission
    there.jobs.patience = min(there.jobs.patience, max(timeout, _LEAST))
    there.jobs.stop(submission.job)
    end = time.monotonic() + timeout
    while (job := there.jobs.get(submission.job)) is not None and job.state == RUNNING:
        if time.monotonic() > end:
            message = f"run {submission.run[:8]} has not ended within {timeout:g} s"
            raise BusyError(message, where=f"target {submission.target}")
        time.sleep(0.5)
    try:
        status = progress_of(there.jobs, submission)[0].status
    except RemoteError:
        status = "cancelled"  # before it had begun
    return Cancelled(submission.run, status, submission.target)


def _cancel_here(ws: Workspace, run: str, now: bool, timeout: float) -> Run:
    found = find_run(ws, run)
    id = found.run.id
    pid = holder_of(ws, id)
    if found.live is None or pid is None:
        raise InputError(f"run {id[:8]} is not going on: its status is {found.run.status}", hint=f"gitml show {id[:8]}")
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
