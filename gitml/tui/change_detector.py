"""A cheap look at whether anything changed in the repository since the last look."""

from __future__ import annotations

import os
from typing import NamedTuple

from gitml.git.revisions import branch_name
from gitml.history.runs import holder_of, live_ids
from gitml.workspace import Workspace


class RepositoryState(NamedTuple):
    """Two that are equal show the same. `live` is the runs in progress with how far their journals are; `left` those whose gitml
    was killed.
    """

    name: str
    branch: str | None
    tip: str | None
    live: tuple[tuple[str, int, int], ...]
    left: tuple[str, ...] = ()


def poll(ws: Workspace) -> RepositoryState:
    """The state now."""
    live, left = [], []
    for id in live_ids(ws):
        if holder_of(ws, id) is None:
            left.append(id)
            continue
        folder = os.path.join(ws.live, id)
        try:
            live.append((id, os.stat(os.path.join(folder, "events.jsonl")).st_size, len(os.listdir(f"{folder}/logs"))))
        except OSError:
            continue  # it ended just now
    place = ws.location.worktree or ws.location.folder
    return RepositoryState(
        os.path.basename(place.rstrip("/")), branch_name(ws.location), ws.records.tip(), tuple(live), tuple(left)
    )
