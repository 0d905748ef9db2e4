"""What the screen Time asks of the repository: a history, of the pipeline that is meant."""

from __future__ import annotations

from typing import NamedTuple

from gitml.analysis.timeline import Timeline, meant_pipeline, open_timeline
from gitml.engine.planning.load import list_pipelines
from gitml.git.revisions import branch_name
from gitml.store.index.runs import metric_names, newest_runs
from gitml.workspace import Workspace


class TimeQuery(NamedTuple):
    """What the screen shows: a pipeline (None: the default), a revision, whether merged commits too."""

    pipeline: str | None = None
    rev: str = "HEAD"
    merged: bool = False


class TimeHistory(NamedTuple):
    """A history; the pipelines there are at its newest commit, and the metrics that runs of this one have."""

    timeline: Timeline
    branch: str
    pipelines: tuple[str, ...]
    metrics: tuple[str, ...]
    now: float


def open_history(ws: Workspace, query: TimeQuery) -> TimeHistory:
    """The history that is asked for."""
    pipelines = tuple(list_pipelines(ws, query.rev))
    pipeline = query.pipeline
    if pipeline is None or (pipeline not in pipelines and not newest_runs(ws.index, pipeline=pipeline, limit=1)):
        pipeline = meant_pipeline(ws, query.rev)
    timeline = open_timeline(ws, pipeline, query.rev, merged=query.merged)
    branch = query.rev if query.rev != "HEAD" else branch_name(ws.location) or "HEAD"
    return TimeHistory(timeline, branch, pipelines, tuple(metric_names(ws.index, pipeline)), ws.now())
