"""Garbage collection: what the keep policy does not keep is deleted from the Store; and what uses disk space."""

from __future__ import annotations

import os
from collections.abc import Sequence, Set
from typing import NamedTuple

from gitml import layout
from gitml.core.model.digest import Digest
from gitml.engine.journal import partial_outputs
from gitml.engine.journal.recovery import recover
from gitml.errors import BusyError
from gitml.execute.environments.single_build import RemovedEnvironments, remove_unused
from gitml.execute.sandbox.caches import KeptCache, kept_caches
from gitml.execute.sandbox.caches import remove_unused as remove_unused_caches
from gitml.execute.sandbox.location import remove_abandoned as remove_abandoned_sandboxes
from gitml.files import bytes_below
from gitml.git.command import git
from gitml.git.integrity.packs import remove_stale_files
from gitml.records.references import RunHead, Wants, referenced_contents
from gitml.store.index.results import every_output
from gitml.store.index.runs import nth_newest_by_pipeline
from gitml.store.local.gc import SweepResult, sweep
from gitml.store.local.locks import Locks
from gitml.workspace import Workspace

_YOUNG = 3600.0  # seconds in which a build that goes on may need what it just fetched
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
    failed: float = partial_outputs.STAYS

    @property
    def keeps_everything(self) -> bool:
        """Whether all that a recorded run names is kept."""
        return self.last is None and self.since is None


def collect(ws: Workspace, policy: KeepPolicy, dry_run: bool) -> SweepResult:
    """Deletes from the Store what the policy does not keep, and what a killed git left; BusyError while a run goes on."""
    recover(ws)
    if not dry_run:
        remove_abandoned_sandboxes(ws.environ)
    if not ws.locks.try_lock(Locks.GC):
        raise BusyError("a run is going on, and what it uses must stay", hint="wait for it: gitml status")
    try:
        if not dry_run:
            partial_outputs.drop_expired(ws, policy.failed)
        here = {digest for digest, _ in ws.store.iterate()}
        swept = sweep(ws.store, kept_by(ws, policy, here) | partial_outputs.kept(ws, policy.failed), dry_run)
        left = remove_stale_files(ws.location, dry_run=dry_run)
        return swept._replace(
            temporaries=swept.temporaries + left.files, temporary_bytes=swept.temporary_bytes + left.bytes
        )
    finally:
        ws.locks.unlock(Locks.GC)


def remove_environments(ws: Workspace, older: float, *, dry_run: bool = False) -> RemovedEnvironments:
    """Removes the environments and images of this user's that no step used for `older` seconds, and what killed builds left.

    They are those of all repositories; one that is needed again is built again, where that can still be done.
    """
    from gitml.execute.environments.conda.package_cache import remove_package, unused_packages
    from gitml.execute.environments.images.image_store import ImageStore

    folder = ws.environments_folder()
    now = ws.now()
    built = remove_unused(os.path.join(folder, layout.ENVIRONMENTS), older, now, dry_run=dry_run)
    for package in unused_packages(folder, max(older, _YOUNG)):
        built = built.plus(0, package.size)
        if not dry_run:
            remove_package(package)
    images = ImageStore(os.path.join(folder, layout.IMAGES), ws.environ).remove_unused(older, now, dry_run=dry_run)
    return built.plus(*images)


def caches_of(ws: Workspace) -> list[KeptCache]:
    """The caches that steps of this repository have on this machine."""
    if not os.path.lexists(os.path.join(ws.root, layout.SALT)):  # it was never asked what they are called
        return []
    return kept_caches(_caches_folder(ws), ws.caches_name)


def remove_caches(ws: Workspace, older: float, *, dry_run: bool = False) -> list[KeptCache]:
    """Removes the caches of this user's steps, of all repositories, that none used for `older` seconds; which these are."""
    return remove_unused_caches(_caches_folder(ws), older, ws.now(), dry_run=dry_run)


