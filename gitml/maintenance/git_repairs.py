"""What `fsck` finds in Git itself: lock files that were left behind, and objects that a power cut or a failing disk damaged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from gitml import layout
from gitml.errors import GitmlError
from gitml.git.command import git
from gitml.git.integrity import object_check, packs, ref_recovery
from gitml.git.integrity.object_check import refetch
from gitml.git.integrity.quarantine import quarantine_object
from gitml.git.integrity.stale_locks import clear, lock_files
from gitml.store.local.locks import Locks
from gitml.workspace import Workspace


def lock_faults(ws: Workspace, repair: bool) -> Iterator[Fault]:
    """Each stale lock file of Git that blocks gitml; removed with `repair`."""
    stale = [lock for lock in lock_files(ws.location) if lock.stale]
    if not stale:
        return
    with ws.locks.holding(Locks.RECORDS, 90.0, what="the log of runs"):
        for lock in stale:
            done = "removed" if repair and clear(lock) else None
            yield Fault("git", "lock", lock.path, f"a git that was ended left this lock {lock.age:,.0f} s ago", done)


def packed_ref_faults(ws: Workspace, repair: bool) -> Iterator[Fault]:
    """A file ``packed-refs`` that Git can't read; with `repair` written again with what is whole of it."""
    if ref_recovery.packed_refs_damaged(ws.location):
        done = "its whole lines were kept" if repair and ref_recovery.repair_packed_refs(ws.location) else None
        where = os.path.join(ws.location.common_dir, "packed-refs")
        yield Fault("refs", "packed-refs", where, "it has lines that are no refs", done)


def source_faults(ws: Workspace, repair: bool) -> Iterator[Fault]:
    """Each object of Git that is damaged, and each that HEAD, the index or a record needs and that is missing.

    With `repair` damaged ones are moved aside, and written again where the work tree, the index or the store has their content,
    or fetched from a Git remote.
    """
    location = ws.location
    damaged = {fault.oid: fault for fault in object_check.damaged_objects(location)}
    if repair:
        for oid in damaged:
            quarantine_object(location, oid)
    roots = _roots(ws)
    missing = {fault.oid: fault for fault in object_check.missing_objects(location, roots)}
    written: set[str] = set()
    fetched: set[str] = set()
    if repair:
        wanted = damaged.keys() | missing.keys()
        while wanted:  # what is written again shows what else it needs
            new = _written_again(ws, wanted - written)
            fetched |= refetch(location, wanted - written - new)
            new |= fetched - written
            written |= new
            missing = {fault.oid: fault for fault in object_check.missing_objects(location, roots)}
            wanted = missing.keys() - written if new else set()
    for oid, fault in {**missing, **damaged}.items():
        done = None
        if oid in written:
            done = _done(oid, fetched)
        elif repair and oid not in missing:
            done = "moved aside: nothing needs it"
        yield Fault("git", "object", oid, fault.what, done)
    for oid in written - damaged.keys() - missing.keys():
        yield Fault("git", "object", oid, "it was missing", _done(oid, fetched))


def _done(oid: str, fetched: set[str]) -> str:
    return "fetched from a Git remote" if oid in fetched else "written again"


def pack_faults(ws: Workspace, *, deep: bool, repair: bool) -> Iterator[Fault]:
    """Each pack of Git that can't be read, by its name; with `repair` repaired as far as its bytes allow."""
    for fault in packs.damaged_packs(ws.location, deep=deep):
        done = packs.repair_pack(ws.location, fault) if repair else None
        yield Fault("git", "pack", os.path.basename(fault.path), fault.what, done)


def _roots(ws: Workspace) -> list[str]:
    """The tips of gitml's refs, missing ones too: through them every recorded run names the commit it ran."""
    listed = git(ws.location, "for-each-ref", "--format=%(objectname)", layout.REFS, check=False)
    return [oid for oid in listed.decode("ascii", "replace").splitlines() if ws.objects.is_oid(oid)]


def _written_again(ws: Workspace, wanted: set[str]) -> set[str]:
    found = object_check.rewrite_objects(ws.location, wanted)
    for oid in wanted - found:
        try:
            digest = ws.index.inline_digest(oid)
        except GitmlError:
            break  # it can't be brought level with records that are damaged themselves
        if digest is None or ws.store.check(digest) is not None:
            continue
        try:
            git(ws.location, "hash-object", "-w", "--no-filters", "--stdin", input=ws.store.read(digest))
        except GitmlError:
            continue
        if object_check.is_here(ws.location, oid):
            found.add(oid)
    return found


class Fault(NamedTuple):
    """One thing that is wrong. `place` is git, store, records, index or a remote; `mended`: what was done, None: nothing."""

    place: str
    kind: str
    name: str
    what: str
    mended: str | None = None
