"""`gitml params`."""

from __future__ import annotations

import click

from gitml.cli.pipeline_arguments import recover_killed
from gitml.cli.session import Session, subgroup, verb
from gitml.cli.text.differences import DifferenceOptions, difference_options, show_differences
from gitml.cli.text.format import columns, number
from gitml.cli.text.terminal import safe


@subgroup("params", default="show")
def command() -> None:
    """Show the parameters of runs, and how they differ."""


@verb("show", json=True)
@click.argument("run", required=False, default="latest")
@click.option("-p", "--pipeline", metavar="NAME", help="The pipeline, where a revision was run with several.")
def show(session: Session, run: str, pipeline: str | None) -> int:
    """Show the parameters of a run. RUN is the beginning of a run's id or a Git revision (its newest run)."""
    from gitml.history.runs import run_or_rev

    recover_killed(session.ws)
    found = run_or_rev(session.ws, run, pipeline)
    if session.json:
        session.show_json({"run": found.id, "commit": found.commit, "params": dict(found.params)})
        return 0
    if not found.params:
        session.note("no parameters")
    session.show(*columns([[safe(name), number(value)] for name, value in found.params.items()]))
    return 0


@verb("diff", json=True)
@difference_options
def diff(session: Session, compared: DifferenceOptions) -> int:
    """Show how the parameters of B differ from those of A: runs, or Git revisions (their newest runs).

    Without A..B the two newest runs of one pipeline are compared.
    """
    return show_differences(session, compared, lambda run: run.params, "params")


command.add_command(show)
command.add_command(diff)
