"""Finding runs that were handed to a cluster, and reaching the cluster that has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from gitml.errors import InputError
from gitml.history.submissions import PREFIX, Submission, submissions
from gitml.store.index.runs import run_ids_with_prefix
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.cluster.connect.cluster import Cluster
    from gitml.cluster.jobs import JobClient

_RUN = re.compile(r"[0-9a-f]{16}\Z")


class SubmittedRun(NamedTuple):
    """A submission, and the cluster it is on."""

    submission: Submission
    cluster: Cluster
    jobs: JobClient


@contextmanager
def find_submitted_run(
    ws: Workspace, text: str | None, on: str | None, *, also_home: bool = False
) -> Iterator[SubmittedRun | None]:
    """The submitted run that `text` means (None: the newest); None when it means one of this machine, or no submitted one.

    With `on` the cluster of that target is asked, which knows the runs of other machines too. A run whose record is here is one
    of this machine, but where it is meant to be `also_home`: as long as it is noted, the cluster may have results of it.
    """
    wanted = "" if text in (None, "latest") else str(text)
    noted = _noted(ws, wanted, also_home) if on is None else None
    target = on if noted is None else noted.target
    if target is None:
        yield None
        return
    with connected(ws, target) as (cluster, jobs):
        found = noted or find_submission(ws, wanted, jobs, target, newest=not wanted)
        if found is None:
            raise InputError(f"the cluster knows no run {wanted!r}".replace(" ''", ""), where=f"target {target}")
        yield SubmittedRun(found, cluster, jobs)


def _noted(ws: Workspace, wanted: str, also_home: bool) -> Submission | None:
    """The submission noted here that begins with `wanted`, None where that means a run of this machine."""
    if not wanted or not submissions(ws) or (not also_home and run_ids_with_prefix(ws.index, wanted, 1)):
        return None
    return find_submission(ws, wanted)


@contextmanager
def connected(ws: Workspace, target: str) -> Iterator[tuple[Cluster, JobClient]]:
    """The cluster of a target that was named, or that a run was handed to, and its jobs."""
    from gitml.cluster.jobs import JobClient
    from gitml.engine.execution.executor_kinds import EXECUTOR_KINDS
    from gitml.engine.execution.ray_kind import connect_to
    from gitml.engine.planning.load import open_source, read_config

    found = read_config(ws, open_source(ws, "HEAD" if ws.location.worktree is None else None)).target(target)
    if EXECUTOR_KINDS[found.kind].submission_refusal(found) is not None:
        raise InputError(f"target {target!r} takes no submissions", where="--on", hint="name a cluster")
    with ws.consent.online(), closing(connect_to(ws, found.options)) as cluster:
        yield cluster, JobClient(cluster)


def find_submission(
    ws: Workspace, text: str, jobs: JobClient | None = None, target: str = "", *, newest: bool = False
) -> Submission | None:
    """The submission whose run's id begins with `text`: of those noted here, or of those that a cluster knows.

    InputError when it means several, unless the `newest` of them is wanted.
    """
    known = submissions(ws) if jobs is None else [submission for submission, _ in submissions_on(jobs, target)]
    found = [submission for submission in known if submission.run.startswith(text)]
    if len(found) > 1 and not newest:
        shown = ", ".join(submission.run[:12] for submission in found[:5])
        raise InputError(f"several submitted runs begin with {text!r}: {shown}", hint="give more digits")
    return found[0] if found else None


def submissions_on(jobs: JobClient, target: str) -> list[tuple[Submission, str]]:
    """All submissions that a cluster knows, newest first, each with the state of its job."""
    found = []
    for job in jobs.list(PREFIX):
        said = job.metadata
        run = said.get("run")
        if isinstance(run, str) and _RUN.match(run):  # it names folders here, and a cluster may say what it likes
            name, commit, by = str(said.get("pipeline", "?")), str(said.get("commit", "")), str(said.get("by", "?"))
            found.append((Submission(run, target, name, commit, job.submitted, by), job.state))
    return found
