"""Runs as a list: what is asked of it, those in progress among those recorded, and metrics as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gitml.errors import InputError
from gitml.git.revisions import resolve_commit
from gitml.history.runs import live_runs
from gitml.history.submissions import submissions
from gitml.history.time_arguments import parse_time
from gitml.store.index.runs import RunRow, newest_runs, run_row
from gitml.workspace import Workspace

SUBMITTED = "submitted"
UNFINISHED = ("running", SUBMITTED)
_HEX = frozenset("0123456789abcdef")


class RunFilter(NamedTuple):
    """What runs must match, all of it; `commit` (or what uncommitted work lay on) is a revision, `since` a date as written."""

    pipeline: str | None = None
    experiment: str | None = None
    status: str | None = None
    commit: str | None = None
    branch: str | None = None
    since: str | None = None
    tag: str | None = None


def list_runs(ws: Workspace, wanted: RunFilter, limit: int | None) -> tuple[list[RunRow], bool]:
    """The newest `limit` runs that match (all for None), newest first, and whether there are more."""
    commit = _commit(ws, wanted.commit) if wanted.commit is not None else None
    since = parse_time(wanted.since, ws.now()) if wanted.since is not None else None
    rows = (
        []
        if wanted.status in UNFINISHED
        else newest_runs(
            ws.index,
            pipeline=wanted.pipeline,
            experiment=wanted.experiment,
            status=wanted.status,
            on=commit,
            branch=wanted.branch,
            since=since,
            tag=wanted.tag,
            limit=None if limit is None else limit + 1,
        )
    )
    if wanted.status is None or wanted.status in UNFINISHED:
        known = {row.id for row in rows}
        going = [row for row in live_rows(ws) if row.id not in known and _matches(row, wanted, commit, since)]
        if going:
            rows = sorted([*going, *rows], key=lambda row: (row.started, row.id), reverse=True)
    more = limit is not None and len(rows) > limit
    return rows[:limit], more


def metric_columns(rows: Sequence[RunRow], names: Sequence[str]) -> tuple[list[str], list[RunRow]]:
    """(columns, rows): a name without its step becomes a column of its own, with the value of the only step that has it.

    InputError, with the names there are, for one that no run has.
    """
    known: dict[str, None] = {}
    for row in rows:
        known.update(dict.fromkeys(row.metrics))
    columns: list[str] = []
    for name in names:
        found = [full for full in known if full == name] or [full for full in known if full.endswith("." + name)]
        if not found:
            from gitml.core.language.diagnostics import nearest

            raise InputError(f"no run listed here has a metric {name!r}{nearest(name, known)}")
        columns += [full for full in found if full not in columns]
    return columns, list(rows)


def live_rows(ws: Workspace) -> list[RunRow]:
    """The runs in progress as rows, those handed to a cluster among them, oldest first; `ended` is now."""
    rows = []
    for live in live_runs(ws):
        run = live.run
        counts: dict[str, int] = {}
        for step in run.steps:
            counts[step.outcome] = counts.get(step.outcome, 0) + 1
        rows.append(
            RunRow(
                id=run.id,
                started=run.started,
                ended=ws.now(),
                pipeline=run.pipeline,
                experiment=run.experiment,
                status="running",
                commit=run.commit,
                base=run.base,
                branch=run.branch,
                dirty=run.dirty,
                message=run.message,
                tags=run.tags,
                counts=counts,
                metrics=run.metrics(),
                record="",
            )
        )
    return sorted([*rows, *submitted_rows(ws)], key=lambda row: row.started)


def submitted_rows(ws: Workspace) -> list[RunRow]:
    """The runs that were handed to a cluster and not brought home; how they stand only the cluster knows."""
    return [
        RunRow(
            id=one.run,
            started=one.submitted,
            ended=ws.now(),
            pipeline=one.pipeline,
            experiment="",
            status=SUBMITTED,
            commit=one.commit,
            base=None,
            branch=None,
            dirty=False,
            message=f"handed to {one.target}",
            tags=(),
            counts={},
            metrics={},
            record="",
        )
        for one in submissions(ws)
        if run_row(ws.index, one.run)
        is None  # else results of it are on their way still, and it is listed as what it is
    ]


def _matches(row: RunRow, wanted: RunFilter, commit: str | None, since: float | None) -> bool:
    return (
        wanted.status in (None, row.status)
        and wanted.pipeline in (None, row.pipeline)
        and wanted.experiment in (None, row.experiment)
        and wanted.branch in (None, row.branch)
        and (wanted.tag is None or wanted.tag in row.tags)
        and (commit is None or row.commit.startswith(commit) or (row.base or "").startswith(commit))
        and (since is None or row.started >= since)
    )


def _commit(ws: Workspace, text: str) -> str:
    """The commit of a revision; the beginning of an id is taken as it is, since a snapshot may be known to the log alone."""
    try:
        return resolve_commit(ws.objects, ws.location, text)
    except InputError:
        if len(text) >= 7 and _HEX.issuperset(text):
            return text
        raise
