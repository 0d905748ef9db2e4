"""A worker that brings inputs from remote stores by itself: whole and verified, or with words for why not."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gitml.cluster.content.messages import AttemptRequest, decode_request
from gitml.cluster.worker import remote_fetch as workerstores
from gitml.cluster.worker.folder import FolderSpec
from gitml.cluster.worker.remote_fetch import RemoteFetch, StoreBackoff, fetch_outputs, missing_inputs
from gitml.core.config.remotes import RemoteSpec
from gitml.core.model.result import OutputRef
from gitml.execute.messages import encode
from gitml.store.local.store import LocalStore
from gitml.store.remote.backends.folder import FolderRemote
from gitml.store.remote.cache import PackIndexes, RemoteCache
from gitml.store.remote.transfer.progress import TransferRoot
from gitml.store.remote.transfer.upload import Uploader
from tests.kit.execution import MemoryFacts
from tests.kit.patience import PATIENCE


class Shared:
    """A remote store in a folder with a file and a directory in it."""

    def __init__(self, path: Path) -> None:
        self.spec = RemoteSpec("share", f"file://{path}/share")
        (path / "share").mkdir()
        self.remote = FolderRemote(self.spec, self.spec.path)
        store = LocalStore(str(path / "ours"))
        (path / "in/below").mkdir(parents=True)
        (path / "in/below/a").write_bytes(b"a")
        (path / "in/b").write_bytes(b"b" * 300_000)
        tree, size = store.ingest_tree(str(path / "in"))
        self.file = OutputRef("m", "file", store.put(b"x" * 400_000), 400_000)
        self.folder = OutputRef("d", "directory", tree, size)
        sender = Uploader(store, self.remote, RemoteCache(MemoryFacts(), self.spec.identity), PackIndexes(store.root))
        sender.upload([TransferRoot(o.digest, o.size, o.is_tree, o.name) for o in (self.file, self.folder)])


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return Shared(tmp_path)


def order(place: FolderSpec, shared: Shared, *stored: tuple[OutputRef, bool]) -> AttemptRequest:
    return AttemptRequest("1", "r", "0-1", place, 1.0, 0.0, "hub", {}, (shared.spec,), stored)


def never() -> bool:
    return False


def test_files_and_directories_come_whole(shared: Shared, tmp_path: Path) -> None:
    place = FolderSpec(str(tmp_path / "worker"))
    said = order(place, shared, (shared.file, True), (shared.folder, False))
    folder = place.open({})
    want = missing_inputs(said, folder)
    assert (want.outputs, want.nowhere) == ((shared.file, shared.folder), (shared.folder,))
    fetch = RemoteFetch(place, want.outputs, said.stores)
    assert fetch.ended(20)
    assert fetch.problems == []
    assert missing_inputs(said, folder) == ((), ())
    assert folder.services().store.read(shared.file.digest) == b"x" * 400_000


def test_an_order_tells_of_stores_and_of_what_they_have(shared: Shared, tmp_path: Path) -> None:
    said = order(FolderSpec(str(tmp_path)), shared, (shared.file, True))
    assert decode_request(encode(said)) == said


def test_a_folder_that_is_not_shared_with_this_machine_is_told_and_left_alone_for_a_while(tmp_path: Path) -> None:
    spec = RemoteSpec("share", f"file://{tmp_path}/nowhere")
    output = OutputRef("m", "file", LocalStore(str(tmp_path / "s")).put(b"x"), 1)
    troubles = fetch_outputs(str(tmp_path / "worker"), [output], [spec], never)
    assert troubles == [(spec, "remote share: no such folder")]
    stores = StoreBackoff()
    other = RemoteSpec("other", "file:///other")
    stores.back_off(troubles)
    assert stores.usable([spec, other]) == [other]


def test_what_a_store_lacks_or_has_wrong_is_told_and_the_rest_comes(shared: Shared, tmp_path: Path) -> None:
    bad = Path(shared.spec.path, "objects", shared.file.digest[7:9], shared.file.digest[9:])
    bad.chmod(0o644)
    bad.write_bytes(b"y" * 400_000)
    troubles = fetch_outputs(str(tmp_path / "worker"), [shared.file, shared.folder], [shared.spec], never)
    assert [(trouble.store, "its content is" in trouble.words) for trouble in troubles] == [(None, True)]
    store = LocalStore(str(tmp_path / "worker"))
    assert not store.has(shared.file.digest, shared.file.size, tree=False)
    assert store.has(shared.folder.digest, shared.folder.size, tree=True)
    stores = StoreBackoff()
    stores.back_off(troubles)
    assert stores.usable([shared.spec]) == [shared.spec], "one bad object is no reason to leave a store"


def test_a_store_that_says_nothing_is_given_up(shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    class Silent(FolderRemote):
        def get(self, item: object, start: int = 0) -> object:  # type: ignore[override]
            over.wait(PATIENCE)
            raise OSError("nobody waits for this")

    monkeypatch.setattr(workerstores, "PATIENCE", 0.5)
    monkeypatch.setattr(workerstores, "_opened", lambda spec: Silent(spec, spec.path))
    try:
        troubles = fetch_outputs(str(tmp_path / "worker"), [shared.file], [shared.spec], never)
    finally:
        over.set()
    assert troubles == [(shared.spec, "remote share: nothing came for 0.5 s")]
