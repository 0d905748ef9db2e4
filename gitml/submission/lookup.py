"""Finding runs that were handed to a cluster, and reaching the cluster that has them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from gitml.store.index.runs import run_ids_with_prefix
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.cluster.connect.cluster import Cluster
    from gitml.cluster.jobs import JobClient
    from gitml.history.submissions import Submission


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
    if on is None and not os.path.isdir(os.path.join(ws.root, "submitted")):
        yield None
        return
    from gitml.history.submissions import submissions
    from gitml.submission.collect import find_submission

    wanted = "" if text in (None, "latest") else str(text)
    if on is not None:
        with connected(ws, on) as (cluster, jobs):
            found = find_submission(ws, wanted, jobs, on, newest=not wanted)
            if found is None:
                from gitml.errors import InputError

                raise InputError(f"the cluster knows no run {wanted!r}".replace(" ''", ""), where=f"target {on}")
            yield SubmittedRun(found, cluster, jobs)
        return
    if not wanted or not submissions(ws) or (not also_home and run_ids_with_prefix(ws.index, wanted, 1)):
        yield None
        return
    noted = find_submission(ws, wanted)
    if noted is None:
        yield None
        return
    with connected(ws, noted.target) as (cluster, jobs):
        yield SubmittedRun(noted, cluster, jobs)


@contextmanager
def connected(ws: Workspace, target: str) -> Iterator[tuple[Cluster, JobClient]]:
    """The cluster of a target that was named, or that a run was handed to, and its jobs."""
    from gitml.cluster.jobs import JobClient
    from gitml.engine.execution.ray_kind import connect_to
    from gitml.engine.planning.load import open_source, read_config
    from gitml.submission.submit import cluster_by_name

    config = read_config(ws, open_source(ws, "HEAD" if ws.location.worktree is None else None))
    with ws.consent.online(), closing(connect_to(ws, cluster_by_name(config, target).options)) as cluster:
        yield cluster, JobClient(cluster)
