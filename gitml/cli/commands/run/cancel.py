"""`gitml cancel`."""

from __future__ import annotations

import click

from gitml.cli.options import cluster_option
from gitml.cli.session import ALWAYS, Session, verb
from gitml.errors import InputError


@verb("cancel", json=True, reaches=ALWAYS)
@click.argument("run", required=False)
@click.option("--now", is_flag=True, help="Kill the steps at once, without asking them to end first.")
@cluster_option
@click.option("--timeout", type=click.FloatRange(0), default=60.0, metavar="SECONDS", help="Wait so long; default 60.")
def command(session: Session, run: str | None, now: bool, on: str | None, timeout: float) -> None:
    """Stop a run that is going on, as Ctrl-C would where it was started, and wait until it has ended.

    RUN is the beginning of its id; it may be left out when one run is going on.
    """
    from gitml.history.runs import live_runs
    from gitml.submission.cancel import cancel

    ws = session.recovered_ws
    if run is None and on is None:
        going = live_runs(ws)
        if len(going) != 1:
            shown = ", ".join(live.run.id[:8] for live in going)
            raise InputError("no run is going on" if not going else f"which run? {shown} are going on")
        run = going[0].run.id
    ended = cancel(ws, run, on, now=now, timeout=timeout)
    session.result({"run": ended.run, "status": ended.status}, f"run {ended.run[:8]} {ended.status}")
    if ended.target is not None:
        session.remark(f"its record is on the cluster: gitml collect {ended.run[:8]}")
