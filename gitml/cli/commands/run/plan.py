"""`gitml plan`."""

from __future__ import annotations

import click

from gitml.cli.errors import DONE, FAILED
from gitml.cli.options import on_option
from gitml.cli.pipeline_arguments import PipelineArguments, pipeline_arguments
from gitml.cli.session import Session, verb
from gitml.cli.text.plan import show_plan


@verb("plan", json=True)
@pipeline_arguments
@on_option
@click.option("-f", "--force", is_flag=True, help="As `run --force` would do.")
@click.option("--no-reuse", is_flag=True, help="As `run --no-reuse` would do.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when something would run.")
def command(
    session: Session,
    wanted: PipelineArguments,
    on: str | None,
    force: bool,
    no_reuse: bool,
    exit_code: bool,
) -> int:
    """Show for each step what `gitml run` would do, and why: reuse, run, unknown or blocked.

    An unknown step depends on a step before it, or on what only a run asks for. `-v` also shows the code of each step,
    and why it counts.
    """
    plan = show_plan(session, wanted.load(session), force=force, reuse=not no_reuse, on=on)
    return FAILED if exit_code and plan.runs_something() else DONE
