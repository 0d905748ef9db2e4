"""`gitml run`."""

from __future__ import annotations

import click

from gitml.cli.errors import DONE, FAILED, MACHINE
from gitml.cli.pipeline_arguments import on_option
from gitml.cli.run_options import Manner, Wanted, check_to_run, load_to_run, manner_options, wanted_options
from gitml.cli.session import ALWAYS, Session, verb
from gitml.errors import InputError


@verb("run", json=True, reaches=ALWAYS)
@wanted_options
@on_option
@click.option("-n", "--dry-run", is_flag=True, help="Tell what each step would do, and do nothing.")
@click.option("--exit-code", is_flag=True, help="With -n: exit with 1 when something would run.")
@manner_options
@click.option("--detach", is_flag=True, help="Run in the background and print the run's id.")
@click.option("--run-id", hidden=True)
def command(
    session: Session,
    wanted: Wanted,
    on: str | None,
    dry_run: bool,
    exit_code: bool,
    manner: Manner,
    detach: bool,
    run_id: str | None,
) -> int:
    """Run a pipeline, or the steps of it that are named and all they need.

    Works on the files as they are, uncommitted changes included, or on any commit with --at. Every step whose
    command, parameters, code, inputs and environment were run before is reused.
    """
    if exit_code and not dry_run:
        raise InputError("it is for a dry run", where="--exit-code", hint="add -n, or ask: gitml plan --exit-code")
    if detach and not dry_run:
        check_to_run(wanted, manner, on)
        if wanted.secrets:
            load_to_run(session.ws, wanted, manner, on)  # what it asks for the other process finds in its environment
            session.ws.leave()
        from gitml.cli.detach import detach as start_detached

        if not session.ws.consent.may_run():  # in the background nobody can be asked
            from gitml.analysis.named_places import steps_of

            session.ws.consent.need_run(steps_of(session.ws))
        return start_detached(session)
    session.looking = dry_run
    asked = load_to_run(session.ws, wanted, manner, on)
    if dry_run:
        from gitml.cli.text.plan import show_plan

        plan = show_plan(session, asked, force=manner.force, reuse=not manner.no_reuse, on=on)
        return FAILED if exit_code and plan.runs_something() else DONE
    if run_id is not None and (len(run_id) != 16 or set(run_id) - set("0123456789abcdef")):
        raise InputError("not a run id", where="--run-id")

    from gitml.cli.interrupts import Stopping
    from gitml.cli.reporters.choice import narrator_for
    from gitml.engine.run import run_pipeline

    narrator = narrator_for(session)
    with Stopping(quiet=session.quiet) as stopping:
        try:
            run = run_pipeline(
                session.ws, asked.loaded, manner.request(asked.wanted, on), narrator, stopping.stop, run_id
            )
        finally:
            narrator.close()
    if session.json:
        from gitml.core.records.record import run_as_json

        session.show_json(run_as_json(run))
    if run.status == "cancelled":
        return stopping.exit_code
    if run.status == "succeeded":
        return DONE
    return MACHINE if run.is_hindered() else FAILED
