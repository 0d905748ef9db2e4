"""How LocalStore keeps objects: where, in what form, at what cost."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gitml.core.model.digest import digest_of
from gitml.errors import InputError
from gitml.store.local import disk
from gitml.store.local.store import LocalStore

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "gitml"))


def test_looking_makes_nothing(store: LocalStore) -> None:
    assert not store.has(digest_of(b""), 0, tree=False)
    assert list(store.iterate()) == []
    assert store.usage() == (0, 0, 0, 0, 0, 0)
    assert store.sweep_temporaries(0) == (0, 0)
    assert not os.path.exists(store.root)


def test_an_object_is_a_read_only_file_of_the_canonical_time_named_by_its_hash(
    store: LocalStore, tmp_path: Path
) -> None:
    (tmp_path / "out").write_bytes(b"taken")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "in").write_bytes(b"in a folder")
    (tmp_path / "folder" / "in").chmod(0o755)
    store.put(b"put")
    store.ingest_file(str(tmp_path / "out"))
    store.ingest_tree(str(tmp_path / "folder"))
    for content in (b"put", b"taken", b"in a folder"):
        digest = digest_of(content)
        path = Path(store.root, "objects", digest[7:9], digest[9:])
        found = path.stat()
        assert path.read_bytes() == content
        assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o444, 946684800)
        assert found.st_nlink == 1
    assert os.listdir(store.temporaries) == []


def test_a_file_is_moved_in_not_copied(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"content")
    inode = (tmp_path / "out").stat().st_ino
    digest, _ = store.ingest_file(str(tmp_path / "out"))
    assert os.stat(store.path_of(digest)).st_ino == inode


def test_a_file_placed_shares_the_object_and_can_be_zipped(store: LocalStore, tmp_path: Path) -> None:
    digest = store.put(b"content")
    store.materialize_file(digest, str(tmp_path / "input"))
    if not store.clones:
        assert os.path.samefile(tmp_path / "input", store.path_of(digest))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(tmp_path / "input")


def test_keeping_what_is_there_writes_nothing(store: LocalStore, tmp_path: Path) -> None:
    digest = store.put(b"content")
    inode = os.stat(store.path_of(digest)).st_ino
    store.put(b"content")
    (tmp_path / "out").write_bytes(b"content")
    store.ingest_file(str(tmp_path / "out"))
    assert os.stat(store.path_of(digest)).st_ino == inode


def test_folders_without_permissions_are_taken(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "file").write_bytes(b"x")
    (tmp_path / "in" / "sub").chmod(0o555)
    digest, size = store.ingest_tree(str(tmp_path / "in"))
    assert store.has(digest, size, tree=True)
    assert not (tmp_path / "in").exists()


def test_folders_nested_without_end_are_refused(store: LocalStore, tmp_path: Path) -> None:
    deep = tmp_path / "in"
    for _ in range(300):
        deep /= "d"
    deep.mkdir(parents=True)
    with pytest.raises(InputError, match="deep"):
        store.ingest_tree(str(tmp_path / "in"))


def test_a_batch_larger_than_one_flush_arrives_whole(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitml.store.local.ingest._BATCH", 7)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for n in range(40):
        (tmp_path / "in" / f"{n}").write_bytes(b"%d" % (n % 30))
        (tmp_path / "in" / "sub" / f"{n}").symlink_to(f"../{n}")
    digest, size = store.ingest_tree(str(tmp_path / "in"))
    assert LocalStore(store.root).has(digest, size, tree=True)


def test_usage_counts_objects_quarantine_and_temporaries(store: LocalStore) -> None:
    for n in range(3):
        store.put(b"x" * n)
    store.quarantine(digest_of(b"xx"), "for the test")
    Path(store.temporaries, "half").write_bytes(b"1234")
    usage = store.usage()
    assert (usage.objects, usage.bytes) == (2, 1)
    assert (usage.quarantined, usage.quarantined_bytes) == (1, 2)
    assert (usage.temporaries, usage.temporary_bytes) == (1, 4)
    store.delete(digest_of(b"x"))
    store.delete(digest_of(b"x"))
    assert list(store.iterate()) == [(digest_of(b""), 0)]


def test_quarantine_says_why_and_when(store: LocalStore) -> None:
    digest = store.put(b"content")
    store.quarantine(digest, "because of a test")
    note = Path(store.quarantined, f"{digest[7:]}.1.txt").read_text().splitlines()
    assert note[0] == store.path_of(digest)
    assert note[1] == "because of a test"
    assert note[2].endswith("Z")
    assert Path(store.quarantined, f"{digest[7:]}.1").read_bytes() == b"content"


def test_many_files_are_synced_in_threads_and_a_failure_there_is_raised(tmp_path: Path) -> None:
    paths = []
    for n in range(50):
        (tmp_path / f"{n}").write_bytes(b"x")
        paths.append(str(tmp_path / f"{n}"))
    disk.sync_paths(paths)
    with pytest.raises(FileNotFoundError):
        disk.sync_paths([*paths, str(tmp_path / "gone")])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_size_of_a_file(tmp_path: Path) -> None:
    code = """
