"""`gitml run`."""

from __future__ import annotations

import click

from gitml.cli.errors import DONE, FAILED, MACHINE
from gitml.cli.options import on_option
from gitml.cli.run_options import (
    PipelineArguments,
    RunOptions,
    check_run_options,
    load_for_run,
    pipeline_arguments,
    run_options,
)
from gitml.cli.session import ALWAYS, Session, verb
from gitml.errors import InputError


@verb("run", json=True, reaches=ALWAYS)
@pipeline_arguments
@on_option
@click.option("-n", "--dry-run", is_flag=True, help="Show what each step would do, and do nothing.")
@click.option("--exit-code", is_flag=True, help="With -n: exit with 1 when something would run.")
@run_options
@click.option("--detach", is_flag=True, help="Run in the background and print the run's id.")
@click.option("--run-id", hidden=True)
def command(
    session: Session,
    wanted: PipelineArguments,
    on: str | None,
    dry_run: bool,
    exit_code: bool,
    options: RunOptions,
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
        check_run_options(wanted, options, on)
        if wanted.secrets:
            load_for_run(session.ws, wanted, options, on)  # what it asks for the other process finds in its environment
            session.ws.leave()
        from gitml.cli.detach import detach as start_detached

        if not session.ws.consent.may_run():  # in the background nobody can be asked
            from gitml.analysis.named_places import steps_of

            session.ws.consent.need_run(steps_of(session.ws))
        return start_detached(session)
    session.read_only = dry_run
    selection = load_for_run(session.ws, wanted, options, on)
    if dry_run:
        from gitml.cli.text.plan import show_plan

        plan = show_plan(session, selection, force=options.force, reuse=not options.no_reuse, on=on)
        return FAILED if exit_code and plan.runs_something() else DONE
    if run_id is not None and (len(run_id) != 16 or set(run_id) - set("0123456789abcdef")):
        raise InputError("not a run id", where="--run-id")

    from gitml.cli.interrupts import InterruptHandler
    from gitml.cli.reporters.reporter import reporter_for
    from gitml.engine.run import run_pipeline

    run_reporter = reporter_for(session)
    with InterruptHandler(quiet=session.quiet) as handler:
        try:
            run = run_pipeline(
                session.ws, selection.loaded, options.request(selection.wanted, on), run_reporter, handler.stop, run_id
            )
        finally:
            run_reporter.close()
    if session.json:
        from gitml.core.records.record import run_as_json

        session.show_json(run_as_json(run))
    if run.status == "cancelled":
        return handler.exit_code
    if run.status == "succeeded":
        return DONE
    return MACHINE if run.is_hindered() else FAILED
