"""Keeping house: what is wrong in what is kept, what may go, and what takes the room."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from gitml.core.digest import Digest
from gitml.core.record import Run
from gitml.errors import BusyError
from gitml.execute.places import sweep as sweep_sandboxes
from gitml.flow import partials
from gitml.flow.recovery import recover
from gitml.ledger.runs import recorded_runs
from gitml.repo.git import git
from gitml.repo.leftovers import remove_leftovers
from gitml.store.gc import Swept, sweep
from gitml.store.locks import Locks
from gitml.workspace import Workspace

PIN = "pinned"  # a run with this tag keeps its outputs


class KeepPolicy(NamedTuple):
    """Which runs keep the bytes of their outputs: the newest `last` of each pipeline, those since a time (seconds since 1970).

    Runs of commits that a branch or tag names, and pinned runs, always do; outputs matching a pattern ``step.port`` do in every
    run. With neither `last` nor `since` all recorded runs do, and only what nothing names goes. What failed steps left stays for
    `failed` seconds, whatever else the policy says.
    """

    last: int | None = None
    since: float | None = None
    outputs: Sequence[str] = ()
    failed: float = partials.STAYS


def collect(ws: Workspace, policy: KeepPolicy, dry_run: bool) -> Swept:
    """Deletes from the Store what the policy does not keep, and what a killed git left; BusyError while a run goes on."""
    recover(ws)
    if not dry_run:
        sweep_sandboxes(ws.environ)
    if not ws.locks.try_lock(Locks.GC):
        raise BusyError("a run is going on, and what it uses must stay", hint="wait for it: gitml status")
    try:
        if not dry_run:
            partials.forget(ws, policy.failed)
        swept = sweep(ws.store, kept_by(ws, policy) | partials.kept(ws, policy.failed), dry_run)
        left = remove_leftovers(ws.location, dry_run=dry_run)
        return swept._replace(
            temporaries=swept.temporaries + left.files, temporary_bytes=swept.temporary_bytes + left.bytes
        )
    finally:
        ws.locks.unlock(Locks.GC)


def kept_by(ws: Workspace, policy: KeepPolicy) -> set[Digest]:
    """Digests of all that the policy keeps."""
    keep: set[Digest] = set()
    everything = policy.last is None and policy.since is None
    chosen = set() if everything else _chosen(ws, policy)
    for run in recorded_runs(ws.records, ws.objects):
        whole = everything or run.id in chosen
        keep.update(_digests(run, None if whole else policy.outputs))
    if everything:
        keep.update(ws.index.output_digests())
    return keep


def _chosen(ws: Workspace, policy: KeepPolicy) -> set[str]:
    named = named_commits(ws)
    per_pipeline: dict[str, int] = {}
    chosen = set()
    for row in ws.index.runs(limit=None):
        number = per_pipeline[row.pipeline] = per_pipeline.get(row.pipeline, 0) + 1
        recent = policy.last is not None and number <= policy.last
        since = policy.since is not None and row.started >= policy.since
        if recent or since or PIN in row.tags or row.commit in named or (row.base or "") in named:
            chosen.add(row.id)
    return chosen


def named_commits(ws: Workspace) -> set[str]:
    """Commits that a branch, a tag or HEAD of the repository names."""
    listed = git(
        ws.location, "for-each-ref", "--format=%(objectname) %(*objectname)", "refs/heads", "refs/tags", "refs/remotes"
    )
    head = git(ws.location, "rev-parse", "--verify", "--quiet", "HEAD", check=False)
    return {oid for oid in (listed + b" " + head).decode("ascii", "replace").split() if oid}


def _digests(run: Run, patterns: Sequence[str] | None) -> Iterator[Digest]:
    for step in run.steps:
        for output in step.outputs:
            if patterns is None or _matches(f"{step.name}.{output.name}", patterns):
                yield output.digest
        if patterns is None:
            for attempt in step.attempts:
                if attempt.log is not None:
                    yield attempt.log.digest


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


class Room(NamedTuple):
    """What takes room: how many and how many bytes."""

    what: str
    items: int
    bytes: int


def usage(ws: Workspace) -> list[Room]:
    """What gitml keeps on this machine for this repository."""
    used = ws.store.usage()
    return [
        Room("objects", used.objects, used.bytes),
        Room("quarantine", used.quarantined, used.quarantined_bytes),
        Room("temporaries", used.temporaries, used.temporary_bytes),
        Room("runs in progress", *_measure(ws.live)),
        Room("index", 1, sum(_size(os.path.join(ws.root, name)) for name in ("index.db", "index.db-wal"))),
        Room("environments (shared)", *_measure(os.path.join(ws.environments_folder(), "envs"))),
    ]


def _measure(folder: str) -> tuple[int, int]:
    """(folders directly in a folder, bytes of all files below it, hard links counted once)."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                found = os.lstat(os.path.join(place, name))
            except OSError:
                continue
            if (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                total += found.st_size
    try:
        with os.scandir(folder) as found_here:
            return sum(1 for entry in found_here if entry.is_dir(follow_symlinks=False)), total
    except OSError:
        return 0, 0


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
