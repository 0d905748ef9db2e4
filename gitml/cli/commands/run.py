"""`gitml run`."""

from __future__ import annotations

import click

from gitml.cli.errors import DONE, FAILED
from gitml.cli.loading import at_option, load_words, on_option, parse_given, set_option
from gitml.cli.session import Session, verb
from gitml.errors import InputError


@verb("run", json=True)
@click.argument("words", metavar="[PIPELINE] [STEP]...", nargs=-1)
@at_option
@set_option
@on_option
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 4096), metavar="N", help="Steps at once; default: the CPUs there are."
)
@click.option("-n", "--dry-run", is_flag=True, help="Tell what each step would do, and do nothing.")
@click.option("-f", "--force", is_flag=True, help="Run the named steps (or all) again whatever is known.")
@click.option("--no-reuse", is_flag=True, help="Run every step, those before the named ones too.")
@click.option("-k", "--keep-going", is_flag=True, help="After a failure run what does not depend on it.")
@click.option("--experiment", metavar="NAME", help="File the run under this experiment.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Tag the run; may be repeated.")
@click.option("-m", "--message", default="", metavar="TEXT", help="What the run is for.")
@click.option("--allow-disabled", is_flag=True, help="Use disabled modules too, to run an old commit; it is recorded.")
@click.option("--detach", is_flag=True, help="Run in the background and print the run's id.")
@click.option("--run-id", hidden=True)
def command(
    session: Session,
    words: tuple[str, ...],
    rev: str | None,
    given: tuple[str, ...],
    on: str | None,
    jobs: int | None,
    dry_run: bool,
    force: bool,
    no_reuse: bool,
    keep_going: bool,
    experiment: str | None,
    tags: tuple[str, ...],
    message: str,
    allow_disabled: bool,
    detach: bool,
    run_id: str | None,
) -> int:
    """Run a pipeline, or the steps of it that are named and all they need.

    Works on the files as they are, uncommitted changes included, or on any commit with --at. Every step whose
    command, parameters, code, inputs and environment were run before is reused.
    """
    asked_for = parse_given(given)
    for option, names in (("--experiment", (experiment,)), ("--tag", tags), ("--on", (on,))):
        if "" in names:
            raise InputError("an empty name", where=option, hint="give one, or leave the option out")
    if detach and not dry_run:
        from gitml.cli.detaching import detach as start_detached

        return start_detached(session)
    asked = load_words(session.ws, words, rev, asked_for, allow_disabled=allow_disabled)
    if dry_run:
        from gitml.cli.planshow import show_plan

        show_plan(session, asked, force=force, reuse=not no_reuse, on=on)
        return DONE
    if run_id is not None and (len(run_id) != 16 or set(run_id) - set("0123456789abcdef")):
        raise InputError("not a run id", where="--run-id")

    from gitml.cli.narrating import narrator_for
    from gitml.cli.stopping import Stopping
    from gitml.flow.request import RunRequest
    from gitml.flow.run import run_pipeline

    request = RunRequest(
        wanted=asked.wanted,
        force=force,
        reuse=not no_reuse,
        keep_going=keep_going,
        jobs=jobs,
        experiment=experiment,
        tags=tags,
        message=message,
        allow_disabled=allow_disabled,
        on=on,
    )
    narrator = narrator_for(session)
    with Stopping(quiet=session.quiet) as stopping:
        try:
            run = run_pipeline(session.ws, asked.loaded, request, narrator, stopping.stop, run_id)
        finally:
            narrator.close()
    if session.json:
        from gitml.core.record import run_as_json

        session.show_json(run_as_json(run))
    if run.status == "cancelled":
        return stopping.exit_code
    return DONE if run.status == "succeeded" else FAILED
