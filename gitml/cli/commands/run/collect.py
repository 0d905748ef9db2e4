"""`gitml collect`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from gitml.cli.errors import DONE, FAILED, ErrorReport, error_as_json, translate, write_error
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.format import count
from gitml.cli.text.terminal import safe
from gitml.errors import GitmlError, InputError, IntegrityError

if TYPE_CHECKING:
    from gitml.cluster.connect.cluster import Cluster
    from gitml.cluster.jobs import Jobs
    from gitml.history.submissions import Submission
    from gitml.submission.collect import Home


@verb("collect", json=True, reaches=ALWAYS)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--on", metavar="TARGET", help="Ask this cluster, for runs that were submitted on another machine too.")
@click.option("--wait", is_flag=True, help="Wait until they have ended.")
@click.option("--forget", is_flag=True, help="Fetch nothing of RUN: give up what its cluster has, and its note here.")
def command(session: Session, runs: tuple[str, ...], on: str | None, wait: bool, forget: bool) -> int:
    """Bring submitted runs home: their records, and the results that are still on the cluster.

    Without RUN, all that were submitted here and have ended. What is wrong with one keeps no other. Exits with 1 when one that is
    named has failed.
    """
    collection = _Collection(session)
    if forget:
        if not runs or on is not None or wait:
            raise click.UsageError("--forget takes runs that were submitted here, and no --on or --wait")
        _give_up(collection, runs)
    elif runs:
        _named(collection, runs, on, wait)
    else:
        _all(collection, on, wait)
    collection.tell()
    if collection.failed:
        return collection.failed[0][1].exit_code
    return FAILED if runs and any(home.run.status != "succeeded" for home in collection.homes) else DONE


class _Collection:
    """What came home, what still goes on, what was given up, and what was wrong. Each is told at once, or as one in JSON."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.homes: list[Home] = []
        self.busy: list[str] = []
        self.forgotten: list[str] = []
        self.failed: list[tuple[str | None, ErrorReport]] = []

    @contextmanager
    def trying(self, run: str | None) -> Iterator[None]:
        """Whatever is wrong with `run` (None: with a whole cluster) is told, and the others go on."""
        try:
            yield
        except GitmlError as error:
            self.fail(run, error)

    def fail(self, run: str | None, error: GitmlError) -> None:
        """Tells what is wrong."""
        self.failed.append((run, translate(error)))
        write_error(self.failed[-1][1], as_json=self.session.json)

    def bring(self, cluster: Cluster, jobs: Jobs, submission: Submission) -> None:
        """Brings one run home."""
        from gitml.submission.collect import bring_home

        home = bring_home(self.session.ws, cluster, jobs, submission)
        if home is None:
            return
        self.homes.append(home)
        short = home.run.id[:8]
        if not self.session.json:
            along = f", with {count(home.fetched, 'object')}" if home.fetched else ""
            self.session.show(f"run {short} {safe(home.run.pipeline)} {home.run.status}{along}")
            if home.left:
                self.session.warn(
                    f"{count(home.left, 'object')} stayed on the cluster ({safe(home.reason)}): gitml collect {short} again; "
                    "where this machine can't drive the cluster, there, or with its target named by ray://HOST:10001"
                )
        if home.lost:
            what = f"{count(home.lost, 'object')} of run {short} are no longer on the cluster, or not what they were"
            hint = "gitml run makes them again; the record is here"
            self.fail(home.run.id, IntegrityError(what, where=f"target {submission.target}", hint=hint))

    def tell(self) -> None:
        """All as JSON, or the rest."""
        if self.session.json:
            collected = [
                {
                    "run": home.run.id,
                    "status": home.run.status,
                    "objects": home.fetched,
                    "left": home.left,
                    "lost": home.lost,
                }
                for home in self.homes
            ]
            failed: list[dict[str, Any]] = [{"run": run, "error": error_as_json(phrase)} for run, phrase in self.failed]
            self.session.show_json(
                {"collected": collected, "running": self.busy, "forgotten": self.forgotten, "failed": failed}
            )
            return
        for run in self.busy:
            self.session.note(f"run {run[:8]} is still going on")
        for run in self.forgotten:
            self.session.note(f"run {run[:8]} is forgotten")
        if not (self.homes or self.busy or self.forgotten or self.failed):
            self.session.note("nothing is to be collected")


def _named(collection: _Collection, runs: tuple[str, ...], on: str | None, wait: bool) -> None:
    from gitml.submission.collect import wait_for
    from gitml.submission.lookup import submitted_run

    for text in runs:
        with (
            collection.trying(text),
            submitted_run(collection.session.ws, text, on, also_home=True) as there,
        ):
            if there is None:
                raise _unknown(text)
            if wait:
                wait_for(there.jobs, there.submission)
            collection.bring(there.cluster, there.jobs, there.submission)


def _all(collection: _Collection, on: str | None, wait: bool) -> None:
    from gitml.history.submissions import submissions
    from gitml.submission.collect import GoingOnError, wait_for
    from gitml.submission.lookup import reached

    ws = collection.session.ws
    noted = [one for one in submissions(ws) if on in (None, one.target)]
    for target in dict.fromkeys(one.target for one in noted):
        with collection.trying(None), reached(ws, target) as (cluster, jobs):
            for one in [one for one in noted if one.target == target]:
                with collection.trying(one.run):
                    try:
                        if wait:
                            wait_for(jobs, one)
                        collection.bring(cluster, jobs, one)
                    except GoingOnError:
                        collection.busy.append(one.run)


def _give_up(collection: _Collection, runs: tuple[str, ...]) -> None:
    """Forgets runs; of a cluster that can't be reached, or is no target any more, what it has stays there."""
    from gitml.history.submissions import forget
    from gitml.submission.collect import GoingOnError, find_submission, give_up
    from gitml.submission.lookup import reached

    ws = collection.session.ws
    for text in runs:
        with collection.trying(text):
            submission = find_submission(ws, text)
            if submission is None:
                raise _unknown(text)
            try:
                with reached(ws, submission.target) as (cluster, jobs):
                    give_up(ws, cluster, jobs, submission)
            except GoingOnError:
                raise
            except GitmlError as error:
                collection.session.warn(f"{safe(submission.target)} was not asked: {safe(error.message)}")
                forget(ws, submission.run)
            collection.forgotten.append(submission.run)


def _unknown(text: str) -> InputError:
    return InputError(f"no submitted run {text[:80]!r} is to be fetched", hint="gitml log --on TARGET lists them")
