"""The queries of the screen Run: a run as it stands, and the graph of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gitml.core.model.graph import GraphStep
from gitml.core.records.record import Run
from gitml.history.runs import StepProgress, get_run, run_progress
from gitml.history.submissions import target_of
from gitml.store.index.runs import newest_runs
from gitml.workspace import Workspace


class RunView(NamedTuple):
    """A run as it stands; `before` is the one of the same pipeline that was recorded before it.

    `target` is the cluster that a submitted run is on, empty once it is collected.
    """

    run: Run
    steps: tuple[StepProgress, ...]
    live: bool
    before: str | None
    target: str = ""


def view_run(ws: Workspace, id: str) -> RunView:
    """The run as it stands now; of one on a cluster, as the cluster reports it."""
    target = target_of(ws, id)
    if target:
        from gitml.submission.collect import mirror

        mirror(ws, id)
    found = get_run(ws, id)
    live = found.live is not None and (not target or found.run.status == "running")
    rows = newest_runs(ws.index, pipeline=found.run.pipeline, limit=1, before=None if live else id)
    return RunView(found.run, tuple(run_progress(found)), live, rows[0].id if rows else None, target)


def planned_steps(ws: Workspace, run: Run) -> Mapping[str, GraphStep]:
    """The steps as the run's pipeline has them at its commit."""
    from gitml.engine.planning.load import load_run

    return load_run(ws, run).graph.steps
