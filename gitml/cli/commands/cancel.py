"""`gitml cancel`."""

from __future__ import annotations

import time

import click

from gitml.cli.loading import recover_killed, there_option
from gitml.cli.session import Session, verb
from gitml.cli.submitted import There, submitted_run
from gitml.errors import BusyError, InputError, RemoteError


@verb("cancel", json=True)
@click.argument("run", required=False)
@click.option("--now", is_flag=True, help="Kill the steps at once, without asking them to end first.")
@there_option
@click.option("--timeout", type=click.FloatRange(0), default=60.0, metavar="SECONDS", help="Wait so long; default 60.")
def command(session: Session, run: str | None, now: bool, on: str | None, timeout: float) -> int:
    """Stop a run that is going on, as Ctrl-C would where it was started, and wait until it has ended.

    RUN is the beginning of its id; it may be left out when one run is going on.
    """
    from gitml.flow.cancelling import cancel
    from gitml.history.runs import live_runs

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
    ended = cancel(ws, run, now=now, timeout=timeout)
    if session.json:
        session.show_json({"run": ended.id, "status": ended.status})
    else:
        session.show(f"run {ended.id[:8]} {ended.status}")
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
