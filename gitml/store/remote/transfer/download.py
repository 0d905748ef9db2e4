"""Downloading exactly what is requested: verified as it arrives, whole or not at all, resumed where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from gitml.core.config.remotes import Manifest, NewerManifestError, StoredObject, decode_manifest, total
from gitml.core.model.digest import Digest
from gitml.core.model.events import Transferring
from gitml.core.model.pack import LARGEST, length_of_index
from gitml.core.model.tree import TreeEntry, decode_tree
from gitml.errors import IntegrityError, RemoteError, TrustError
from gitml.store.local.store import LocalStore
from gitml.store.remote.cache import PackIndexes, RemoteSource
from gitml.store.remote.transfer.object_download import download_object, download_pack, unpack
from gitml.store.remote.transfer.progress import TransferMeter, TransferRoot
from gitml.store.remote.transfer.thread_pool import MemoryLimit, ThreadPool

_IN_MEMORY = 64 << 20  # bytes of packs at once; of a larger one as much as it takes, and no other beside it
_GRACE = 2.0  # seconds that threads have to clear up when the transfer ends early


class DownloadProblem(NamedTuple):
    """Why something was not downloaded from a remote: `digest` was missing or wrong there, None when the remote failed."""

    remote: str
    digest: Digest | None
    what: str


class DownloadResult(NamedTuple):
    """The result of a download: roots that are here now, and those that no remote has."""

    here: tuple[TransferRoot, ...]
    lost: tuple[TransferRoot, ...]
    problems: tuple[DownloadProblem, ...]
    bytes: int


def download_roots(
    store: LocalStore,
    sources: Sequence[RemoteSource],
    indexes: PackIndexes,
    roots: Iterable[TransferRoot],
    emit: Callable[[Transferring], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> DownloadResult:
    """Downloads what is not here. What one remote lacks or has wrong is requested from the next; the result names the rest.

    MachineError when this machine can't take it, TransferStoppedError when stopped; what has arrived stays.
    """
    wanted = list({root.digest: root for root in roots}.values())
    left = [root for root in wanted if not _is_here(store, root)]
    problems: list[DownloadProblem] = []
    moved = 0
    for source in sources:
        if not left:
            break
        meter = TransferMeter("download", source.remote.name, emit, stopped)
        one = _Fetching(store, indexes, source, meter)
        try:
            one.run(left)
        except (RemoteError, TrustError) as error:
            problems.append(DownloadProblem(source.remote.name, None, error.message))
        problems += one.problems
        moved += meter.done
        left = [root for root in left if root.digest not in one.here]
    lost = {root.digest for root in left}
    here = tuple(root for root in wanted if root.digest not in lost)
    return DownloadResult(here, tuple(left), tuple(problems), moved)


def _is_here(store: LocalStore, root: TransferRoot) -> bool:
    return all(store.has(digest, size, tree=tree) for digest, size, tree in root.contents())


def download_listings(
    store: LocalStore, source: RemoteSource, indexes: PackIndexes, root: TransferRoot
) -> dict[Digest, bytes]:
    """The listings of a Tree and of those below it; nothing where the remote lacks one, or fails."""
    fetch = _Fetching(store, indexes, source, TransferMeter("download", source.remote.name, lambda _: None))
    pool = ThreadPool(source.remote.parallel)
    try:
        trees = fetch.trees(pool, [root])
    except (RemoteError, TrustError):
        return {}
    finally:
        pool.shut_down(_GRACE)
    return {digest: bytes(listing) for tree in trees for digest, listing in tree.listings.items()}


class _Tree(NamedTuple):
    root: TransferRoot
    manifest: Manifest
    listings: dict[Digest, memoryview]  # in the order of their packs: a directory after those below it
    packs: tuple[StoredObject, ...]
    objects: tuple[StoredObject, ...]


class _Fetching:
    """A download from one remote under way."""

    def __init__(self, store: LocalStore, indexes: PackIndexes, source: RemoteSource, meter: TransferMeter) -> None:
        self.store = store
        self.indexes = indexes
        self.remote, self.known = source
        self.meter = meter
        self.here: set[Digest] = set()
        self.problems: list[DownloadProblem] = []
        self.failed: set[Digest] = set()
        self.room = MemoryLimit(_IN_MEMORY)

    def run(self, roots: Sequence[TransferRoot]) -> None:
        """Downloads what it can; RemoteError when the remote fails as a whole."""
        blobs = {root.digest: StoredObject(root.digest, root.size) for root in roots if not root.tree}
        pool = ThreadPool(self.remote.parallel)
        try:
            trees = self.trees(pool, [root for root in roots if root.tree])
            objects = blobs | {item.digest: item for tree in trees for item in tree.objects}
            packs = {item.digest: item for tree in trees for item in tree.packs}
            self.meter.total = self.meter.done + total(objects.values()) + total(packs.values())
            self.meter.of = self.meter.items + len(objects) + len(packs)
            self.remote.expect([*objects.values(), *packs.values()])
            jobs: list[tuple[StoredObject, Callable[[], Any]]] = [
                (item, partial(download_object, self.store, self.remote, item, self.meter))
                for item in sorted(objects.values(), key=lambda item: -item.size)
            ]
            self._all(pool, jobs + [(item, partial(self._pack, item)) for item in packs.values()])
        finally:
            self.meter.end()
            pool.shut_down(_GRACE)
        for digest in blobs:
            if digest not in self.failed:
                self._arrived(digest)
        for tree in trees:
            self._finish(tree)
        self.meter.report(now=True)

    def trees(self, pool: ThreadPool, roots: Sequence[TransferRoot]) -> list[_Tree]:
        """Reads manifests and listings, and finds what of each Tree is not here."""
        manifests: dict[Digest, Manifest] = {}

        def read(root: TransferRoot) -> Manifest | None:
            with self.room.taken(_IN_MEMORY // 3):  # how large it is shows when it is here
                content = self.remote.manifest(root.digest)
                try:
                    return None if content is None else decode_manifest(content, root.digest)
                except NewerManifestError as error:
                    raise RemoteError(str(error), where=self.remote.place, hint="use the newer gitml") from error

        for root, manifest, error in self._answers(pool, [(root, partial(read, root)) for root in roots]):
            if isinstance(error, ValueError):
                self._wrong(root.digest, root.digest, str(error))
            elif error is not None:
                raise error
            elif manifest is None:
                self._wrong(root.digest, root.digest, "it is not there")
            else:
                manifests[root.digest] = manifest
        packs = {item.digest: item for manifest in manifests.values() for item in manifest.listings}
        self.remote.expect(list(packs.values()))
        self.meter.total += total(packs.values())
        self.meter.of += len(packs)
        read_packs: dict[Digest, dict[Digest, memoryview]] = {}
        for item, value, error in self._answers(
            pool, [(item, partial(self._listings, item)) for item in packs.values()]
        ):
            self.meter.items += 1
            if error is None:
                read_packs[item.digest] = value
            else:
                self._failed(item.digest, error)
        trees = []
        for root in roots:
            manifest = manifests.get(root.digest)
            if manifest is None:
                continue
            if any(item.digest in self.failed for item in manifest.listings):
                self.known.remember([root.digest], good=False)
                continue
            tree = self._needs(root, manifest, read_packs)
            if tree is not None:
                trees.append(tree)
        return trees

    def _listings(self, item: StoredObject) -> dict[Digest, memoryview]:
        with self.room.taken(item.size):
            data = download_pack(self.remote, item, self.meter)
        return dict(unpack(self.remote, item, data, self.store))

    def _needs(
        self, root: TransferRoot, manifest: Manifest, packs: dict[Digest, dict[Digest, memoryview]]
    ) -> _Tree | None:
        """What a Tree, or the part of it, lacks here; None, and the manifest noted as wrong, when listings are missing."""
        listings = {digest: data for item in manifest.listings for digest, data in packs[item.digest].items()}
        listings |= {digest: memoryview(data) for digest, data in (root.part.listings if root.part else ())}
        waiting = [digest for digest, _, tree in root.contents() if tree]
        files = [TreeEntry(b"", "f", digest, size) for digest, size, tree in root.contents() if not tree]
        lacking = {file.digest: file for file in files if not self.store.is_intact(file.digest, file.size)}
        seen: set[Digest] = set()
        while waiting:
            digest = waiting.pop()
            if digest in seen:
                continue
            seen.add(digest)
            try:
                entries = decode_tree(bytes(listings[digest]))
            except (KeyError, ValueError):
                self._wrong(root.digest, root.digest, "its manifest does not have all its listings")
                return None
            for entry in entries:
                if entry.kind == "d":
                    waiting.append(entry.digest)
                elif entry.digest not in lacking and not self.store.is_intact(entry.digest, entry.size):
                    lacking[entry.digest] = entry
        objects = tuple(item for item in manifest.objects if item.digest in lacking)
        small = {digest for digest, entry in lacking.items() if entry.size < LARGEST}
        needed = []
        for pack in manifest.packs if small else ():
            items = self.indexes.items(pack.digest)
            if items is None or any(item.digest in small for item in items):
                needed.append(pack)
        mine = {digest: data for digest, data in listings.items() if digest in seen}
        return _Tree(root, manifest, mine, tuple(needed), objects)

    def _pack(self, item: StoredObject) -> bytes:
        """Fetches a pack and keeps what of it is not here; gives its index."""
        with self.room.taken(item.size):
            return self._unpacked(item, download_pack(self.remote, item, self.meter))

    def _unpacked(self, item: StoredObject, data: bytearray) -> bytes:
        pending = []
        try:
            for digest, content in unpack(self.remote, item, data, self.store):
                if not self.store.is_intact(digest, len(content)):
                    pending.append(self.store.write_temporary(digest, content))
        except BaseException:
            self.store.drop_temporaries(pending)
            raise
        if pending:
            self.store.publish(pending)
        return bytes(data[: length_of_index(data)])

    def _all(self, pool: ThreadPool, jobs: Sequence[tuple[StoredObject, Callable[[], Any]]]) -> None:
        for item, value, error in self._answers(pool, jobs):
            self.meter.items += 1
            self.meter.report()
            if error is not None:
                self._failed(item.digest, error)
                continue
            self.known.remember([item.digest])
            if isinstance(value, bytes):
                self.indexes.keep(item.digest, value)

    def _answers(
        self, pool: ThreadPool, jobs: Sequence[tuple[Any, Callable[[], Any]]]
    ) -> Iterable[tuple[Any, Any, BaseException | None]]:
        """(what, its value, or the error) of each job as it ends."""

        def perform(work: Callable[[], Any]) -> Any:
            self.meter.check_stopped()
            return work()

        return pool.completed([(what, partial(perform, work)) for what, work in jobs], self.meter.poll)

    def _failed(self, digest: Digest, error: BaseException) -> None:
        """Handles the failure of one object: what concerns it alone is noted, what concerns remote or machine is raised."""
        if not isinstance(error, IntegrityError):
            raise error
        self._wrong(digest, digest, error.message)

    def _wrong(self, root: Digest, digest: Digest, what: str) -> None:
        self.failed.add(root)
        self.known.remember([root], good=False)
        self.problems.append(DownloadProblem(self.remote.name, digest, what))

    def _finish(self, tree: _Tree) -> None:
        """Makes a Tree visible if all of it is here: its listings last, the root's the very last."""
        root = tree.root
        if any(item.digest in self.failed for item in (*tree.packs, *tree.objects)):
            self.known.remember([root.digest], good=False)
            return
        for data in tree.listings.values():
            for entry in decode_tree(bytes(data)):
                if entry.kind != "d" and not self.store.is_intact(entry.digest, entry.size):
                    self._wrong(root.digest, entry.digest, "its manifest does not have all its files")
                    return
        last = {digest: tree.listings[digest] for digest, _, is_tree in root.contents() if is_tree}
        for contents in ({d: c for d, c in tree.listings.items() if d not in last}, last):
            new: list[tuple[Digest, bytes | memoryview]] = [
                (digest, data) for digest, data in contents.items() if not self.store.is_intact(digest, len(data))
            ]
            if new:
                self.store.publish_contents(new)
        if _is_here(self.store, root):
            self._arrived(root.digest)
        else:
            self._wrong(root.digest, root.digest, "its listings say another size")

    def _arrived(self, digest: Digest) -> None:
        self.here.add(digest)
        self.known.remember([digest])
