"""Waiting for runs that other processes perform, or clusters that they were submitted to, until they have ended."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gitml.core.records.record import Run
from gitml.core.text.format import duration
from gitml.engine.journal.recovery import recover
from gitml.errors import BusyError
from gitml.history.runs import holder_of, read_run
from gitml.history.submissions import target_of
from gitml.workspace import Workspace

_PAUSE = 0.1  # seconds between two looks at the lock of a run, each of some microseconds


class EndedRun(NamedTuple):
    """A run that has ended; `hindered` as of a Run, `target` is the cluster that has its record, None for one of this machine."""

    run: str
    pipeline: str
    status: str
    hindered: bool = False
    target: str | None = None


def in_progress(ws: Workspace, runs: Sequence[str]) -> list[str]:
    """Those of the runs that go on here, or that a cluster has, which alone knows whether they do."""
    return [id for id in dict.fromkeys(runs) if holder_of(ws, id) is not None or target_of(ws, id)]


def wait_for(ws: Workspace, runs: Sequence[str], timeout: float | None = None) -> Iterator[EndedRun]:
    """Waits for runs by their whole ids and gives each as it is known to have ended, in their order.

    BusyError, once those that have ended are given, where some have not within `timeout` seconds; it names them. RemoteError
    when a cluster can't be asked.
    """
    end = None if timeout is None else time.monotonic() + timeout
    busy = []
    for id in dict.fromkeys(runs):
        target = target_of(ws, id)
        ended = _wait_there(ws, id, end) if target else _wait_here(ws, id, end)
        if ended is None:
            busy.append(id[:8])
        else:
            yield ended
    if busy:
        are = "runs" if len(busy) > 1 else "run"
        message = f"still going on after {duration(timeout or 0)}: {are} {', '.join(busy)}"
        raise BusyError(message, hint=f"gitml cancel {busy[0]} ends it" if len(busy) == 1 else None)


def _wait_here(ws: Workspace, id: str, end: float | None) -> EndedRun | None:
    """Waits for a run of this machine; None where it goes on when the time is over."""
    while holder_of(ws, id) is not None:
        if end is not None and time.monotonic() >= end:
            return None
        time.sleep(_PAUSE)
    if os.path.isdir(os.path.join(ws.live, id)):  # its process was killed
        recover(ws)
    ws.catch_up()
    return _ended(read_run(ws, id))


def _wait_there(ws: Workspace, id: str, end: float | None) -> EndedRun | None:
    from gitml.submission.collect import progress_of, wait_until_ended
    from gitml.submission.lookup import find_submitted_run

    with find_submitted_run(ws, id, None) as there:
        if there is None:  # it was collected just now
            return _ended(read_run(ws, id))
        if not wait_until_ended(there.jobs, there.submission, end):
            return None
        run, _ = progress_of(there.jobs, there.submission)
        ended = _ended(run, there.submission.target)
        return ended if run.status != "running" else ended._replace(status="failed")  # it was killed


def _ended(run: Run, target: str | None = None) -> EndedRun:
    return EndedRun(run.id, run.pipeline, run.status, run.is_hindered(), target)