def _caches_folder(ws: Workspace) -> str:
    return os.path.join(ws.environments_folder(), layout.CACHES)


def kept_by(ws: Workspace, policy: KeepPolicy, among: Set[Digest] | None = None) -> set[Digest]:
    """Digests of all that the policy keeps; of those `among` which it is asked, or of all."""
    keep: set[Digest] = set()
    for one in referenced_contents(ws.records, ws.objects, _wants(ws, policy), once=True):
        if among is None or one.digest in among:
            keep.add(one.digest)
    if policy.keeps_everything:
        made = (output.digest for output in every_output(ws.index))
        keep.update(digest for digest in made if among is None or digest in among)
    return keep


def _wants(ws: Workspace, policy: KeepPolicy) -> Wants:
    """Which outputs of a run the policy keeps."""
    if policy.keeps_everything:
        return lambda run: None
    commits = named_commits(ws)
    newest = nth_newest_by_pipeline(ws.index, policy.last) if policy.last else {}

    def wants(run: RunHead) -> Sequence[str] | None:
        recent = run.pipeline in newest and (run.started, run.id) >= newest[run.pipeline]
        since = policy.since is not None and run.started >= policy.since
        if recent or since or PIN in run.tags or run.commit in commits or (run.base or "") in commits:
            return None
        return policy.outputs

    return wants


def named_commits(ws: Workspace) -> set[str]:
    """Commits that a branch, a tag or HEAD of the repository names."""
    listed = git(
        ws.location, "for-each-ref", "--format=%(objectname) %(*objectname)", "refs/heads", "refs/tags", "refs/remotes"
    )
    head = git(ws.location, "rev-parse", "--verify", "--quiet", "HEAD", check=False)
    return {oid for oid in (listed + b" " + head).decode("ascii", "replace").split() if oid}


class DiskUsage(NamedTuple):
    """What uses disk space: how many items and bytes."""

    what: str
    items: int
    bytes: int


def usage(ws: Workspace) -> list[DiskUsage]:
    """What gitml keeps on this machine for this repository."""
    used = ws.store.usage()
    cache = ws.environments_folder()
    kept = caches_of(ws)
    return [
        DiskUsage("objects", used.objects, used.bytes),
        DiskUsage("quarantine", used.quarantined, used.quarantined_bytes),
        DiskUsage("temporaries", used.temporaries, used.temporary_bytes),
        DiskUsage("runs in progress", *_measure(ws.live)),
        DiskUsage(
            "index", 1, sum(_size(os.path.join(ws.root, name)) for name in (layout.INDEX, f"{layout.INDEX}-wal"))
        ),
        DiskUsage("caches of steps", len(kept), sum(one.bytes for one in kept)),
        DiskUsage("environments (shared)", *_measure(os.path.join(cache, layout.ENVIRONMENTS))),
        DiskUsage("images (shared)", *_measure(os.path.join(cache, layout.IMAGES, "roots"))),
        DiskUsage("layers of images (shared)", *_files(os.path.join(cache, layout.IMAGES, "blobs", "sha256"))),
        DiskUsage("packages of conda (shared)", *_measure(os.path.join(cache, layout.CONDA_PACKAGES))),
    ]


def _measure(folder: str, counted: str = "") -> tuple[int, int]:
    """(folders directly in a folder, or in the one `counted` in it; bytes of all files below it, hard links counted once)."""
    total = bytes_below(folder)
    try:
        with os.scandir(os.path.join(folder, counted)) as found_here:
            return sum(1 for entry in found_here if entry.is_dir(follow_symlinks=False)), total
    except OSError:
        return 0, 0


def _files(folder: str) -> tuple[int, int]:
    """(files directly in a folder, their bytes)."""
    try:
        with os.scandir(folder) as entries:
            sizes = [entry.stat(follow_symlinks=False).st_size for entry in entries]
    except OSError:
        return 0, 0
    return len(sizes), sum(sizes)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
