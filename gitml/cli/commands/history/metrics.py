"""`gitml metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitml.cli.pipeline_arguments import recover_killed
from gitml.cli.session import Session, subgroup, verb
from gitml.cli.text.differences import DifferenceOptions, difference_options, show_differences
from gitml.cli.text.format import columns, number
from gitml.cli.text.terminal import safe
from gitml.store.index.runs import newest_runs

if TYPE_CHECKING:
    from gitml.core.records.record import Run
    from gitml.workspace import Workspace


@subgroup("metrics", default="show")
def command() -> None:
    """Show the metrics of runs, and how they differ."""


@verb("show", json=True)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("-p", "--pipeline", metavar="NAME", help="The pipeline, where a revision was run with several.")
def show(session: Session, runs: tuple[str, ...], pipeline: str | None) -> int:
    """Show the metrics of runs, side by side. RUN is the beginning of a run's id or a Git revision (its newest run)."""
    from gitml.history.runs import run_or_rev

    recover_killed(session.ws)
    found = [run_or_rev(session.ws, text, pipeline) for text in runs or ("latest",)]
    if session.json:
        session.show_json([{"run": run.id, "commit": run.commit, "metrics": run.metrics()} for run in found])
        return 0
    names = list(dict.fromkeys(name for run in found for name in run.metrics()))
    if not names and not runs:
        newest = _newest_with_metrics(session.ws, found[0].pipeline if pipeline is None else pipeline)
        if newest is None:
            session.note(f"no run of pipeline {safe(found[0].pipeline)} has metrics")
            return 0
        session.note(
            f"run {found[0].id[:8]} ({found[0].status}) has no metrics; run {newest.id[:8]} is the newest that has some"
        )
        found, names = [newest], list(newest.metrics())
    if not names:
        session.note(f"no metrics in {', '.join(f'run {run.id[:8]} ({run.status})' for run in found)}")
        return 0
    rows = [["METRIC", *(run.id[:8] for run in found)]] if len(found) > 1 else []
    values = [run.metrics() for run in found]
    rows += [[safe(name), *(number(of[name]) if name in of else "-" for of in values)] for name in names]
    session.show(*columns(rows, right=frozenset(range(1, len(found) + 1))))
    return 0


def _newest_with_metrics(ws: Workspace, pipeline: str) -> Run | None:
    """The newest recorded run of a pipeline that has metrics."""
    from gitml.history.runs import read_run

    before = None
    while page := newest_runs(ws.index, pipeline=pipeline, limit=100, before=before):
        for row in page:
            if row.metrics:
                return read_run(ws, row.id)
        before = page[-1].id
    return None


@verb("diff", json=True)
@difference_options
def diff(session: Session, compared: DifferenceOptions) -> int:
    """Show how the metrics of B differ from those of A: runs, or Git revisions (their newest runs).

    Without A..B the two newest runs of one pipeline are compared.
    """
    return show_differences(session, compared, lambda run: run.metrics(), "metrics")


command.add_command(show)
command.add_command(diff)
