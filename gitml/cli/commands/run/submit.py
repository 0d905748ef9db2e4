"""`gitml submit`."""

from __future__ import annotations

import click

from gitml.cli.errors import DONE, FAILED
from gitml.cli.run_options import Manner, Wanted, load_to_run, manner_options, wanted_options
from gitml.cli.session import ALWAYS, Session, verb


@verb("submit", json=True, reaches=ALWAYS)
@wanted_options
@click.option(
    "--on", metavar="TARGET", help="The cluster; every step runs there. Default: the pipeline's, or the only one."
)
@manner_options
def command(session: Session, wanted: Wanted, on: str | None, manner: Manner) -> int:
    """Hand a whole run to a cluster, print its id, and leave: it goes on while this machine is off.

    What `gitml run` would run is taken along: the files as they are, or any commit with --at, and known results that it reuses.
    `gitml collect` brings the record and the results home.
    """
    asked = load_to_run(session.ws, wanted, manner, on)

    from gitml.submission.submit import cluster_meant, submit

    target = cluster_meant(asked.loaded.config, asked.loaded, on)
    request = manner.request(asked.wanted, on)
    for warning in asked.loaded.warnings:
        session.warn(warning)
    submission = submit(session.ws, asked.loaded, request, target)
    if submission is None:
        from gitml.cli.reporters.choice import narrator_for
        from gitml.core.model.stop_signal import StopSignal
        from gitml.engine.run import run_pipeline

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
