"""`gitml collect`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from gitml.cli.errors import DONE, FAILED, ErrorReport, error_as_json, translate, write_error
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.format import count
from gitml.cli.text.terminal import safe
from gitml.errors import GitmlError, InputError, IntegrityError

if TYPE_CHECKING:
    from gitml.cluster.connect.cluster import Cluster
    from gitml.cluster.jobs import JobClient
    from gitml.history.submissions import Submission
    from gitml.submission.collect import CollectedRun


@verb("collect", json=True, reaches=ALWAYS)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--on", metavar="TARGET", help="Ask this cluster, for runs that were submitted on another machine too.")
@click.option("--wait", is_flag=True, help="Wait until they have ended.")
@click.option("--forget", is_flag=True, help="Fetch nothing of RUN: give up what its cluster has, and its note here.")
def command(session: Session, runs: tuple[str, ...], on: str | None, wait: bool, forget: bool) -> int:
    """Collect submitted runs: download their records and the results that are still on the cluster.

    Without RUN: all runs that were submitted here and have ended. An error of one run does not stop the others. Exits with 1
    when a run that is named has failed.
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
    collection.report()
    if collection.failed:
        return collection.failed[0][1].exit_code
    return FAILED if runs and any(outcome.run.status != "succeeded" for outcome in collection.collected) else DONE


class _Collection:
    """What was collected, what still runs, what was given up, and what failed. Printed as it happens, or as one JSON document."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.collected: list[CollectedRun] = []
        self.busy: list[str] = []
        self.forgotten: list[str] = []
        self.failed: list[tuple[str | None, ErrorReport]] = []

    @contextmanager
    def trying(self, run: str | None) -> Iterator[None]:
        """Reports any error of `run` (None: of a whole cluster), so that the others go on."""
        try:
            yield
        except GitmlError as error:
            self.fail(run, error)

    def fail(self, run: str | None, error: GitmlError) -> None:
        """Reports an error."""
        self.failed.append((run, translate(error)))
        write_error(self.failed[-1][1], as_json=self.session.json)

    def collect(self, cluster: Cluster, jobs: JobClient, submission: Submission) -> None:
        """Collects one run."""
        from gitml.submission.collect import collect

        outcome = collect(self.session.ws, cluster, jobs, submission)
        if outcome is None:
            return
        self.collected.append(outcome)
        short = outcome.run.id[:8]
        along = f", with {count(outcome.fetched, 'object')}" if outcome.fetched else ""
        self.session.show(f"run {short} {safe(outcome.run.pipeline)} {outcome.run.status}{along}")
        if outcome.left and not self.session.json:
            self.session.warn(
                f"{count(outcome.left, 'object')} stayed on the cluster ({safe(outcome.reason)}): gitml collect {short} "
                "again; where this machine can't drive the cluster, there, or with its target named by ray://HOST:10001"
            )
        if outcome.lost:
            what = f"{count(outcome.lost, 'object')} of run {short} are no longer on the cluster, or damaged there"
            hint = "gitml run makes them again; the record is here"
            self.fail(outcome.run.id, IntegrityError(what, where=f"target {submission.target}", hint=hint))

    def report(self) -> None:
        """All as JSON, or the rest."""
        collected = [
            {"run": one.run.id, "status": one.run.status, "objects": one.fetched, "left": one.left, "lost": one.lost}
            for one in self.collected
        ]
        failed = [{"run": run, "error": error_as_json(phrase)} for run, phrase in self.failed]
        self.session.result(
            {"collected": collected, "running": self.busy, "forgotten": self.forgotten, "failed": failed}
        )
        self.session.remark(*[f"run {run[:8]} is still going on" for run in self.busy])
        self.session.remark(*[f"run {run[:8]} is forgotten" for run in self.forgotten])
        if not (self.collected or self.busy or self.forgotten or self.failed):
            self.session.remark("nothing is to be collected")


def _named(collection: _Collection, runs: tuple[str, ...], on: str | None, wait: bool) -> None:
    from gitml.submission.collect import wait_until_ended
    from gitml.submission.lookup import find_submitted_run

    for text in runs:
        with (
            collection.trying(text),
            find_submitted_run(collection.session.ws, text, on, also_home=True) as there,
        ):
            if there is None:
                raise _unknown(text)
            if wait:
                wait_until_ended(there.jobs, there.submission)
            collection.collect(there.cluster, there.jobs, there.submission)


def _all(collection: _Collection, on: str | None, wait: bool) -> None:
    from gitml.history.submissions import submissions
    from gitml.submission.collect import StillRunningError, wait_until_ended
    from gitml.submission.lookup import connected

    ws = collection.session.ws
    noted = [one for one in submissions(ws) if on in (None, one.target)]
    for target in dict.fromkeys(one.target for one in noted):
        with collection.trying(None), connected(ws, target) as (cluster, jobs):
            for one in [one for one in noted if one.target == target]:
                with collection.trying(one.run):
                    try:
                        if wait:
                            wait_until_ended(jobs, one)
                        collection.collect(cluster, jobs, one)
                    except StillRunningError:
                        collection.busy.append(one.run)


def _give_up(collection: _Collection, runs: tuple[str, ...]) -> None:
    """Forgets runs; of a cluster that can't be reached, or is no target any more, what it has stays there."""
    from gitml.history.submissions import forget_submission
    from gitml.submission.collect import StillRunningError, remove_submission
    from gitml.submission.lookup import connected, find_submission

    ws = collection.session.ws
    for text in runs:
        with collection.trying(text):
            submission = find_submission(ws, text)
            if submission is None:
                raise _unknown(text)
            try:
                with connected(ws, submission.target) as (cluster, jobs):
                    remove_submission(ws, cluster, jobs, submission)
            except StillRunningError:
                raise
            except GitmlError as error:
                collection.session.warn(f"{safe(submission.target)} was not asked: {safe(error.message)}")
                forget_submission(ws, submission.run)
            collection.forgotten.append(submission.run)


def _unknown(text: str) -> InputError:
    return InputError(f"no submitted run {text[:80]!r} is to be fetched", hint="gitml log --on TARGET lists them")
