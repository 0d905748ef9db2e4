"""`gitml show`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gitml.cli.options import cluster_option
from gitml.cli.session import WHEN_ASKED, Session, verb
from gitml.cli.text.terminal import safe
from gitml.submission.lookup import find_submitted_run

if TYPE_CHECKING:
    from gitml.core.records.record import Run
    from gitml.history.runs import StepProgress


@verb("show", json=True, reaches=WHEN_ASKED)
@click.argument("run", required=False, default="latest")
@cluster_option
def command(session: Session, run: str, on: str | None) -> None:
    """Show one run: its commit and parameters, and of each step the outcome, reason, cost, outputs and metrics.

    Of a run that goes on also what runs and what waits.

    RUN is the beginning of a run's id (4 digits or more); without it, the newest run.
    """
    from gitml.history.runs import find_run, run_progress

    with find_submitted_run(session.recovered_ws, run, on) as there:
        if there is not None:
            from gitml.submission.collect import progress_of

            shown, steps = progress_of(there.jobs, there.submission)
            short, target = shown.id[:8], safe(there.submission.target)
            more = f"gitml logs {short} -f" if shown.status == "running" else f"gitml collect {short}"
            _show(session, shown, steps, f"it is on {target}: {more}", is_there=True)
            return
    found = find_run(session.ws, run)
    going_on = f"it is going on: gitml logs {found.run.id[:8]} -f" if found.live is not None else None
    _show(session, found.run, run_progress(found), going_on)


def _show(
    session: Session, run: Run, steps: Sequence[StepProgress], note: str | None, *, is_there: bool = False
) -> None:
    from gitml.cli.text.runs import in_progress_as_json, progress_lines, run_lines
    from gitml.core.records.record import run_as_json

    if session.json:
        session.show_json(in_progress_as_json(run, steps) if run.status == "running" else run_as_json(run))
        return
    from gitml.transfer.download import locations

    now = session.ws.now()
    made = [] if is_there else [output for step in run.steps for output in step.outputs]
    session.show(*run_lines(run, now, locations(session.ws, made)), *progress_lines(steps, now))
    if note:
        session.note(note)
