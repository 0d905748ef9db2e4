"""`gitml submit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitml.cli.errors import DONE, FAILED
from gitml.cli.pipeline_arguments import PipelineArguments, load_for_run, pipeline_arguments, run_options
from gitml.cli.session import ALWAYS, Session, verb

if TYPE_CHECKING:
    from gitml.engine.planning.request import RunRequest


@verb("submit", json=True, reaches=ALWAYS)
@pipeline_arguments
@click.option(
    "--on", metavar="TARGET", help="The cluster; every step runs there. Default: the pipeline's, or the only one."
)
@run_options
def command(session: Session, wanted: PipelineArguments, on: str | None, request: RunRequest) -> int:
    """Submit a whole run to a cluster, print its id, and return: the run goes on while this machine is off.

    The submission carries what `gitml run` would run: the files as they are, or any commit with --at, and known results that it
    reuses. `gitml collect` downloads the record and the results.
    """
    request = request._replace(on=on)
    selection = load_for_run(session, wanted, request)

    from gitml.submission.submit import choose_cluster, submit

    target = choose_cluster(selection.loaded.config, selection.loaded, on)
    request = request._replace(wanted=selection.wanted)
    session.warn(*selection.loaded.warnings)
    submission = submit(session.ws, selection.loaded, request, target)
    if submission is None:
        from gitml.cli.reporters.reporter import reporter_for
        from gitml.core.model.stop_signal import StopSignal
        from gitml.engine.run import run_pipeline

        session.note("everything is known already, so nothing was submitted")
        with reporter_for(session) as emit:
            run = run_pipeline(session.ws, selection.loaded, request, emit, StopSignal())
        session.result({"run": run.id, "target": None}, run.id)
        return DONE if run.status == "succeeded" else FAILED
    session.result({"run": submission.run, "target": submission.target}, submission.run)
    short = submission.run[:8]
    session.note(
        f"follow it:  gitml logs {short} -f",
        f"stop it:    gitml cancel {short}",
        f"fetch it:   gitml collect {short}",
    )
    return DONE
