"""`gitml collect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from gitml.cli.errors import DONE, FAILED
from gitml.cli.session import Session, verb
from gitml.cli.terminal import safe
from gitml.cli.words import count
from gitml.errors import BusyError, InputError

if TYPE_CHECKING:
    from gitml.execute.ray.jobs import Jobs
    from gitml.flow.homecoming import Home
    from gitml.history.submissions import Submission


@verb("collect", json=True)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--on", metavar="TARGET", help="Ask this cluster, for runs that were submitted on another machine too.")
@click.option("--wait", is_flag=True, help="Wait until they have ended.")
def command(session: Session, runs: tuple[str, ...], on: str | None, wait: bool) -> int:
    """Bring submitted runs home: their records, and the results that are still on the cluster.

    Without RUN, all that were submitted here and have ended. Exits with 1 when one that is named has failed.
    """
    brought = _named(session, runs, on, wait) if runs else _all(session, on, wait)
    if session.json:
        collected = [
            {"run": home.run.id, "status": home.run.status, "objects": home.fetched, "left": home.left}
            for home in brought.homes
        ]
        session.show_json({"collected": collected, "running": brought.busy})
    else:
        _tell(session, brought)
    return FAILED if runs and any(home.run.status != "succeeded" for home in brought.homes) else DONE


class _Brought(NamedTuple):
    """What came home, and the runs that still go on."""

    homes: list[Home]
    busy: list[str]


def _named(session: Session, runs: tuple[str, ...], on: str | None, wait: bool) -> _Brought:
    from gitml.flow.homecoming import bring_home
    from gitml.flow.submitted import submitted_run

    homes = []
    for text in runs:
        with submitted_run(session.ws, text, on) as there:
            if there is None:
                raise InputError(
                    f"no submitted run {text[:80]!r} is to be fetched", hint="gitml log --on TARGET lists them"
                )
            if wait:
                _wait_for(there.jobs, there.submission)
            homes.append(bring_home(session.ws, there.cluster, there.jobs, there.submission))
    return _Brought(homes, [])


def _all(session: Session, on: str | None, wait: bool) -> _Brought:
    from gitml.flow.homecoming import bring_home
    from gitml.flow.submitted import reached
    from gitml.history.submissions import submissions

    brought = _Brought([], [])
    noted = [one for one in submissions(session.ws) if on in (None, one.target)]
    for target in dict.fromkeys(one.target for one in noted):
        with reached(session.ws, target) as (cluster, jobs):
            for one in [one for one in noted if one.target == target]:
                if wait:
                    _wait_for(jobs, one)
                try:
                    brought.homes.append(bring_home(session.ws, cluster, jobs, one))
                except BusyError:
                    brought.busy.append(one.run)
    return brought


def _wait_for(jobs: Jobs, submission: Submission) -> None:
    from gitml.flow.homecoming import follow

    for _ in follow(jobs, submission):
        continue


def _tell(session: Session, brought: _Brought) -> None:
    for home in brought.homes:
        along = f", with {count(home.fetched, 'object')}" if home.fetched else ""
        session.show(f"run {home.run.id[:8]} {safe(home.run.pipeline)} {home.run.status}{along}")
        if home.left:
            session.warn(
                f"{count(home.left, 'object')} stayed on the cluster, which this machine can't drive: collect there, "
                "or name it by ray://HOST:10001"
            )
    for run in brought.busy:
        session.note(f"run {run[:8]} is still going on")
    if not brought.homes and not brought.busy:
        session.note("nothing is to be collected")
