"""Two Stores and a remote store in a folder between them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gitml.core.config.remotes import RemoteSpec
from gitml.store.local.store import LocalStore
from gitml.store.remote.backends.folder import FolderRemote
from gitml.store.remote.cache import PackIndexes, RemoteCache, RemoteSource
from gitml.store.remote.transfer.download import DownloadResult, download_roots
from gitml.store.remote.transfer.progress import TransferRoot, UploadResult
from gitml.store.remote.transfer.upload import Uploader
from gitml.store.remote.transfer.upload_plan import UploadPlan


class MemoryFacts:
    """Facts without an index."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], object] = {}

    def fact(self, kind: str, id: str) -> object | None:
        return self.kept.get((kind, id))

    def remember(self, kind: str, id: str, value: object) -> None:
        self.kept[kind, id] = value


class Side:
    """One clone: its Store and what it knows of remotes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = LocalStore(str(path / "gitml"))
        self.facts = MemoryFacts()
        self.indexes = PackIndexes(str(path / "gitml"))

    def known(self, remote: FolderRemote) -> RemoteCache:
        return RemoteCache(self.facts, remote.identity)

    def sender(self, remote: FolderRemote) -> Uploader:
        return Uploader(self.store, remote, self.known(remote), self.indexes)

    def plan(self, remote: FolderRemote, *roots: TransferRoot) -> UploadPlan:
        return self.sender(remote).plan(roots)

    def send(self, remote: FolderRemote, *roots: TransferRoot) -> UploadResult:
        return self.sender(remote).upload(roots)

    def fetch(self, remotes: list[FolderRemote], *roots: TransferRoot) -> DownloadResult:
        sources = [RemoteSource(remote, self.known(remote)) for remote in remotes]
        return download_roots(self.store, sources, self.indexes, roots)

    def has(self, root: TransferRoot) -> bool:
        return LocalStore(self.store.root).has(root.digest, root.size, tree=root.tree)

    def blob(self, content: bytes, name: str = "blob") -> TransferRoot:
        return TransferRoot(self.store.put(content), len(content), False, name)

    def tree(self, files: dict[str, bytes], name: str = "tree") -> TransferRoot:
        top = self.path / f"in-{os.urandom(4).hex()}"
        top.mkdir(parents=True)
        for place, content in files.items():
            (top / place).parent.mkdir(parents=True, exist_ok=True)
            (top / place).write_bytes(content)
        digest, size = self.store.ingest_tree(str(top))
        return TransferRoot(digest, size, True, name)


@pytest.fixture
def one(tmp_path: Path) -> Side:
    return Side(tmp_path / "one")


@pytest.fixture
def two(tmp_path: Path) -> Side:
    return Side(tmp_path / "two")


@pytest.fixture
def remote(tmp_path: Path) -> FolderRemote:
    return FolderRemote(RemoteSpec("hub", f"file://{tmp_path}/hub"), str(tmp_path / "hub"))


@pytest.fixture
def another(tmp_path: Path) -> Callable[[str], FolderRemote]:
    return lambda name: FolderRemote(RemoteSpec(name, f"file://{tmp_path}/{name}"), str(tmp_path / name))
