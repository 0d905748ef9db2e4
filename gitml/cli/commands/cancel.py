"""`gitml cancel`."""

from __future__ import annotations

import os
import signal
import time

import click

from gitml.cli.loading import recover_killed, there_option
from gitml.cli.session import Session, verb
from gitml.cli.submitted import There, submitted_run
from gitml.errors import BusyError, InputError, MachineError, RemoteError


@verb("cancel", json=True)
@click.argument("run", required=False)
@click.option("--now", is_flag=True, help="Kill the steps at once, without asking them to end first.")
@there_option
@click.option("--timeout", type=click.FloatRange(0), default=60.0, metavar="SECONDS", help="Wait so long; default 60.")
def command(session: Session, run: str | None, now: bool, on: str | None, timeout: float) -> int:
    """Stop a run that is going on, as Ctrl-C would where it was started, and wait until it has ended.

    RUN is the beginning of its id; it may be left out when one run is going on.
    """
    from gitml.history.runs import find_run, holder_of, live_runs

    ws = session.ws
    recover_killed(ws)
    with submitted_run(session, run, on) as there:
        if there is not None:
            return _cancel_submitted(session, there, timeout)
    if run is None:
        going = live_runs(ws)
        if len(going) != 1:
            shown = ", ".join(live.run.id[:8] for live in going)
            raise InputError("no run is going on" if not going else f"which run? {shown} are going on")
        run = going[0].run.id
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
    recover_killed(ws)
    ended = find_run(ws, id).run
    if session.json:
        session.show_json({"run": id, "status": ended.status})
    else:
        session.show(f"run {id[:8]} {ended.status}")
    return 0


def _cancel_submitted(session: Session, there: There, timeout: float) -> int:
    """Stops a run on a cluster."""
    from gitml.execute.ray.jobs import RUNNING
    from gitml.flow.homecoming import seen

    short = there.submission.run[:8]
    there.jobs.stop(there.submission.job)
    end = time.monotonic() + timeout
    while (job := there.jobs.get(there.submission.job)) is not None and job.state == RUNNING:
        if time.monotonic() > end:
            raise BusyError(
                f"run {short} has not ended within {timeout:g} s", where=f"target {there.submission.target}"
            )
        time.sleep(0.5)
    try:
        status = seen(there.jobs, there.submission).status
    except RemoteError:
        status = "cancelled"  # before it had begun
    if session.json:
        session.show_json({"run": there.submission.run, "status": status})
    else:
        session.show(f"run {short} {status}")
        session.note(f"its record is on the cluster: gitml collect {short}")
    return 0


def _signal(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGINT)
    except ProcessLookupError:
        return
    except PermissionError:
        raise MachineError("it runs as another user", where=f"process {pid}", hint="ask them to cancel it") from None
