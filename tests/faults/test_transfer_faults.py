"""Transfers that are cut, killed, or run out of room: nothing partial becomes visible, and the next try goes on."""

from __future__ import annotations

import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitml.core.config.remotes import RemoteSpec, StoredObject
from gitml.core.model.digest import Digest, digest_of, hex_of
from gitml.core.model.protocols import Download, RemoteStore
from gitml.errors import GitmlError, MachineError, RemoteError
from gitml.git.lfs.client import LfsClient
from gitml.git.lfs.endpoint import find_endpoint
from gitml.git.repository import discover
from gitml.store.local.store import LocalStore
from gitml.store.remote.backends.digest_only import DigestOnlyRemote
from gitml.store.remote.backends.folder import FolderRemote
from gitml.store.remote.backends.kinds import open_remote
from gitml.store.remote.backends.object_storage import ObjectStorageRemote
from gitml.store.remote.backends.partial_upload import PIECE, AzureUpload, S3Upload
from gitml.store.remote.cache import PackIndexes, RemoteCache, RemoteSource
from gitml.store.remote.layout import key_of
from gitml.store.remote.transfer.download import DownloadResult, download_roots
from gitml.store.remote.transfer.progress import TransferRoot
from gitml.store.remote.transfer.upload import Uploader
from tests.kit.disks.small_disk import small_disk_at
from tests.kit.processes import kill
from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository, isolate
from tests.kit.projects.team_artifacts import ArtifactTeam, stored
from tests.kit.servers.cutting_proxy import CuttingProxy
from tests.kit.servers.store_servers import (
    S3_ENVIRONMENT,
    az_environment,
    az_server,
    lfs_server,
    make_bucket,
    make_container,
    s3_server,
    ssh_server,
)

pytestmark = [pytest.mark.xdist_group("remote-servers"), pytest.mark.slow]

SIZE = 12 << 20
LONG = 48 << 20  # so long that some parts are there whole when it is cut at CUT, however many are under way at once
CUT = 45_000_000
SLACK = 3_000_000  # bytes of the protocols themselves


class Facts:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], object] = {}

    def fact(self, kind: str, id: str) -> object | None:
        return self.kept.get((kind, id))

    def remember(self, kind: str, id: str, value: object) -> None:
        self.kept[kind, id] = value


class Pointers:
    def __init__(self) -> None:
        self.known: dict[str, list[StoredObject]] = {}

    def manifests_of(self, tree: str) -> list[StoredObject]:
        return self.known.get(tree, [])

    def add(self, manifests: dict[str, StoredObject]) -> None:
        for tree, item in manifests.items():
            self.known.setdefault(tree, []).append(item)


def send(store: LocalStore, remote: RemoteStore, *roots: TransferRoot) -> None:
    sent = Uploader(store, remote, RemoteCache(Facts(), remote.identity), PackIndexes(store.root)).upload(roots)
    assert sent.refused == sent.missing == ()


def fetch(store: LocalStore, remote: RemoteStore, *roots: TransferRoot) -> DownloadResult:
    known = RemoteCache(Facts(), remote.identity)
    return download_roots(store, [RemoteSource(remote, known)], PackIndexes(store.root), roots)


def content(store: LocalStore, path: Path, length: int = SIZE) -> list[TransferRoot]:
    """A large file and a directory, taken in."""
    blob = os.urandom(length)
    path.mkdir(parents=True)
    for number in range(100):
        (path / f"{number}").write_bytes(os.urandom(50_000))
    digest, size = store.ingest_tree(str(path))
    return [TransferRoot(store.put(blob), length, False, "blob"), TransferRoot(digest, size, True, "tree")]


@pytest.fixture(params=["s3", "az", "lfs"])
def cut(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[CuttingProxy, RemoteStore]]:
    """A remote store behind a network that can be cut."""
    environment: dict[str, str] = {}
    if request.param == "s3":
        server = s3_server(tmp_path / "server")
        make_bucket(server.port, "faults")
        network = CuttingProxy(server.port)
        spec = RemoteSpec("r", "s3://faults/x", {"endpoint": f"http://127.0.0.1:{network.port}"})
        environment = S3_ENVIRONMENT
    elif request.param == "az":
        server = az_server(tmp_path / "server")
        make_container(server.port, "faults")
        network = CuttingProxy(server.port)
        spec = RemoteSpec("r", "az://faults/x")
        environment = az_environment(network.port)
    else:
        isolate(monkeypatch)
        server = lfs_server(tmp_path / "server")
        network = CuttingProxy(server.port)
        spec = RemoteSpec("r", "lfs")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if request.param == "lfs":
        repo = Repository(tmp_path / "repo")
        repo.git("remote", "add", "origin", f"http://127.0.0.1:{network.port}/org/r.git")
        location = discover(repo.path, dict(os.environ))
        yield network, DigestOnlyRemote(LfsClient(spec, location, find_endpoint(location, None)), Pointers())
    else:
        yield network, open_remote(spec)
    network.close()
    server.kill()


