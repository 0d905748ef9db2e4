"""Uploads: artifacts of recorded runs go to remote stores, only what these lack, and nothing that travels with the records."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from gitml.core.config.remotes import RemoteSpec
from gitml.core.model.digest import Digest
from gitml.core.model.events import Emit
from gitml.core.model.stop_signal import StopSignal
from gitml.errors import GitmlError, InputError
from gitml.records.runs import recorded_runs
from gitml.store.remote.transfer.progress import TransferRoot, UploadResult
from gitml.transfer.availability import Availability
from gitml.transfer.remotes import Remotes, confirm_remote, using_store
from gitml.transfer.run_selector import RunSelection, roots_of, selected_roots
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.store.remote.transfer.upload import Uploader

# Kind of fact: remote -> the record up to which all was looked at. What 0.1.0 remembered as "uploaded" counts no more: it had
# left out directories whose listing alone is in a record.
_UPLOADED = "uploaded-2"


class Forecast(NamedTuple):
    """What an upload to one remote would move: objects (a pack of small files is one) and bytes, and the roots that need them.

    `missing` counts what is neither here nor there.
    """

    remote: str
    objects: int
    bytes: int
    roots: tuple[TransferRoot, ...]
    missing: int


def upload(
    ws: Workspace, choice: RunSelection, emit: Emit, stop: StopSignal, *, trusting: bool = False
) -> list[UploadResult]:
    """Uploads to every remote store that is to have it, one after the other; what became of it for each.

    Each store is asked whether it still is the one that is known, unless `trusting`: one that was emptied is filled again.
    InputError when a run or a remote is unknown, RemoteError or TrustError of the first remote that fails,
    TransferStoppedError when stopped. What was moved stays, and isn't moved again.
    """
    sent = []
    tip = ws.records.tip()  # before anything is chosen: what others record meanwhile counts as not looked at
    with closing(Remotes(ws)) as remotes:
        for spec, roots, is_confirmed in _wanted(ws, remotes, choice, trusting=trusting):
            about = _uploaded(remotes, spec)
            if roots:
                with using_store(ws):
                    one = _sender(ws, remotes, spec).upload(roots, emit, lambda: stop.level > 0)
            else:
                one = UploadResult(spec.name, (), 0, (), (), 0, 0)
            sent.append(one._replace(confirmed=is_confirmed))
            # A store that proved to be another one meanwhile has what was sent now, and not what was given to that before it.
            is_same = about == _uploaded(remotes, spec)
            if choice.is_everything and is_same and not one.refused and tip is not None:
                ws.index.remember(*about, tip)
    return sent


def forecast(ws: Workspace, choice: RunSelection) -> list[Forecast]:
    """What `upload` would do; nothing is moved."""
    forecasts = []
    with closing(Remotes(ws)) as remotes:
        for spec, roots, _ in _wanted(ws, remotes, choice, named=False):
            if not roots:
                forecasts.append(Forecast(spec.name, 0, 0, (), 0))
                continue
            work = _sender(ws, remotes, spec).plan(roots)
            needing = (*work.blobs, *(tree.root for tree in work.trees))
            forecasts.append(Forecast(spec.name, work.transfers, work.bytes, needing, len(work.missing)))
    return forecasts


def _wanted(
    ws: Workspace, remotes: Remotes, choice: RunSelection, *, trusting: bool = False, named: bool = True
) -> Iterator[tuple[RemoteSpec, list[TransferRoot], bool]]:
    """What each remote is to have beyond what it was given before, and whether it was asked if it still is the one that is known.

    With `named` a store without a name is given one.
    """
    specs = remotes.named(choice.remotes)
    kept_out = next((spec.name for spec in specs if not spec.push), None)
    if choice.remotes and kept_out is not None:
        raise InputError(f"gitml.yaml says push: false of remote {kept_out!r}", hint="say push: true there")
    for spec in specs:
        if not spec.push:
            continue
        roots, is_given = _lacked(ws, remotes, choice, spec)
        is_confirmed = not trusting and (bool(roots) or is_given)
        if is_confirmed and not confirm_remote(ws, remotes, spec, named=named):
            roots, _ = _lacked(ws, remotes, choice, spec)
        yield spec, roots, is_confirmed


def _lacked(ws: Workspace, remotes: Remotes, choice: RunSelection, spec: RemoteSpec) -> tuple[list[TransferRoot], bool]:
    """What a remote is to have as far as is remembered, and whether it was given anything before."""
    before = ws.index.fact(*_uploaded(remotes, spec)) if choice.is_everything else None
    if before is not None and before == ws.records.tip():
        return [], True
    return _travelling(ws, choice, before), before is not None


def _uploaded(remotes: Remotes, spec: RemoteSpec) -> tuple[str, str]:
    """The name of the fact up to which record a remote was given all."""
    return _UPLOADED, f"{spec.identity} {remotes.known(spec).mark}"


def _travelling(ws: Workspace, choice: RunSelection, before: str | None) -> list[TransferRoot]:
    """What is chosen of what was recorded after `before`, without what is in records anyway.

    Of what is partly in records and partly in the Store, all is in the Store then, where it is uploaded from.
    """
    here = Availability(ws)
    roots = [root for root in selected_roots(ws, choice, before) if not here.in_records(root.digest, tree=root.tree)]
    for root in roots:
        if root.tree and not ws.store.has(root.digest, root.size, tree=True):
            here.fetch_digest(root.digest, tree=True)
    return roots


def _sender(ws: Workspace, remotes: Remotes, spec: RemoteSpec) -> Uploader:
    from gitml.store.remote.transfer.upload import (
        Uploader,  # with what transfers need, which a push of nothing does without
    )

    return Uploader(ws.store, remotes.open(spec), remotes.known(spec), remotes.indexes)


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
        and not any(remote.lookup(one.digest) for remote in known)
        and not here.in_records(one.digest, tree=one.tree)
    ]
    if tip is not None:
        ws.index.remember(_STAYING, about, [tip, [list(one) for one in stays]])
    return stays


def _confirm(ws: Workspace, remotes: Remotes, before: Collection[str], warn: Warn) -> None:
    asked = [spec for spec in remotes.specs if spec.name not in before]
    if not asked or ws.records.tip() is None:
        return
    with closing(remotes):
        for spec in asked:
            try:
                confirm_remote(ws, remotes, spec, named=False)
            except GitmlError as error:
                warn(f"remote {spec.name} can't be asked, so what it was given before counts as there: {error.message}")


def why_unshared(ws: Workspace) -> str:
    """Why artifacts stay here, and what would send them."""
    specs = Remotes(ws).specs
    if not specs:
        return "no remote store in gitml.yaml: name one under `remotes:`"
    if not any(spec.push for spec in specs):
        return "gitml.yaml says push: false of every remote store"
    return "a plain `gitml push` sends them"
