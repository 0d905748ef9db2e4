"""Evict: deletes named artifacts from the Store; `plan_eviction` reports before which runs retain them and what would be lost."""

from __future__ import annotations

from collections.abc import Collection, Set
from typing import NamedTuple

from gitml.core.model.digest import Digest
from gitml.engine.journal.recovery import recover
from gitml.errors import BusyError, InputError
from gitml.maintenance.gc import PIN, named_commits
from gitml.records.references import RunHead, referenced_contents
from gitml.store.index.results import every_output, output_trees
from gitml.store.local.gc import delete, reachable
from gitml.store.local.locks import Locks
from gitml.transfer.availability import Availability
from gitml.workspace import Workspace


class RetainingRun(NamedTuple):
    """A run whose record names an artifact. `why` is the rule by which `gitml gc` never drops its outputs, empty for none."""

    run: str
    name: str
    pipeline: str
    started: float
    why: str


class EvictionPlan(NamedTuple):
    """What evicting some artifacts would do: `objects` and `bytes` are deleted; `shared` bytes stay: other artifacts hold them.

    `retaining_runs` name what is to be evicted, those that a rule of `gitml gc` keeps first; `inline` counts the artifacts whose
    bytes stay in a record all the same.
    """

    digests: tuple[Digest, ...]
    objects: int
    bytes: int
    shared: int
    retaining_runs: tuple[RetainingRun, ...]
    inline: int


class Evicted(NamedTuple):
    """Objects and bytes that were deleted."""

    objects: int
    bytes: int


def plan_eviction(ws: Workspace, digests: Collection[Digest]) -> EvictionPlan:
    """What freeing these artifacts would do; nothing is changed. Reads all records: seconds for 100,000 runs."""
    asked = frozenset(digests)
    look = _look(ws, asked)
    trees, records = set(output_trees(ws.index)), Availability(ws)
    inline = sum(1 for digest in asked if records.in_records(digest, tree=digest in trees))
    gone, stay = (sum(ws.store.size_of(digest) or 0 for digest in some) for some in (look.going, look.shared))
    return EvictionPlan(tuple(asked), len(look.going), gone, stay, look.retaining_runs, inline)


def evict(ws: Workspace, digests: Collection[Digest], *, though_kept: bool = False) -> Evicted:
    """Deletes these artifacts and what only they hold. InputError for one that a run keeps unless `though_kept`.

    BusyError while a run goes on: what it uses must stay.
    """
    recover(ws)
    if not ws.locks.try_lock(Locks.GC):
        raise BusyError("a run is going on, and what it uses must stay", hint="wait for it: gitml status")
    try:
        look = _look(ws, frozenset(digests))
        if look.retaining_runs and not though_kept:
            keeper = look.retaining_runs[0]
            raise InputError(f"run {keeper.run[:8]} keeps {keeper.name}", hint="confirm that it is to go all the same")
        return Evicted(*delete(ws.store, look.going))
    finally:
        ws.locks.unlock(Locks.GC)


class _Look(NamedTuple):
    going: Set[Digest]
    shared: Set[Digest]
    retaining_runs: tuple[RetainingRun, ...]


def _look(ws: Workspace, asked: Set[Digest]) -> _Look:
    """What would be deleted, what stays of it because something else holds it, and which runs name what is asked for."""
    commits = named_commits(ws)
    here = {digest for digest, _ in ws.store.iterate()}
    retaining_runs = []
    others: set[Digest] = set()
    for run, what, digest in referenced_contents(ws.records, ws.objects, lambda run: None):
        if digest in asked:
            retaining_runs.append(RetainingRun(run.id, what, run.pipeline, run.started, _rule(run, commits)))
        elif digest in here:
            others.add(digest)
    made = (output.digest for output in every_output(ws.index))
    others.update(digest for digest in made if digest in here and digest not in asked)
    ours = {digest for digest in reachable(ws.store, asked) if ws.store.size_of(digest) is not None}
    held = reachable(ws.store, others)
    return _Look(ours - held, ours & held, tuple(sorted(retaining_runs, key=lambda one: (not one.why, -one.started))))


def _rule(run: RunHead, commits: Set[str]) -> str:
    if PIN in run.tags:
        return "it is pinned"
    if run.commit in commits or (run.base or "") in commits:
        return "a branch or tag names its commit"
    return ""
