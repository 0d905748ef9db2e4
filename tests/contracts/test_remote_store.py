"""What every remote store does, whatever it is made of: folders, Git LFS, S3, GCS, Azure and SSH, each with a real server."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitml.core.config.remotes import Manifest, RemoteSpec, StoredObject, encode_manifest
from gitml.core.model.digest import Digest, digest_of, hex_of
from gitml.core.model.protocols import RemoteObject, RemoteStore, SweptRemote
from gitml.errors import GitmlError, IntegrityError, RemoteError, TrustError
from gitml.git.lfs.client import LfsClient
from gitml.git.lfs.endpoint import find_endpoint
from gitml.git.repository import discover
from gitml.store.remote.backends.digest_only import DigestOnlyRemote
from gitml.store.remote.backends.folder import FolderRemote
from gitml.store.remote.backends.kinds import open_remote
from gitml.store.remote.layout import lfs_key_of
from gitml.store.remote.transfer.progress import TransferMeter, with_retries
from tests.kit.projects.repository import Repository, isolate
from tests.kit.servers.store_servers import (
    S3_ENVIRONMENT,
    Server,
    az_environment,
    az_server,
    gs_environment,
    gs_server,
    lfs_server,
    make_bucket,
    make_container,
    s3_server,
    ssh_server,
)

pytestmark = [pytest.mark.xdist_group("remote-servers"), pytest.mark.slow]

SMALL = b"small content"
LARGE = os.urandom((20 << 20) + 5)  # several parts of a transfer


class MemoryPointers:
    """Pointers without a log."""

    def __init__(self) -> None:
        self.known: dict[Digest, list[StoredObject]] = {}

    def manifests_of(self, tree: Digest) -> list[StoredObject]:
        return self.known.get(tree, [])

    def add(self, manifests: dict[Digest, StoredObject]) -> None:
        for tree, item in manifests.items():
            self.known.setdefault(tree, []).append(item)


class Place:
    """A remote store of one kind, opened as often as wanted, and the files behind it as far as they can be touched."""

    def __init__(self, opened: Callable[[], RemoteStore], overwrite: Callable[[Digest, bytes], None] | None) -> None:
        self.open = opened
        self.overwrite = overwrite
        self.missing: RemoteSpec | None = None
        self.mistyped: RemoteSpec | None = None


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = s3_server(tmp_path_factory.mktemp("s3"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def gs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = gs_server(tmp_path_factory.mktemp("gs"), "bucket")
    yield server
    server.kill()


@pytest.fixture(scope="session")
def az(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = az_server(tmp_path_factory.mktemp("az"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def lfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = lfs_server(tmp_path_factory.mktemp("lfs"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    home = tmp_path_factory.mktemp("home")
    server = ssh_server(tmp_path_factory.mktemp("ssh"), home)
    yield server, home
    server.kill()


def in_folder(root: Path, key: str) -> Callable[[Digest, bytes], None]:
    def overwrite(digest: Digest, content: bytes) -> None:
        name = hex_of(digest)
        path = root / (f"objects/{name[:2]}/{name[2:]}" if key == "plain" else f"objects/{name[:2]}/{name[2:4]}/{name}")
        path.chmod(0o644)
        path.write_bytes(content)

    return overwrite


@pytest.fixture(params=["file", "s3", "gs", "az", "ssh", "lfs", "lfs-folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    kind = request.param
    root = tmp_path / "store"
    opened: list[RemoteStore] = []
    overwrite = None
    mistyped: RemoteSpec | None = None
    make: Callable[[], Any]
    if kind == "file":
        spec = RemoteSpec("r", f"file://{root}")
        mistyped = RemoteSpec("r", f"file://{tmp_path}/never/made")
        make = partial(open_remote, spec)
        overwrite = in_folder(root, "plain")
    elif kind == "s3":
        server: Server = request.getfixturevalue("s3")
        for name, value in S3_ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        bucket = f"b{os.urandom(6).hex()}"
        make_bucket(server.port, bucket)
        spec = RemoteSpec("r", f"s3://{bucket}/a prefix", {"endpoint": f"http://127.0.0.1:{server.port}"})
        make = partial(open_remote, spec)
    elif kind == "gs":
        server = request.getfixturevalue("gs")
        for name, value in gs_environment(server.port).items():
            monkeypatch.setenv(name, value)
        # The emulator can't end an upload, so gcsfs asks it to six times, with pauses of half a minute in all.
        monkeypatch.setattr("gcsfs.retry.asyncio", SimpleNamespace(sleep=lambda _: asyncio.sleep(0)))
        make = partial(open_remote, RemoteSpec("r", f"gs://bucket/a prefix/{os.urandom(6).hex()}"))
    elif kind == "az":
        server = request.getfixturevalue("az")
        for name, value in az_environment(server.port).items():
            monkeypatch.setenv(name, value)
        container = f"c{os.urandom(6).hex()}"
        make_container(server.port, container)
        make = partial(open_remote, RemoteSpec("r", f"az://{container}/a prefix"))
    elif kind == "ssh":
        server, home = request.getfixturevalue("ssh")
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        make = partial(open_remote, RemoteSpec("r", f"ssh://127.0.0.1:{server.port}{root}"))
        mistyped = RemoteSpec("r", f"ssh://127.0.0.1:{server.port}{tmp_path}/never/made")
        overwrite = in_folder(root, "plain")
    else:
        isolate(monkeypatch)
        repo = Repository(tmp_path / "repo")
        if kind == "lfs":
            server = request.getfixturevalue("lfs")
            repo.git("remote", "add", "origin", f"http://127.0.0.1:{server.port}/org/r{os.urandom(4).hex()}.git")
        else:
            Repository(tmp_path / "hub.git", bare=True)
            repo.git("remote", "add", "origin", str(tmp_path / "hub.git"))
            overwrite = in_folder(tmp_path / "hub.git/lfs", "lfs")
        location = discover(repo.path, dict(os.environ))
        pointers = MemoryPointers()

        def opened_lfs() -> RemoteStore:
            endpoint = find_endpoint(location, None)
            spec = RemoteSpec("r", "lfs")
            if endpoint.folder is not None:
                return DigestOnlyRemote(FolderRemote(spec, endpoint.folder, lfs_key_of), pointers)
            return DigestOnlyRemote(LfsClient(spec, location, endpoint), pointers)

        make = opened_lfs

    def remember() -> RemoteStore:
        opened.append(make())
        return opened[-1]

    here = Place(remember, overwrite)
    if kind in ("s3", "gs", "az"):
        here.missing = RemoteSpec("r", f"{kind}://never-made/x", spec.options if kind == "s3" else {})
    here.mistyped = here.missing or mistyped
    yield here
    for remote in opened:
        remote.close()


@pytest.fixture
def remote(place: Place) -> RemoteStore:
    return place.open()


def item_of(content: bytes) -> StoredObject:
    return StoredObject(digest_of(content), len(content))


def nothing(_: int) -> None:
    return None


def put(remote: RemoteStore, content: bytes) -> StoredObject:
    item = item_of(content)
    remote.lacking([item])
    remote.put(item, content, nothing)
    return item


def read(remote: RemoteStore, item: StoredObject) -> bytes:
    download = remote.get(item)
    assert download.start == 0
    return b"".join(download.chunks)


def test_bytes_and_files_that_are_put_are_there_for_everyone_and_come_back(place: Place, tmp_path: Path) -> None:
    remote = place.open()
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    items = [item_of(SMALL), item_of(LARGE), item_of(b"")]
    assert remote.present(items) == set()
    assert remote.lacking(items) == {item.digest for item in items}
    moved: list[int] = []
    remote.put(items[0], SMALL, moved.append)
    remote.put(items[1], str(path), moved.append)
    remote.put(items[2], b"", moved.append)
    assert sum(moved) == len(SMALL) + len(LARGE)
    other = place.open()
    assert other.present(items) == {item.digest for item in items}
    assert other.lacking(items) == set()
    assert [read(other, item) for item in items] == [SMALL, LARGE, b""]


def test_what_is_not_there_is_told_as_missing(remote: RemoteStore) -> None:
    put(remote, SMALL)
    never = item_of(b"never")
    assert remote.present([never, item_of(SMALL)]) == {digest_of(SMALL)}
    with pytest.raises(IntegrityError, match="not there"):
        list(remote.get(never).chunks)
    assert remote.manifest(never.digest) is None
    assert remote.with_manifest([never.digest]) == set()


def test_content_of_another_size_does_not_count_as_there(remote: RemoteStore) -> None:
    item = put(remote, SMALL)
    assert remote.present([StoredObject(item.digest, item.size + 1)]) == set()


def test_damaged_content_never_gets_there(place: Place, tmp_path: Path) -> None:
    remote = place.open()
    item = item_of(LARGE)
    path = tmp_path / "large"
    path.write_bytes(LARGE[:-1] + bytes([LARGE[-1] ^ 1]))
    remote.lacking([item])
    with pytest.raises(IntegrityError):
        remote.put(item, str(path), nothing)
    assert place.open().present([item]) == set()


def test_an_upload_that_is_ended_leaves_nothing_under_the_name(place: Place, tmp_path: Path) -> None:
    class EndedError(GitmlError):
        pass

    def end(_: int) -> None:
        raise EndedError("enough")

    remote = place.open()
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    item = item_of(LARGE)
    remote.lacking([item])
    with pytest.raises(GitmlError):
        remote.put(item, str(path), end)
    assert place.open().present([item]) == set()
    place.open().put(item, str(path), nothing)
    assert read(place.open(), item) == LARGE


def test_what_two_upload_at_once_is_there_whole(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    item = item_of(LARGE)
    errors: list[BaseException] = []

    def upload() -> None:
        remote = place.open()
        try:  # one may end what both went on with: the next try finds it there, or brings it
            with_retries(
                lambda moved: remote.put(item, str(path), moved), TransferMeter("push", remote.name, lambda _: None)
            )
        except RemoteError as error:
            errors.append(error)

    threads = [threading.Thread(target=upload) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert read(place.open(), item) == LARGE


def test_a_bucket_that_is_missing_is_said(place: Place, tmp_path: Path) -> None:
    if place.missing is None:
        pytest.skip("a folder is made")
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    for content in (SMALL, LARGE):
        with pytest.raises((RemoteError, TrustError)):
            open_remote(place.missing).put(item_of(content), SMALL if content is SMALL else str(path), nothing)


def test_a_place_that_is_missing_does_not_pass_for_an_empty_one(place: Place) -> None:
    if place.mistyped is None:
        pytest.skip("the repository says where it is")
    asked: list[Callable[[RemoteStore], object]] = [
        lambda remote: remote.present([item_of(SMALL)]),
        lambda remote: remote.lacking([item_of(SMALL)]),
        lambda remote: remote.with_manifest([digest_of(SMALL)]),
        lambda remote: remote.manifest(digest_of(SMALL)),
        lambda remote: remote.note(),
    ]
    for ask in asked:
        with pytest.raises(RemoteError, match="no such") as told:
            ask(open_remote(place.mistyped))
        assert told.value.where == place.mistyped.url
        assert told.value.hint is not None


def test_a_download_goes_on_in_the_middle_or_says_that_it_begins_anew(remote: RemoteStore) -> None:
    item = put(remote, LARGE)
    for start in (1, 8 << 20, len(LARGE) - 1):
        download = remote.get(item, start)
        assert download.start in (0, start)
        assert b"".join(download.chunks) == LARGE[download.start :]


def test_putting_again_replaces_what_went_bad(place: Place) -> None:
    if place.overwrite is None:
        pytest.skip("what lies on this server can't be spoilt from here")
    remote = place.open()
    item = put(remote, SMALL)
    place.overwrite(item.digest, b"spoilt!")
    assert item.digest not in place.open().present([item])
    place.open().put(item, SMALL, nothing)
    assert read(place.open(), item) == SMALL


def test_manifests_are_kept_and_found(place: Place) -> None:
    remote = place.open()
    trees = [digest_of(b"tree %d" % number) for number in range(3)]
    manifests = {tree: encode_manifest(Manifest(tree, 5, (), (), ())) for tree in trees[:2]}
    remote.put_manifests(manifests)
    other = place.open()
    assert other.with_manifest(trees) == set(trees[:2])
    assert [other.manifest(tree) for tree in trees] == [manifests[trees[0]], manifests[trees[1]], None]


def test_many_are_asked_for_and_moved_at_once(remote: RemoteStore) -> None:
    contents = [b"content %d" % number for number in range(130)]  # more than one question takes
    items = [item_of(content) for content in contents]
    assert remote.lacking(items) == {item.digest for item in items}
    remote.put(items[0], contents[0], nothing)  # giftless may fail when two are the first in a new folder
    errors: list[BaseException] = []

    def work(part: int) -> None:
        try:
            for item, content in list(zip(items, contents, strict=True))[part::4]:
                remote.put(item, content, nothing)
                assert b"".join(remote.get(item).chunks) == content
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert remote.present(items) == {item.digest for item in items}
    remote.expect(items)


def test_what_can_be_swept_is_listed_with_size_and_time_and_can_be_deleted(place: Place) -> None:
    remote: Any = place.open()
    if not hasattr(remote, "listed"):
        pytest.skip("a Git LFS server deletes nothing for its users")
    swept: SweptRemote = remote
    item = put(remote, SMALL)
    tree = digest_of(b"tree")
    remote.put_manifests({tree: b"{}\n"})
    found = sorted(swept.listed(), key=lambda listed: listed.manifest)
    assert [(one.digest, one.size, one.manifest) for one in found] == [(item.digest, 13, False), (tree, 3, True)]
    assert all(1.6e9 < one.written < 1e10 for one in found)
    assert swept.note() is None
    swept.set_note(b"one")
    swept.set_note(b"two")
    assert place.open().note() == b"two"
    for one in found:
        swept.delete(one)
        swept.delete(one)
    swept.delete(RemoteObject(digest_of(b"never"), 5, False, 0.0))
    assert list(swept.listed()) == []
    assert remote.present([item]) == set()
