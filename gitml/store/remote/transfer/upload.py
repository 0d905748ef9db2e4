"""Uploading: what a remote lacks, several transfers at once, each verified here before it can be seen there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from gitml.core.config.remotes import Manifest, StoredObject, encode_manifest
from gitml.core.model.digest import Digest
from gitml.core.model.events import Transferring
from gitml.core.model.protocols import RemoteStore
from gitml.errors import IntegrityError
from gitml.store.local.store import LocalStore
from gitml.store.remote.cache import PackIndexes, RemoteCache, gc_note, name_store
from gitml.store.remote.transfer.progress import TransferMeter, TransferRoot, UploadResult, with_retries
from gitml.store.remote.transfer.thread_pool import ThreadPool
from gitml.store.remote.transfer.upload_plan import (
    DamagedHereError,
    PackBatch,
    TreeUpload,
    UploadPlan,
    pack_of,
    plan_upload,
)

_GRACE = 2.0  # seconds that threads have to clear up when the transfer ends early
_PUBLISH = 2.0  # seconds between two writings of manifests, since each may be a commit


class Uploader:
    """Uploads from the Store of this machine to one remote."""

    def __init__(self, store: LocalStore, remote: RemoteStore, known: RemoteCache, indexes: PackIndexes) -> None:
        self.store = store
        self.remote = remote
        self.known = known
        self.indexes = indexes

    def upload(
        self,
        roots: Iterable[TransferRoot],
        emit: Callable[[Transferring], None] = lambda _: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> UploadResult:
        """Uploads what the remote lacks. What was done when it fails or is stopped stays, and the next time is not done again.

        RemoteError and TrustError of the remote, TransferStoppedError when stopped; damage here refuses its root alone.
        """
        work = self.plan(roots, named=True)
        if not work.transfers:
            return UploadResult(self.remote.name, (), len(work.there), work.missing, (), 0, 0)
        meter = TransferMeter("upload", self.remote.name, emit, stopped)
        meter.total, meter.of = work.bytes, work.transfers
        return _Sending(self, work, meter).run()

    def plan(self, roots: Iterable[TransferRoot], *, named: bool = False) -> UploadPlan:
        """What `upload` would transfer. Nothing is changed, but that with `named` a store without a name is given one."""
        wanted = list(roots)
        doomed: frozenset[Digest] = frozenset()
        if any(self.known.lookup(root.digest) is not True for root in wanted):
            note = gc_note(self.remote, self.known)
            doomed = frozenset(note.doomed)
            if named:
                name_store(self.remote, self.known, note)
        return plan_upload(self.store, self.remote, self.known, self.indexes, wanted, doomed)


class _Sending:
    """One upload under way."""

    def __init__(self, sender: Uploader, work: UploadPlan, meter: TransferMeter) -> None:
        self.sender = sender
        self.work = work
        self.meter = meter
        self.bad: dict[Digest, str] = {}
        self.packs: dict[PackBatch, StoredObject] = {}
        self.moved: set[Digest] = set()
        self.finished: list[TransferRoot] = []
        self.needed: dict[PackBatch | StoredObject, list[TreeUpload]] = {}
        self.open: dict[Digest, int] = {}
        self.ready: dict[Digest, bytes] = {}
        self.published = time.monotonic()
        moving = set(work.objects)
        for tree in work.trees:
            parts: set[PackBatch | StoredObject] = {*tree.batches, *tree.listings, *(moving & set(tree.objects))}
            self.open[tree.root.digest] = len(parts)
            for part in parts:
                self.needed.setdefault(part, []).append(tree)

    def run(self) -> UploadResult:
        work, sender = self.work, self.sender
        # The large ones first: at the end several threads then share what is left.
        jobs: Sequence[PackBatch | StoredObject] = [*sorted(work.objects, key=lambda item: -item.size), *work.batches]
        pool = ThreadPool(sender.remote.parallel)
        try:
            for what, value, error in pool.completed(
                [(item, partial(self.do, item)) for item in jobs], self.meter.poll
            ):
                self.take(what, value, error)
                self.meter.items += 1
                self.meter.report()
                self.publish()
        finally:
            self.meter.end()
            pool.shut_down(_GRACE)
        self.publish(now=True)
        self.meter.report(now=True)
        refused = [(tree.root.name, why) for tree in work.trees if (why := self.why_not(tree))]
        refused += [(root.name, self.bad[root.digest]) for root in work.blobs if root.digest in self.bad]
        sent = (*self.finished, *(root for root in work.blobs if root.digest in self.moved))
        return UploadResult(
            sender.remote.name, sent, len(work.there), work.missing, tuple(refused), len(self.moved), self.meter.done
        )

    def do(self, what: PackBatch | StoredObject) -> tuple[StoredObject, bytes] | None:
        """Moves one thing; called in a thread."""
        self.meter.check_stopped()
        remote, store = self.sender.remote, self.sender.store
        if isinstance(what, PackBatch):
            pack, index, data = pack_of(store, what)
            with_retries(lambda moved: remote.put(pack, data, moved), self.meter)
            return pack, index
        with_retries(lambda moved: remote.put(what, store.path_of(what.digest), moved), self.meter)
        return None

    def take(
        self, what: PackBatch | StoredObject, value: tuple[StoredObject, bytes] | None, error: BaseException | None
    ) -> None:
        """What came of one thing, in the thread that may write to the index."""
        if isinstance(error, DamagedHereError):
            self.set_aside(error.digest, error.why)
        elif isinstance(error, IntegrityError) and isinstance(what, StoredObject):
            self.set_aside(what.digest, error.message)
        elif error is not None:
            raise error
        elif isinstance(what, PackBatch):
            assert value is not None
            pack, index = value
            self.packs[what] = pack
            self.moved.add(pack.digest)
            self.sender.indexes.keep(pack.digest, index)
            self.sender.known.remember([pack.digest])
            self.arrived(what)
        else:
            self.moved.add(what.digest)
            self.sender.known.remember([what.digest])
            self.arrived(what)

    def set_aside(self, digest: Digest, why: str) -> None:
        """Bad here: never to be uploaded, and out of the way of every reader here."""
        self.bad[digest] = why
        self.sender.store.quarantine(digest, why)

    def why_not(self, tree: TreeUpload) -> str | None:
        """Why a Tree can't be finished, None when it can or is."""
        for batch in (*tree.batches, *tree.listings):
            for item in batch.items if batch not in self.packs else ():
                if item.digest in self.bad:
                    return self.bad[item.digest]
        return next((self.bad[item.digest] for item in tree.objects if item.digest in self.bad), None)

    def arrived(self, part: PackBatch | StoredObject) -> None:
        """Makes the manifests of Trees that this was the last part of."""
        for tree in self.needed.get(part, ()):
            self.open[tree.root.digest] -= 1
            if self.open[tree.root.digest]:
                continue
            manifest = Manifest(
                tree.root.digest,
                tree.root.size,
                tuple(self.packs[batch] for batch in tree.listings),
                (*tree.packs, *(self.packs[batch] for batch in tree.batches)),
                tree.objects,
            )
            self.ready[tree.root.digest] = encode_manifest(manifest)
            self.finished.append(tree.root)

    def publish(self, *, now: bool = False) -> None:
        """Writes the manifests that are ready, some at a time."""
        if self.ready and (now or time.monotonic() - self.published > _PUBLISH):
            self.sender.remote.put_manifests(self.ready)
            self.sender.known.remember(self.ready)
            self.ready = {}
            self.published = time.monotonic()
