"""`gitml show`."""

from __future__ import annotations

import click

from gitml.cli.loading import recover_killed, there_option
from gitml.cli.session import Session, verb
from gitml.cli.terminal import safe
from gitml.flow.submitted import submitted_run


@verb("show", json=True)
@click.argument("run", required=False, default="latest")
@there_option
def command(session: Session, run: str, on: str | None) -> int:
    """Show one run: its commit and parameters, and of each step the outcome, reason, cost, outputs and metrics.

    RUN is the beginning of a run's id (4 digits or more); without it, the newest run.
    """
    from gitml.cli.runshow import run_lines
    from gitml.history.runs import find_run

    recover_killed(session.ws)
    with submitted_run(session.ws, run, on) as there:
        if there is not None:
            from gitml.flow.homecoming import seen

            shown = seen(there.jobs, there.submission)
            if session.json:
                from gitml.core.record import run_as_json

                session.show_json(run_as_json(shown))
                return 0
            session.show(*run_lines(shown, session.ws.now()))
            short, target = shown.id[:8], safe(there.submission.target)
            session.note(
                f"it is on {target}: "
                + (f"gitml logs {short} -f" if shown.status == "running" else f"gitml collect {short}")
            )
            return 0
    found = find_run(session.ws, run)
    if session.json:
        from gitml.core.record import run_as_json

        session.show_json(run_as_json(found.run))
        return 0
    session.show(*run_lines(found.run, session.ws.now()))
    if found.live is not None:
        session.note(f"it is going on: gitml logs {found.run.id[:8]} -f")
    return 0
