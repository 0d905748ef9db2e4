"""The folder of a worker: a Store and objects of Git by content, for steps that come from elsewhere. It is no repository.

It outlives steps and runs, within a limit: what was used longest ago goes first, and nothing that a step needs that runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple, cast

from gitml import layout
from gitml.cluster.content.content_ids import (
    BLOB,
    GIT_BLOB,
    GIT_COMMIT,
    GIT_KINDS,
    GIT_LISTING,
    GIT_SUBMODULE,
    GIT_TREE,
    TREE,
    commit_names,
    digest_in,
    git_tree_names,
    listing_names,
    parse_name,
    pointer_names,
    stored_name,
    submodule_names,
    tree_names,
)
from gitml.cluster.content.piece_transfer import ContentWriter
from gitml.cluster.worker.folder_gc import FolderGarbageCollector
from gitml.errors import IntegrityError
from gitml.execute.environments.environments import Environments
from gitml.execute.interfaces import WorkerServices
from gitml.git.objects.loose_objects import LooseObjects
from gitml.platform.current import platform
from gitml.store.local import disk
from gitml.store.local.object_writer import BlobWriter
from gitml.store.local.store import LocalStore
from gitml.workspace import KnownFacts

_POINTER_LARGEST = 1100
_MANY = 256


class FolderSpec(NamedTuple):
    """Where a machine keeps contents, as data that goes with each attempt."""

    root: str | None = None  # None: in the user's cache
    limit: int | None = None  # bytes; None: half of the disk
    tops: str = ""  # the work trees of the repository whose steps run, one a line: they may be on this machine too

    def open(self, machine: Mapping[str, str]) -> WorkerFolder:
        """The folder, in this process; `machine` is the environment of steps here."""
        root = self.root or layout.cache_folder(machine, layout.WORKER)
        tops = self.tops.splitlines()
        return WorkerFolder(os.path.realpath(root), self.limit, machine, layout.cache_folder(machine), tops)


class WorkerFolder:
    """Contents by name (see `content_ids`) at `root`, shared by all processes of a machine and kept between runs.

    Environments are built in `cache`. `gc` pins and evicts. To be used from one thread.
    """

    def __init__(
        self, root: str, limit: int | None, machine: Mapping[str, str], cache: str, tops: Sequence[str] = ()
    ) -> None:
        self.tops = tops
        self.root = root
        self.machine = machine
        self.cache = cache
        os.makedirs(root, mode=0o700, exist_ok=True)
        self.store = LocalStore(root, durable=False)
        self.git = LooseObjects(os.path.join(root, "git"))
        self._doubt_after_a_crash()
        self._whole: set[str] = set()
        self._lost = [0, 0]  # when something was last evicted, and when last quarantined
        self.gc = FolderGarbageCollector(root, self.store, self.git, limit, machine)

    def services(self) -> WorkerServices:
        """The services of a process that performs steps on it."""
        facts = KnownFacts(FactsFile(os.path.join(self.root, "facts.json")))
        environments = Environments(facts, self.cache, self.machine, cwd=self.root, tops=self.tops)
        return WorkerServices(self.store, self.git, lambda digest: None, environments)

    def put(self, contents: Mapping[str, bytes]) -> None:
        """Keeps whole contents. IntegrityError for one that is not what its name says, MachineError when the disk is full."""
        for name, content in contents.items():
            kind, id = parse_name(name)
            size = len(content)
            if self.git.size(id) == size if kind in GIT_KINDS else self.store.holds(digest_in(name), size):
                continue
            arriving = self.open_writer(name, len(content))
            try:
                arriving.write(content)
                arriving.commit()
            except BaseException:
                arriving.abandon()
                raise

    def missing(self, roots: Sequence[str]) -> list[str]:
        """What of `roots`, and of all below the trees among them, is not here; what is below a missing tree is not named."""
        self._heed_losses()
        missing: dict[str, None] = {}
        for root in roots:
            self._look(root, missing)
        return list(missing)

    def _look(self, name: str, missing: dict[str, None]) -> int:
        """Notes what is missing of a content and of all below it; how many were looked at."""
        if name in self._whole or name in missing:
            return 1
        before, count = len(missing), 1
        try:
            for below in self._here(name):
                count += self._look(below, missing)
        except IntegrityError:
            missing[name] = None
        if len(missing) == before and count > _MANY:
            self._whole.add(name)  # to look at few again costs nothing, and finds what was removed behind our back
        return count

    def _here(self, name: str) -> list[str]:
        """What is directly below a content. IntegrityError when it is not here, or damaged."""
        kind, id = parse_name(name)
        if kind == TREE:
            return tree_names(self.store.listing(digest_in(name)))
        if kind == BLOB:
            if not self.store.is_intact(digest_in(name)):
                raise IntegrityError("it is not here", where=name)
            return []
        size = self.git.size(id)
        if size is None:
            raise IntegrityError("it is not here", where=name)
        if kind == GIT_TREE:
            return git_tree_names(self.git.tree(id))
        if kind == GIT_LISTING:
            return listing_names(self.git.tree(id))
        if kind == GIT_COMMIT:
            return commit_names(self.git.read(id))
        if kind == GIT_SUBMODULE:
            return submodule_names(self.git.read(id))
        return pointer_names(self.git.read(id), id) if kind == GIT_BLOB and size <= _POINTER_LARGEST else []

    def open_writer(self, name: str, size: int) -> ContentWriter:
        """A writer for a content of `size` bytes."""
        kind, id = parse_name(name)
        if kind in GIT_KINDS:
            return self.git.incoming(id, size)
        return BlobWriter(self.store, digest_in(name), size)

    def open(self, name: str) -> BinaryIO:
        """The bytes of a content. IntegrityError when it is not here."""
        kind, id = parse_name(name)
        if kind in (BLOB, TREE):
            return self.store.open(digest_in(name))
        try:
            return cast(BinaryIO, open(self.git.path_of(id), "rb"))
        except FileNotFoundError:
            raise IntegrityError(f"Git object {id} is not on this machine") from None

    def contents_of(self, root: str) -> list[tuple[str, int]]:
        """Every Blob and Tree of `root` with its size, those below a Tree before it."""
        found: dict[str, int] = {}
        self._list(root, os.lstat(self.store.path_of(digest_in(root))).st_size, found)
        return list(found.items())

    def _list(self, name: str, size: int, found: dict[str, int]) -> None:
        if name in found:
            return
        if parse_name(name)[0] == TREE:
            for entry in self.store.listing(digest_in(name)):
                below = stored_name(entry.digest, tree=entry.kind == "d")
                self._list(below, entry.size, found)
            size = os.lstat(self.store.path_of(digest_in(name))).st_size
        found[name] = size

    def _doubt_after_a_crash(self) -> None:
        """Nothing here is synced: after the machine was restarted, large contents are hashed before they are used."""
        path = os.path.join(self.root, "boot")
        boot = platform.boot_id() or ""
        try:
            with open(path) as file:
                if boot and file.read().strip() == boot:
                    return
        except FileNotFoundError:
            pass
        self.store.distrust_all()
        disk.write_whole(path, boot.encode())

    def _heed_losses(self) -> None:
        """What was here may have been evicted, or found damaged, by another process since."""
        lost = [0, 0]
        for index, path in enumerate((os.path.join(self.root, "swept"), self.store.quarantined)):
            with suppress(FileNotFoundError):
                lost[index] = os.stat(path).st_mtime_ns
        if lost != self._lost:
            self._lost = lost
            self._whole.clear()
            self.store.sound_trees.clear()


class FactsFile:
    """Facts in a file of JSON, for a machine that has no index. Written at once and whole; the last writer wins."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._kept: dict[str, Any] | None = None

    def fact(self, kind: str, id: str) -> Any | None:
        """The JSON value remembered for (kind, id)."""
        if self._kept is None:
            self._kept = self._read()
        return self._kept.get(f"{kind} {id}")

    def remember(self, kind: str, id: str, value: Any) -> None:
        """Keeps a JSON value."""
        self._kept = {**self._read(), f"{kind} {id}": value}
        disk.write_whole(self.path, json.dumps(self._kept).encode())

    def _read(self) -> dict[str, Any]:
        try:
            with open(self.path) as file:
                raw = json.load(file)
        except (OSError, ValueError):
            return {}
        return raw if isinstance(raw, dict) else {}
