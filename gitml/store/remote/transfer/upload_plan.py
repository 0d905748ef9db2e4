"""What an upload has to move: which objects, how the small files of directories fall into packs, and which packs serve again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

from gitml.core.config.remotes import StoredObject, total
from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.pack import LARGEST, encode_index, grouped
from gitml.core.model.protocols import RemoteStore
from gitml.core.model.tree import decode_tree
from gitml.errors import IntegrityError
from gitml.store.local.store import LocalStore
from gitml.store.remote.cache import PackIndexes, RemoteCache
from gitml.store.remote.transfer.progress import TransferRoot


class PackBatch(NamedTuple):
    """Small contents that become one pack; its name is known once it is made."""

    items: tuple[StoredObject, ...]


class TreeUpload(NamedTuple):
    """A Tree to be uploaded: its listings and new small files in batches, packs that are there already, its large files."""

    root: TransferRoot
    listings: tuple[PackBatch, ...]
    batches: tuple[PackBatch, ...]
    packs: tuple[StoredObject, ...]
    objects: tuple[StoredObject, ...]


class UploadPlan(NamedTuple):
    """All that one remote lacks of what it is to have. `missing` are roots whose bytes are not on this machine."""

    there: tuple[TransferRoot, ...]
    missing: tuple[TransferRoot, ...]
    blobs: tuple[TransferRoot, ...]
    trees: tuple[TreeUpload, ...]
    objects: tuple[StoredObject, ...]

    @property
    def batches(self) -> tuple[PackBatch, ...]:
        """Every batch once."""
        return tuple(dict.fromkeys(batch for tree in self.trees for batch in (*tree.batches, *tree.listings)))

    @property
    def bytes(self) -> int:
        """What would be moved."""
        packs = sum(len(encode_index(batch.items)) + total(batch.items) for batch in self.batches)
        return packs + total(self.objects)

    @property
    def transfers(self) -> int:
        """Objects that would be moved, packs as one each."""
        return len(self.batches) + len(self.objects)


def plan_upload(
    store: LocalStore,
    remote: RemoteStore,
    known: RemoteCache,
    indexes: PackIndexes,
    roots: Iterable[TransferRoot],
    doomed: frozenset[Digest],
) -> UploadPlan:
    """The plan of an upload: the remote is asked, in few requests, for what is not known to be there."""
    wanted = list({root.digest: root for root in roots}.values())
    unknown = [root for root in wanted if known.lookup(root.digest) is not True or root.digest in doomed]
    there = {root.digest for root in wanted} - {root.digest for root in unknown}
    trees = [root for root in unknown if root.tree]
    distrusted = {root.digest for root in unknown if known.lookup(root.digest) is False} | doomed
    found = remote.with_manifest([root.digest for root in trees]) - distrusted if trees else set()
    blobs = [StoredObject(root.digest, root.size) for root in unknown if not root.tree]
    if blobs:
        found |= {blob.digest for blob in blobs} - remote.lacking(blobs) - distrusted
    known.remember(found)
    there |= found
    lacked = [root for root in unknown if root.digest not in found]
    here = [root for root in lacked if store.has(root.digest, root.size, tree=root.tree)]
    trees_here = [root for root in here if root.tree]
    # A manifest may only name what is there: facts say which packs could serve, the remote whether they still do.
    gone = set(doomed)
    while True:
        sorter = _Sorter(store, known, indexes, gone)
        works = [work for root in trees_here if (work := sorter.work(root)) is not None]
        packs = list(dict.fromkeys(pack for work in works for pack in work.packs))
        absent = {pack.digest for pack in packs} - (remote.present(packs) if packs else set())
        if not absent:
            break
        gone |= absent
    single = [root for root in here if not root.tree]
    ready = {root.digest for root in single} | {work.root.digest for work in works}
    objects = {root.digest: StoredObject(root.digest, root.size) for root in single}
    large = {item.digest: item for work in works for item in work.objects if item.digest not in objects}
    if large:
        lacking = remote.lacking(list(large.values()))
        for digest, item in large.items():
            if digest in lacking or digest in doomed or known.lookup(digest) is False:
                objects[digest] = item
    return UploadPlan(
        tuple(root for root in wanted if root.digest in there),
        tuple(root for root in lacked if root.digest not in ready),
        tuple(single),
        tuple(works),
        tuple(objects.values()),
    )


class _Sorter:
    """Sorts the contents of Trees into packs; what went into a batch for one Tree serves the next."""

    def __init__(self, store: LocalStore, known: RemoteCache, indexes: PackIndexes, unusable: Set[Digest]) -> None:
        self.store = store
        self.indexes = indexes
        self.batches: list[PackBatch] = []
        self.known = known
        self.unusable = unusable

    def work(self, root: TransferRoot) -> TreeUpload | None:
        """What is to be done for a Tree; None when a listing can't be read after all."""
        try:
            listings, small, large = self._contents(root.digest)
        except IntegrityError:
            return None
        left = dict(small)
        batches = []
        for batch in self.batches:
            if serves(batch.items, left):
                batches.append(batch)
        packs = []
        for pack in self.indexes.packs() if left else ():
            usable = pack not in self.unusable and self.known.lookup(pack) is True
            items = self.indexes.items(pack) if usable else None
            if items and serves(items, left):
                packs.append(StoredObject(pack, len(encode_index(items)) + total(items)))
        fresh = [PackBatch(tuple(items)) for items in grouped(list(left.values()))]
        self.batches += fresh
        return TreeUpload(
            root,
            tuple(PackBatch(tuple(items)) for items in grouped(listings)),
            (*batches, *fresh),
            tuple(packs),
            tuple(large),
        )

    def _contents(self, tree: Digest) -> tuple[list[StoredObject], dict[Digest, StoredObject], list[StoredObject]]:
        """Listings (a directory after those below it), small files by Digest, and large files."""
        listings: dict[Digest, StoredObject] = {}
        small: dict[Digest, StoredObject] = {}
        large: dict[Digest, StoredObject] = {}
        sizes: dict[Digest, int] = {}
        waiting = [(tree, False)]
        while waiting:
            digest, below_done = waiting.pop()
            if below_done:
                listings[digest] = StoredObject(digest, sizes[digest])
                continue
            if digest in sizes:
                continue
            content = self.store.read(digest)
            sizes[digest] = len(content)
            waiting.append((digest, True))
            for entry in decode_tree(content):
                if entry.kind == "d":
                    waiting.append((entry.digest, False))
                elif entry.size < LARGEST:
                    small[entry.digest] = StoredObject(entry.digest, entry.size)
                else:
                    large[entry.digest] = StoredObject(entry.digest, entry.size)
        return list(listings.values()), small, list(large.values())


