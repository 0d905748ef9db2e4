"""`gitml show`."""

from __future__ import annotations

import click

from gitml.cli.loading import recover_killed
from gitml.cli.session import Session, verb


@verb("show", json=True)
@click.argument("run", required=False, default="latest")
def command(session: Session, run: str) -> int:
    """Show one run: its commit and parameters, and of each step the outcome, reason, cost, outputs and metrics.

    RUN is the beginning of a run's id (4 digits or more); without it, the newest run.
    """
    from gitml.cli.runshow import run_lines
    from gitml.history.runs import find_run

    recover_killed(session.ws)
    found = find_run(session.ws, run)
    if session.json:
        from gitml.core.record import run_as_json

        session.show_json(run_as_json(found.run))
        return 0
    session.show(*run_lines(found.run, session.ws.now()))
    if found.live is not None:
        session.note(f"it is going on: gitml logs {found.run.id[:8]} -f")
    return 0
