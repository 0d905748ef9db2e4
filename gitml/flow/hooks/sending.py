"""What goes along with a push: the runs that pushed commits are about."""

from __future__ import annotations

from collections.abc import Sequence

from gitml.errors import GitmlError
from gitml.flow.hooks.proof import proof_of
from gitml.flow.hooks.pushed import Update, new_commits, tip_of
from gitml.flow.load import load, pipelines_in
from gitml.repo.source import CommitSource
from gitml.workspace import Workspace

_MANY = 200


def runs_pushed(ws: Workspace, updates: Sequence[Update], remote: str) -> tuple[str, ...] | None:
    """The ids of runs of the pushed commits, and of those whose results the newest of each branch reuses.

    None when there are too many commits to ask for each: everything that was recorded goes along then.
    """
    commits = new_commits(ws, list(updates), remote)
    if len(commits) > _MANY:
        return None
    found: dict[str, None] = {}
    for commit in commits:
        found.update(dict.fromkeys(row.id for row in ws.index.runs(commit=commit, limit=None)))
    for tip in dict.fromkeys(tip for update in updates if (tip := tip_of(ws, update))):
        source = CommitSource(ws.objects, tip)
        for name in pipelines_in(source):
            try:
                results = proof_of(ws, load(ws, name, None, source=source)).results
            except GitmlError:
                continue  # what can't be planned has no results
            found.update(dict.fromkeys(result.run for result in results.values()))
    return tuple(found)