class Asked:
    """A remote store, and from where on each object was asked for."""

    def __init__(self, remote: RemoteStore) -> None:
        self.remote = remote
        self.starts: dict[Digest, list[int]] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self.remote, name)

    def get(self, item: StoredObject, start: int = 0) -> Download:
        self.starts.setdefault(item.digest, []).append(start)
        return self.remote.get(item, start)


def test_a_connection_that_is_cut_midway_costs_a_second_try_that_goes_on(
    cut: tuple[CuttingProxy, RemoteStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, remote = cut
    one, two = LocalStore(str(tmp_path / "one")), LocalStore(str(tmp_path / "two"))
    roots = content(one, tmp_path / "in", LONG)
    blob = StoredObject(roots[0].digest, LONG)
    network.limit = network.passed + CUT
    with pytest.raises(RemoteError):
        send(one, remote, *roots)
    assert network.cuts
    network.limit = None
    if remote.present([blob]):  # what was under way when it failed may have come to its end
        assert digest_of(b"".join(remote.get(blob).chunks)) == blob.digest
    before, again = parts_there(remote, blob), record_parts(monkeypatch)
    send(one, remote, *roots)
    assert not before & again

    network.limit = network.passed + CUT
    brought = fetch(two, remote, *roots)
    assert brought.lost
    assert brought.problems
    for root in brought.lost:
        assert not LocalStore(two.root).has(root.digest, root.size, tree=root.tree)
    network.limit = None
    asked = Asked(remote)
    lost = blob.digest in {root.digest for root in brought.lost}
    begun = os.stat(f"{two.temporaries}/part-{hex_of(blob.digest)}").st_size if lost else 0
    assert fetch(two, asked, *roots).lost == ()  # type: ignore[arg-type]
    assert asked.starts.get(blob.digest, []) == ([begun] if lost else [])
    assert not lost or begun > 0
    assert all(LocalStore(two.root).has(root.digest, root.size, tree=root.tree) for root in roots)
    assert list(two.iterate())
    assert all(two.check(digest) is None for digest, _ in two.iterate())


def parts_there(remote: RemoteStore, blob: StoredObject) -> set[str]:
    """The parts of an upload that was cut off, as the service tells them; none where there is no such thing."""
    if not isinstance(remote, ObjectStorageRemote) or remote.present([blob]):
        return set()
    parts = remote._kind.partial
    if parts is None:
        return set()
    there = set(parts(remote._fs, f"{remote.root}/{key_of('objects', blob.digest)}").begin())
    assert there, "nothing had arrived when it was cut: no case for this test"
    return there


def record_parts(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The parts that are uploaded from now on."""
    sent: set[str] = set()
    for kind in (S3Upload, AzureUpload):

        def put(self: Any, number: int, content: bytes, put: Any = kind.put) -> str:
            tag: str = put(self, number, content)
            sent.add(tag)
            return tag

        monkeypatch.setattr(kind, "put", put)
    return sent


def test_a_large_upload_over_ssh_goes_on_where_it_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, host = tmp_path / "home", tmp_path / "host"
    server = ssh_server(tmp_path / "server", home)
    network = CuttingProxy(server.port)
    known = home / ".ssh/known_hosts"
    known.write_text(known.read_text() + known.read_text().replace(str(server.port), str(network.port)))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    data = os.urandom(LONG)
    (tmp_path / "large").write_bytes(data)
    item = StoredObject(digest_of(data), LONG)
    spec = RemoteSpec("r", f"ssh://127.0.0.1:{network.port}{host}")
    remote = open_remote(spec)

    def put_again() -> int:
        before = network.passed
        moved: list[int] = []
        remote.put(item, str(tmp_path / "large"), moved.append)  # by the same object: it connects anew
        assert sum(moved) == LONG
        assert b"".join(remote.get(item).chunks) == data
        assert not list(host.rglob("*.tmp"))
        return network.passed - before - LONG

    def cut_off() -> Path:
        network.limit = network.passed + CUT
        with pytest.raises(RemoteError):
            remote.put(item, str(tmp_path / "large"), lambda _: None)
        network.limit = None
        assert not remote.present([item])
        (begun,) = host.rglob("*.tmp")
        assert begun.stat().st_size > PIECE
        return begun

    size = cut_off().stat().st_size
    assert put_again() < LONG - size + PIECE + SLACK
    remote.delete(next(iter(remote.listed())))
    begun = cut_off()
    with open(begun, "r+b") as file:
        file.seek(1000)
        file.write(b"another's")
    assert put_again() > LONG - SLACK
    network.close()
    server.kill()


def test_a_large_copy_to_a_folder_goes_on_where_it_was_cut_with_what_is_right_of_it(tmp_path: Path) -> None:
    class EndedError(GitmlError):
        pass

    data = os.urandom(LONG)
    (tmp_path / "large").write_bytes(data)
    item = StoredObject(digest_of(data), LONG)
    remote = FolderRemote(RemoteSpec("hub", f"file://{tmp_path}/hub"), str(tmp_path / "hub"))

    def end_at(size: int) -> Callable[[int], None]:
        def moved(count: int) -> None:
            nonlocal size
            size -= count
            if size < 0:
                raise EndedError("enough")

        return moved

    def cut_off(size: int) -> Path:
        with pytest.raises(EndedError):
            remote.put(item, str(tmp_path / "large"), end_at(size))
        assert not remote.present([item])
        (begun,) = (tmp_path / "hub").rglob("*.tmp")
        return begun

    begun = cut_off(20 << 20)
    assert 16 << 20 <= begun.stat().st_size < 30 << 20
    inode = begun.stat().st_ino
    with open(begun, "r+b") as file:
        file.seek(10 << 20)
        file.write(b"what a crash of the machine may leave")
    assert cut_off(15 << 20) == begun
    with open(begun, "rb") as locked:  # another process that is at it
        fcntl.flock(locked, fcntl.LOCK_EX)
        remote.put(item, str(tmp_path / "large"), lambda _: None)
    assert next(iter(remote.listed())).digest == item.digest
    assert begun.exists()
    moved: list[int] = []
    remote.put(item, str(tmp_path / "large"), moved.append)
    assert sum(moved) == LONG
    assert not list((tmp_path / "hub").rglob("*.tmp"))
    (made,) = (tmp_path / "hub/objects").rglob("??/*")
    assert (made.read_bytes() == data, made.stat().st_ino) == (True, inode)


def test_a_server_killed_midway_and_started_again_has_nothing_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate(monkeypatch)
    server = lfs_server(tmp_path / "server")
    repo = Repository(tmp_path / "repo")
    repo.git("remote", "add", "origin", f"http://127.0.0.1:{server.port}/org/r.git")
    location = discover(repo.path, dict(os.environ))
    pointers = Pointers()

    def remote() -> RemoteStore:
        return DigestOnlyRemote(LfsClient(RemoteSpec("r", "lfs"), location, find_endpoint(location, None)), pointers)

    one, two = LocalStore(str(tmp_path / "one")), LocalStore(str(tmp_path / "two"))
    roots = content(one, tmp_path / "in") + [
        TransferRoot(one.put(os.urandom(SIZE)), SIZE, False, f"b{n}") for n in range(4)
    ]
    turn = threading.Lock()
    killed = []

    class Killing(LfsClient):
        def put(self, item: StoredObject, source: str | bytes, moved: Callable[[int], None]) -> None:
            def killing(size: int) -> None:
                with turn:
                    if not killed:  # threads that try again must not end the one started anew
                        killed.append(size)
                        server.kill()
                moved(size)

            super().put(item, source, killing)

    dying = DigestOnlyRemote(Killing(RemoteSpec("r", "lfs"), location, find_endpoint(location, None)), pointers)
    with pytest.raises(RemoteError):
        Uploader(one, dying, RemoteCache(Facts(), "x"), PackIndexes(one.root)).upload(roots)
    server.start()
    again = remote()
    there = again.present([StoredObject(root.digest, root.size) for root in roots if not root.tree])
    for digest in there:
        assert digest_of(b"".join(again.get(StoredObject(digest, SIZE)).chunks)) == digest
    send(one, again, *roots)
    assert fetch(two, again, *roots).lost == ()
    server.kill()


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    mount = tmp_path / "tiny"
    mount.mkdir()
    with small_disk_at(mount, "8m"):
        yield mount


@pytest.mark.root
def test_a_full_disk_here_is_said_and_what_came_is_not_asked_for_again(tiny: Path, tmp_path: Path) -> None:
    remote = FolderRemote(RemoteSpec("hub", f"file://{tmp_path}/hub"), str(tmp_path / "hub"))
    one, two = LocalStore(str(tmp_path / "one")), LocalStore(str(tiny / "two"))
    roots = content(one, tmp_path / "in")
    send(one, remote, *roots)
    with pytest.raises(MachineError, match="No space"):
        fetch(two, remote, *roots)
    assert not any(LocalStore(two.root).has(root.digest, root.size, tree=root.tree) for root in roots)
    assert all(two.check(digest) is None for digest, _ in two.iterate())
    subprocess.run(["mount", "-o", "remount,size=64m", str(tiny)], check=True)
    assert fetch(two, remote, *roots).lost == ()


@pytest.mark.root
def test_a_full_disk_there_is_said_and_leaves_nothing_partial(tiny: Path, tmp_path: Path) -> None:
    remote = FolderRemote(RemoteSpec("hub", f"file://{tiny}/hub"), str(tiny / "hub"))
    one, two = LocalStore(str(tmp_path / "one")), LocalStore(str(tmp_path / "two"))
    roots = content(one, tmp_path / "in")
    with pytest.raises(RemoteError, match="No space"):
        send(one, remote, *roots)
    for path in (tiny / "hub/objects").rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            assert digest_of(path.read_bytes())[7:] == path.parent.name + path.name
    assert not list((tiny / "hub").rglob("*.tmp"))
    subprocess.run(["mount", "-o", "remount,size=64m", str(tiny)], check=True)
    send(one, remote, *roots)
    assert fetch(two, remote, *roots).lost == ()


def test_an_object_cut_short_on_a_server_is_refused_and_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    for name, value in S3_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    server = s3_server(tmp_path / "server")
    make_bucket(server.port, "faults")
    endpoint = f"http://127.0.0.1:{server.port}"
    remote = open_remote(RemoteSpec("r", "s3://faults/x", {"endpoint": endpoint}))
    one, two = LocalStore(str(tmp_path / "one")), LocalStore(str(tmp_path / "two"))
    blob, tree = content(one, tmp_path / "in")
    send(one, remote, blob, tree)
    files = fsspec.filesystem("s3", endpoint_url=endpoint, skip_instance_cache=True, use_listings_cache=False)
    name = hex_of(blob.digest)
    files.pipe_file(f"faults/x/objects/{name[:2]}/{name[2:]}", os.urandom(100))
    brought = fetch(two, remote, blob, tree)
    assert brought.lost == (blob,)
    assert [problem.digest for problem in brought.problems] == [blob.digest]
    send(one, remote, blob, tree)
    assert fetch(two, remote, blob).lost == ()
    server.kill()


def kill_at(person: Project, delay: float, *args: str) -> bool:
    """Starts a command and kills it after some seconds; whether it was alive."""
    process = person.start(*args)
    time.sleep(delay)
    alive = kill(process)
    process.communicate()
    return alive


def test_killing_push_and_pull_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    team = ArtifactTeam(tmp_path, f"[file://{tmp_path}/store]")
    ada = team.people["author"]
    for seed in range(3):
        ada.run("big", "-S", f"seed={seed}")
    moments = [0.03 + 0.04 * n for n in range(8)]  # the first is before a process can have ended
    killed = 0
    for moment in moments:
        killed += kill_at(ada, moment, "push")
    objects = [path for path in (tmp_path / "store").rglob("*") if path.is_file() and not path.name.startswith(".")]
    for path in objects:
        if path.parent.parent.name == "objects":
            assert digest_of(path.read_bytes())[7:] == path.parent.name + path.name
    ada.do("push")
    bob = team.person("bob")
    for moment in moments:
        killed += kill_at(bob, moment, "pull", "--artifacts")
        for name in stored(bob):
            assert digest_of(bob.object("sha256:" + name).read_bytes())[7:] == name
    assert killed
    bob.do("pull", "--artifacts")
    assert stored(bob) >= {name for name in stored(ada) if ada.object("sha256:" + name).stat().st_size > 1024}
    assert bob.do("fsck", "--deep").out == ""
    assert ada.do("fsck", "--remote", "file", "--deep").out == ""
