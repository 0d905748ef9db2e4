"""`gitml submit`."""

from __future__ import annotations

import click

from gitml.cli.errors import DONE, FAILED
from gitml.cli.run_options import PipelineArguments, RunOptions, load_for_run, pipeline_arguments, run_options
from gitml.cli.session import ALWAYS, Session, verb


@verb("submit", json=True, reaches=ALWAYS)
@pipeline_arguments
@click.option(
    "--on", metavar="TARGET", help="The cluster; every step runs there. Default: the pipeline's, or the only one."
)
@run_options
def command(session: Session, wanted: PipelineArguments, on: str | None, options: RunOptions) -> int:
    """Submit a whole run to a cluster, print its id, and return: the run goes on while this machine is off.

    The submission carries what `gitml run` would run: the files as they are, or any commit with --at, and known results that it
    reuses. `gitml collect` downloads the record and the results.
    """
    selection = load_for_run(session.ws, wanted, options, on)

    from gitml.submission.submit import choose_cluster, submit

    target = choose_cluster(selection.loaded.config, selection.loaded, on)
    request = options.request(selection.wanted, on)
    for warning in selection.loaded.warnings:
        session.warn(warning)
    submission = submit(session.ws, selection.loaded, request, target)
    if submission is None:
        from gitml.cli.reporters.reporter import reporter_for
        from gitml.core.model.stop_signal import StopSignal
        from gitml.engine.run import run_pipeline

        session.note("everything is known already, so nothing was submitted")
        run_reporter = reporter_for(session)
        try:
            run = run_pipeline(session.ws, selection.loaded, request, run_reporter, StopSignal())
        finally:
            run_reporter.close()
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
