"""`gitml log`."""

from __future__ import annotations

import click

from gitml.cli.options import bundle, cluster_option
from gitml.cli.session import WHEN_ASKED, Session, verb
from gitml.cli.text.format import ago, columns
from gitml.cli.text.terminal import safe
from gitml.history.run_list import RunFilter, list_runs, metric_columns
from gitml.submission.lookup import connected

_filter_options = bundle(
    "wanted",
    RunFilter,
    click.option("-p", "--pipeline", metavar="NAME", help="Only runs of this pipeline."),
    click.option("--experiment", metavar="NAME", help="Only runs of this experiment."),
    click.option(
        "--status",
        type=click.Choice(["succeeded", "failed", "cancelled", "running", "submitted"]),
        help="Only runs that ended so.",
    ),
    click.option("--commit", metavar="REV", help="Only runs of this commit, or of uncommitted work on it."),
    click.option("--branch", metavar="NAME", help="Only runs made on this branch."),
    click.option("--since", metavar="DATE", help="Only runs since: 2026-07-01, 3d, 12h, 2w."),
    click.option("--tag", metavar="TAG", help="Only runs with this tag."),
)


@verb("log", json=True, reaches=WHEN_ASKED)
@_filter_options
@click.option(
    "-n", "--limit", type=click.IntRange(1, 10**9), default=20, metavar="N", help="At most N runs; default 20."
)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@cluster_option
@click.option("--metrics", metavar="A,B", help="Show these metrics as columns; a name may leave out the step.")
def command(
    session: Session, wanted: RunFilter, limit: int, everything: bool, on: str | None, metrics: str | None
) -> None:
    """List runs, newest first. A star behind the commit marks a run with uncommitted changes."""
    from gitml.cli.text.runs import row_as_json, table

    if on is not None:
        _show_submitted(session, on, None if everything else limit)
        return
    ws = session.recovered_ws
    rows, more = list_runs(ws, wanted, None if everything else limit)
    if session.json:
        session.show_json([row_as_json(row) for row in rows])
        return
    if not rows:
        session.note("no runs" + (" that match" if any(value is not None for value in wanted) else " yet: gitml run"))
        return
    names = metric_columns(rows, [name for name in (metrics or "").split(",") if name])
    session.show(*table(rows, names, ws.now()))
    if more:
        session.note("older runs are left out: -n N shows more, --all all")


def _show_submitted(session: Session, on: str, limit: int | None) -> None:
    """The runs that were submitted to a cluster and are still known there."""
    from gitml.submission.lookup import submissions_on

    with connected(session.ws, on) as (_, jobs):
        found = submissions_on(jobs, on)[:limit]
    session.result([{**submission._asdict(), "state": state} for submission, state in found])
    if not found:
        session.remark(f"no submitted runs are on {safe(on)}")
        return
    now = session.ws.now()
    rows = [["RUN", "STATUS", "PIPELINE", "COMMIT", "WHEN", "BY"]]
    for one, state in found:
        rows.append(
            [one.run[:8], state, safe(one.pipeline), safe(one.commit[:8]), ago(one.submitted, now), safe(one.by)]
        )
    session.show(*columns(rows))
