"""`gitml wait`."""

from __future__ import annotations

import click

from gitml.cli.errors import exit_code_of, worst
from gitml.cli.options import read_duration
from gitml.cli.session import ALWAYS, Session, as_data, verb
from gitml.cli.text.terminal import safe
from gitml.errors import BusyError, InputError


@verb("wait", json=True, reaches=ALWAYS)
@click.argument("runs", metavar="RUN...", nargs=-1)
@click.option("--timeout", metavar="TIME", callback=read_duration, help="Wait no longer than this: 90s, 10m, 2h, 1d.")
def command(session: Session, runs: tuple[str, ...], timeout: float | None) -> int:
    """Wait until runs have ended that other processes perform, or that were submitted, and exit as they did.

    Exits with 0 when all succeeded, 1 when one failed, 130 when one was cancelled, and 4 when one still goes on after --timeout.
    Ctrl-C ends the waiting only.
    """
    from gitml.history.runs import run_id
    from gitml.submission.wait import EndedRun, in_progress, wait_for

    ws = session.recovered_ws
    if not runs:
        raise _which(session)
    ids = [run_id(ws, text) for text in runs]
    going = [id[:8] for id in in_progress(ws, ids)]
    if going:
        session.remark(f"waiting for {', '.join(going)}; Ctrl-C ends the waiting only")
    ended: list[EndedRun] = []
    busy: BusyError | None = None
    try:
        for one in wait_for(ws, ids, timeout):
            ended.append(one)
            session.show(f"run {one.run[:8]} {safe(one.pipeline)} {one.status}")
            if one.target is not None:
                session.remark(f"its record is on {safe(one.target)}: gitml collect {one.run[:8]}")
    except BusyError as error:
        busy = error
    session.result([as_data(one) for one in ended])
    if busy is not None:
        raise busy
    return worst([exit_code_of(one.status, hindered=one.hindered) for one in ended])


def _which(session: Session) -> InputError:
    """The error for no RUN, with the runs that could be meant."""
    from gitml.history.runs import live_ids
    from gitml.history.submissions import submissions

    going = [id[:8] for id in (*live_ids(session.ws), *(one.run for one in submissions(session.ws)))]
    if not going:
        return InputError("which run? none is going on", hint="`gitml log` lists the runs")
    return InputError(f"which run? {', '.join(going)} {'are' if len(going) > 1 else 'is'} going on")
