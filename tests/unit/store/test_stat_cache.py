"""A large object that was written to behind the store's back is found before it is used, however its times were put back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitml.core.model.digest import Digest, digest_of
from gitml.errors import IntegrityError
from gitml.store.local.store import LocalStore

LARGE = os.urandom(3 << 20)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "store"))


@pytest.fixture
def kept(store: LocalStore, tmp_path: Path) -> Digest:
    made = tmp_path / "made"
    made.write_bytes(LARGE)
    return store.ingest_file(str(made))[0]


def again(store: LocalStore) -> LocalStore:
    """The same store as another process sees it."""
    return LocalStore(store.root)


def is_known(store: LocalStore, digest: Digest) -> bool:
    return again(store).stats.agrees(digest, os.lstat(store.path_of(digest)))


def write_and_hide_it(path: str, at: int = 1_000_000) -> None:
    """Changes one byte, and puts back everything that a user can."""
    before = os.stat(path)
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.chmod(path, before.st_mode & 0o7777)


def test_an_object_is_known_from_when_it_was_taken_in(store: LocalStore, kept: Digest) -> None:
    assert is_known(store, kept)


def test_placing_and_removing_leave_it_known(store: LocalStore, kept: Digest, tmp_path: Path) -> None:
    for number in range(3):
        store = again(store)
        placed = str(tmp_path / f"placed{number}")
        store.materialize_file(kept, placed)
        assert os.stat(placed).st_nlink == 2, "it is a link here"
        assert is_known(store, kept)
        assert store.verify_materialized(kept, tree=False) == []
        os.unlink(placed)
        store.release_materialized(kept, tree=False)
        assert is_known(store, kept)


@pytest.mark.parametrize("use", ["place", "open"])
def test_a_byte_that_was_changed_with_its_times_kept_is_found(
    store: LocalStore, kept: Digest, tmp_path: Path, use: str
) -> None:
    write_and_hide_it(store.path_of(kept))
    other = again(store)
    using = {"place": lambda: other.materialize_file(kept, str(tmp_path / "placed")), "open": lambda: other.open(kept)}
    with pytest.raises(IntegrityError):
        using[use]()
    assert not os.path.exists(tmp_path / "placed")
    assert again(store).is_quarantined(kept)


def test_what_is_written_after_a_killed_process_placed_it_is_found(
    store: LocalStore, kept: Digest, tmp_path: Path
) -> None:
    placed = str(tmp_path / "placed")
    script = (
        "import os, signal, sys\n"
        "from gitml.store.local.store import LocalStore\n"
        "LocalStore(sys.argv[1]).materialize_file(sys.argv[2], sys.argv[3])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, store.root, kept, placed], check=False)
    assert killed.returncode == -9
    write_and_hide_it(placed)
    os.unlink(placed)
    with pytest.raises(IntegrityError):
        again(store).materialize_file(kept, placed)


def test_what_a_step_gave_another_name_is_hashed_before_it_is_used_again(
    store: LocalStore, kept: Digest, tmp_path: Path
) -> None:
    placed, elsewhere = str(tmp_path / "placed"), str(tmp_path / "elsewhere")
    store.materialize_file(kept, placed)
    os.link(placed, elsewhere)
    assert store.verify_materialized(kept, tree=False) == []
    os.unlink(placed)
    store.release_materialized(kept, tree=False)
    assert not is_known(store, kept)
    again(store).materialize_file(kept, placed)
    os.unlink(placed)
    write_and_hide_it(elsewhere)
    with pytest.raises(IntegrityError):
        again(store).materialize_file(kept, placed)


def test_what_was_not_looked_at_after_its_step_is_not_known(store: LocalStore, kept: Digest, tmp_path: Path) -> None:
    placed = str(tmp_path / "placed")
    store.materialize_file(kept, placed)
    os.unlink(placed)
    store.release_materialized(kept, tree=False)
    assert not is_known(store, kept)


def test_after_a_new_start_of_the_machine_an_object_is_hashed_once(
    store: LocalStore, kept: Digest, tmp_path: Path
) -> None:
    entry = next(path for path in Path(store.root, "checked").rglob("*") if path.is_file())
    inode, changed, size, _ = entry.read_text().split()
    entry.write_text(f"{inode} {changed} {size} 00000000-0000-0000-0000-000000000000".ljust(119) + "\n")
    assert not is_known(store, kept)
    again(store).open(kept).close()
    assert is_known(store, kept)


@pytest.mark.parametrize("spoilt", [b"", b"1", b"x y z w\n", b"\0" * 300])
def test_a_spoilt_entry_costs_a_hash_and_no_more(store: LocalStore, kept: Digest, spoilt: bytes) -> None:
    entry = next(path for path in Path(store.root, "checked").rglob("*") if path.is_file())
    entry.write_bytes(spoilt)
    assert not is_known(store, kept)
    again(store).open(kept).close()
    assert is_known(store, kept)


def test_a_directory_of_known_files_is_taken_in_again_without_touching_them(store: LocalStore, tmp_path: Path) -> None:
    def made(name: str, *more: str) -> str:
        folder = tmp_path / name
        (folder / "deep").mkdir(parents=True)
        for number in range(50):
            (folder / "deep" / f"{number:02d}").write_text(f"file {number}")
        for new in more:
            (folder / "deep" / new).write_text(new)
        return str(folder)

    first = store.ingest_tree(made("first"), leave=True)
    for path in (tmp_path / "first/deep").iterdir():
        assert path.samefile(store.path_of(digest_of(path.read_bytes()))), "new files are the objects"
    assert again(store).ingest_tree(made("second"), leave=True) == first
    left = list((tmp_path / "second/deep").iterdir())
    assert len(left) >= 49, "none but the first is looked at with a view to moving it"
    assert {path.stat().st_nlink for path in left} == {1}
    digest, _ = again(store).ingest_tree(made("third", "10a", "40a"), leave=True)
    assert [entry.name for entry in store.listing(store.listing(digest)[0].digest)][11] == b"10a"
    assert store.read(store.listing(store.listing(digest)[0].digest)[11].digest) == b"10a"
    assert again(store).ingest_tree(made("fourth")) == first
    assert not (tmp_path / "fourth").exists()


def test_a_damaged_object_is_no_reason_to_give_up_a_good_copy_of_it(store: LocalStore, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        for number in range(4):
            (tmp_path / name / str(number)).write_text(f"file {number}")
    digest, _ = store.ingest_tree(str(tmp_path / "first"))
    spoilt = store.listing(digest)[2].digest
    write_and_hide_it(store.path_of(spoilt), at=2)
    assert again(store).ingest_tree(str(tmp_path / "second"), leave=True)[0] == digest
    assert store.read(spoilt) == b"file 2"
    assert store.is_quarantined(spoilt)


def test_an_entry_goes_with_its_object(store: LocalStore, kept: Digest) -> None:
    store.delete(kept)
    assert [path for path in Path(store.root, "checked").rglob("*") if path.is_file()] == []
