"""Artifacts of recorded runs that are on this machine alone: in no record, and in no remote store that is known to have them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from typing import NamedTuple

from gitml.core.model.digest import Digest
from gitml.errors import GitmlError
from gitml.records.runs import recorded_runs
from gitml.transfer.availability import Availability
from gitml.transfer.remotes import Remotes
from gitml.transfer.run_selector import roots_of
from gitml.workspace import Workspace

Warn = Callable[[str], None]
_STAYING = (
    "staying"  # kind of fact: the remote stores -> [the record up to which all was looked at, what stayed here of it]
)


class UnsharedArtifact(NamedTuple):
    """An artifact or log that is on this machine alone, and the first run that names it."""

    name: str
    run: str
    digest: Digest
    size: int
    tree: bool


def unshared_artifacts(
    ws: Workspace, *, confirmed: Collection[str] = (), warn: Warn | None = None
) -> list[UnsharedArtifact]:
    """What is on this machine alone of all recorded runs, in the order of their records.

    What was looked at once is remembered, so that only runs recorded since are read. With `warn` each remote store, but for those
    named in `confirmed`, is asked whether it still is the one that is known; `warn` is called for one that can't be asked, and
    then what is known of it counts.
    """
    remotes = Remotes(ws)
    if warn is not None:
        _confirm(ws, remotes, confirmed, warn)
    known = [remotes.known(spec) for spec in remotes.specs]
    tip = ws.records.tip()
    about = " ".join(f"{spec.identity} {one.mark}" for spec, one in zip(remotes.specs, known, strict=True))
    before, rows = ws.index.fact(_STAYING, about) or (None, [])
    found = {one.digest: one for one in (UnsharedArtifact(*row) for row in rows)}
    for run in recorded_runs(ws.records, ws.objects, before) if tip != before else ():
        for root in roots_of(run):
            found.setdefault(root.digest, UnsharedArtifact(root.name, run.id, root.digest, root.size, root.tree))
    here = Availability(ws)
    stays = [
        one
        for one in found.values()
        if os.path.lexists(ws.store.path_of(one.digest))
        and not any(remote.says(one.digest) for remote in known)
        and not here.in_records(one.digest, tree=one.tree)
    ]
    if tip is not None:
        ws.index.remember(_STAYING, about, [tip, [list(one) for one in stays]])
    return stays


def _confirm(ws: Workspace, remotes: Remotes, before: Collection[str], warn: Warn) -> None:
    asked = [spec for spec in remotes.specs if spec.name not in before]
    if not asked or ws.records.tip() is None:
        return
    from gitml.transfer.remotes import confirm_remote

    try:
        for spec in asked:
            try:
                confirm_remote(ws, remotes, spec, named=False)
            except GitmlError as error:
                warn(f"remote {spec.name} can't be asked, so what it was given before counts as there: {error.message}")
    finally:
        remotes.close()


def why_unshared(ws: Workspace) -> str:
    """Why artifacts stay here, and what would send them."""
    specs = Remotes(ws).specs
    if not specs:
        return "no remote store in gitml.yaml: name one under `remotes:`"
    if not any(spec.push for spec in specs):
        return "gitml.yaml says push: false of every remote store"
    return "a plain `gitml push` sends them"