def serves(items: Sequence[StoredObject], left: dict[Digest, StoredObject]) -> bool:
    """Whether a pack is worth naming: half of it or more is needed. Then what it contains is taken out of `left`."""
    used = sum(item.size + 1 for item in items if item.digest in left)
    if not used or 2 * used < sum(item.size + 1 for item in items):
        return False
    for item in items:
        left.pop(item.digest, None)
    return True


def pack_of(store: LocalStore, batch: PackBatch) -> tuple[StoredObject, bytes, bytes]:
    """The pack of a batch: its name, its index and its bytes. IntegrityError naming the first content that is bad here."""
    index = encode_index(batch.items)
    parts = [index]
    for item in batch.items:
        content = read_verified(store, item)
        parts.append(content)
    data = b"".join(parts)
    return StoredObject(digest_of(data), len(data)), index, data


class DamagedHereError(IntegrityError):
    """The bytes of `digest` on this machine are not what its name says, or are gone."""

    def __init__(self, digest: Digest, why: str) -> None:
        super().__init__(f"{digest[:19]}… is bad on this machine: {why}", hint="gitml fsck --repair")
        self.digest = digest
        self.why = why


def read_verified(store: LocalStore, item: StoredObject) -> bytes:
    """An object's bytes; DamagedHereError, with nothing moved aside yet, when they are not what its name says."""
    try:
        with open(store.path_of(item.digest), "rb", buffering=0) as file:
            content = file.read()
    except FileNotFoundError:
        raise DamagedHereError(item.digest, "missing") from None
    if digest_of(content) != item.digest:
        raise DamagedHereError(item.digest, f"its content is {digest_of(content)}")
    return content
