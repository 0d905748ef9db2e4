"""`gitml submit`."""

from __future__ import annotations

import click

from gitml.cli.errors import DONE, FAILED
from gitml.cli.loading import at_option, load_words, parse_given, set_option
from gitml.cli.session import Session, verb
from gitml.errors import InputError


@verb("submit", json=True)
@click.argument("words", metavar="[PIPELINE] [STEP]...", nargs=-1)
@click.option(
    "--on", metavar="TARGET", help="The cluster; every step runs there. Default: the pipeline's, or the only one."
)
@at_option
@set_option
@click.option("-j", "--jobs", type=click.IntRange(1, 4096), metavar="N", help="Steps at once; default: as many as fit.")
@click.option("-f", "--force", is_flag=True, help="Run the named steps (or all) again whatever is known.")
@click.option("--no-reuse", is_flag=True, help="Run every step, those before the named ones too.")
@click.option("-k", "--keep-going", is_flag=True, help="After a failure run what does not depend on it.")
@click.option("--experiment", metavar="NAME", help="File the run under this experiment.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Tag the run; may be repeated.")
@click.option("-m", "--message", default="", metavar="TEXT", help="What the run is for.")
@click.option("--allow-disabled", is_flag=True, help="Use disabled modules too, to run an old commit; it is recorded.")
def command(
    session: Session,
    words: tuple[str, ...],
    on: str | None,
    rev: str | None,
    given: tuple[str, ...],
    jobs: int | None,
    force: bool,
    no_reuse: bool,
    keep_going: bool,
    experiment: str | None,
    tags: tuple[str, ...],
    message: str,
    allow_disabled: bool,
) -> int:
    """Hand a whole run to a cluster, print its id, and leave: it goes on while this machine is off.

    What `gitml run` would run is taken along: the files as they are, or any commit with --at, and known results that it reuses.
    `gitml collect` brings the record and the results home.
    """
    asked_for = parse_given(given)
    for option, names in (("--experiment", (experiment,)), ("--tag", tags), ("--on", (on,))):
        if "" in names:
            raise InputError("an empty name", where=option, hint="give one, or leave the option out")
    asked = load_words(session.ws, words, rev, asked_for, allow_disabled=allow_disabled)

    from gitml.flow.request import RunRequest
    from gitml.flow.submitting import cluster_meant, submit

    target = cluster_meant(asked.loaded.config, asked.loaded, on)
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
    for warning in asked.loaded.warnings:
        session.warn(warning)
    submission = submit(session.ws, asked.loaded, request, target)
    if submission is None:
        from gitml.cli.narrating import narrator_for
        from gitml.flow.run import run_pipeline
        from gitml.flow.stop import StopSignal

        session.note("everything is known already, so nothing was submitted")
        narrator = narrator_for(session)
        try:
            run = run_pipeline(session.ws, asked.loaded, request, narrator, StopSignal())
        finally:
            narrator.close()
        if session.json:
            session.show_json({"run": run.id, "target": None})
        else:
            session.show(run.id)
        return DONE if run.status == "succeeded" else FAILED
    if session.json:
        session.show_json({"run": submission.run, "target": submission.target})
    else:
        session.show(submission.run)
    short = submission.run[:8]
    session.note(
        f"follow it:  gitml logs {short} -f",
        f"stop it:    gitml cancel {short}",
        f"fetch it:   gitml collect {short}",
    )
    return DONE
