"""Whether a remote store still is the one that is remembered: what is known of one that was emptied counts no more."""

from __future__ import annotations

import os

from gitml.core.config.remotes import LFS, RemoteSpec, StoredObject
from gitml.errors import RemoteError
from gitml.records.runs import read_run
from gitml.store.remote.cache import gc_note, name_store
from gitml.transfer.remotes import Remotes
from gitml.transfer.run_selector import roots_of
from gitml.workspace import Workspace

_RECENT = 20  # runs
_SAMPLE = 100  # objects; as many as one question to Git LFS may be about


def confirmed(ws: Workspace, remotes: Remotes, spec: RemoteSpec, *, named: bool = True) -> bool:
    """Asks one small question; False when what was known of the store is forgotten now.

    With `named` a store without a name is given one. RemoteError when it can't be reached, and for a folder that is gone.
    """
    remote, known = remotes.open(spec), remotes.known(spec)
    before = known.mark
    if spec.scheme == LFS:
        return _has_recent(ws, remotes, spec)
    note = gc_note(remote, known)
    if known.mark != before and not note.store and spec.scheme == "file" and not os.path.isdir(spec.path):
        raise RemoteError(
            "the folder is gone", where=spec.place, hint="mount it, or make an empty one to have it filled again"
        )
    if named:
        name_store(remote, known, note)
    return known.mark == before


def _has_recent(ws: Workspace, remotes: Remotes, spec: RemoteSpec) -> bool:
    """Whether Git LFS, which can keep no name, still has what the last runs made and it is known to have."""
    known = remotes.known(spec)
    roots = [
        root
        for row in ws.index.runs(limit=_RECENT)
        for root in roots_of(read_run(ws.index, ws.objects, row.id))
        if known.says(root.digest)
    ]
    blobs = list({root.digest: StoredObject(root.digest, root.size) for root in roots if not root.tree}.values())[
        :_SAMPLE
    ]
    trees = list({root.digest: root for root in roots if root.tree})[:_SAMPLE]
    remote = remotes.open(spec)
    # One question: a directory's manifest is another object, and asked for by itself.
    wanted = {item.digest for item in blobs} or set(trees)
    is_there = wanted == (remote.present(blobs) if blobs else remote.with_manifest(trees))
    if not is_there:
        known.forget()
    return is_there