import os, resource, sys
from gitml.store.local.store import LocalStore
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
store = LocalStore(sys.argv[1] + "/gitml")
os.truncate(os.open(sys.argv[1] + "/out", os.O_CREAT | os.O_RDWR), 200 << 20)
os.link(sys.argv[1] + "/out", sys.argv[1] + "/second")
digest, size = store.ingest_file(sys.argv[1] + "/out")
store.ingest_file(sys.argv[1] + "/second")
store.materialize_file(digest, sys.argv[1] + "/copy", executable=True)
assert store.check(digest) is None and size == 200 << 20
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    grown = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True)
    assert grown.returncode == 0, grown.stderr
    assert int(grown.stdout) < 40


def test_importing_the_store_loads_nothing_heavy() -> None:
    code = """
import sys
from gitml.store.local.store import LocalStore
from gitml.store.local.locks import Locks
heavy = {"tempfile", "shutil", "logging", "asyncio", "ctypes", "subprocess", "threading", "pathlib", "sqlite3"}
print(sorted(heavy & set(sys.modules)))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_small_file_is_written_whole_beside_what_an_earlier_try_left(tmp_path: Path) -> None:
    path = tmp_path / "note"
    left = tmp_path / "note.new"
    left.write_text("half")
    left.chmod(0o444)
    for content in (b"first", b"second"):
        disk.write_whole(str(path), content, durable=True)
        assert path.read_bytes() == content
    path.chmod(0o444)
    disk.write_whole(str(path), b"third")
    assert path.read_bytes() == b"third"
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        disk.write_whole(str(tmp_path / "folder"), b"x")
    assert sorted(os.listdir(tmp_path)) == ["folder", "note", "note.new"], "nothing of its own is left"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write what is read-only")
def test_what_gets_its_name_while_it_is_opened_again_is_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tmp_path / "part"
    part.write_bytes(b"whole")
    part.chmod(0o444)

    def finished_meanwhile(path: str) -> os.stat_result:
        monkeypatch.undo()
        part.rename(tmp_path / "object")
        return os.lstat(path)

    monkeypatch.setattr(disk.os, "lstat", finished_meanwhile)
    fd = disk.reopen(str(part))
    assert fd is not None
    os.close(fd)
    part.unlink()
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError):
        disk.reopen(str(tmp_path / "part"))
    tmp_path.chmod(0o755)


def test_a_good_object_that_took_the_place_of_a_bad_one_meanwhile_is_not_set_aside(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = store.put(b"content")
    examine = store._examine
    answers = iter([("its content is another one", None)])
    monkeypatch.setattr(store, "_examine", lambda digest: next(answers, None) or examine(digest))
    assert store.verify(digest)
    assert store.holds(digest, 7)
    assert not store.is_quarantined(digest)
