"""`gitml collect`."""

from __future__ import annotations

import click

from gitml.cli.errors import DONE, FAILED
from gitml.cli.session import Session, verb
from gitml.cli.terminal import safe
from gitml.cli.words import count


@verb("collect", json=True)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--on", metavar="TARGET", help="Ask this cluster, for runs that were submitted on another machine too.")
@click.option("--wait", is_flag=True, help="Wait until they have ended.")
def command(session: Session, runs: tuple[str, ...], on: str | None, wait: bool) -> int:
    """Bring submitted runs home: their records, and the results that are still on the cluster.

    Without RUN, all that were submitted here and have ended. Exits with 1 when one that is named has failed.
    """
    from gitml.errors import BusyError, InputError
    from gitml.flow.homecoming import Home, bring_home, follow
    from gitml.flow.submitted import reached, submitted_run
    from gitml.history.submissions import submissions

    homes: list[Home] = []
    busy: list[str] = []
    if runs:
        for text in runs:
            with submitted_run(session.ws, text, on) as there:
                if there is None:
                    raise InputError(
                        f"no submitted run {text[:80]!r} is to be fetched", hint="gitml log --on TARGET lists them"
                    )
                if wait:
                    for _ in follow(there.jobs, there.submission):
                        continue
                homes.append(bring_home(session.ws, there.cluster, there.jobs, there.submission))
    else:
        noted = [one for one in submissions(session.ws) if on in (None, one.target)]
        for target in dict.fromkeys(one.target for one in noted):
            with reached(session.ws, target) as (cluster, jobs):
                for one in [one for one in noted if one.target == target]:
                    if wait:
                        for _ in follow(jobs, one):
                            continue
                    try:
                        homes.append(bring_home(session.ws, cluster, jobs, one))
                    except BusyError:
                        busy.append(one.run)
    if session.json:
        session.show_json(
            {
                "collected": [
                    {"run": home.run.id, "status": home.run.status, "objects": home.fetched, "left": home.left}
                    for home in homes
                ],
                "running": busy,
            }
        )
    else:
        for home in homes:
            along = f", with {count(home.fetched, 'object')}" if home.fetched else ""
            session.show(f"run {home.run.id[:8]} {safe(home.run.pipeline)} {home.run.status}{along}")
            if home.left:
                session.warn(
                    f"{count(home.left, 'object')} stayed on the cluster, which this machine can't drive: collect there, "
                    "or name it by ray://HOST:10001"
                )
        for run in busy:
            session.note(f"run {run[:8]} is still going on")
        if not homes and not busy:
            session.note("nothing is to be collected")
    return FAILED if runs and any(home.run.status != "succeeded" for home in homes) else DONE
