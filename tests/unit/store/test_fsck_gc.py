"""Checking and sweeping: every kind of fault is named, and nothing kept is ever deleted."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.tree import TreeEntry, encode_tree
from gitml.errors import IntegrityError
from gitml.store.local import disk
from gitml.store.local.fsck import StoreFault, check_objects, check_tree, repair_object
from gitml.store.local.gc import SweepResult, sweep
from gitml.store.local.store import LocalStore

LARGE = random.Random(1).randbytes(disk.SMALL + 1)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "gitml"))


def overwrite(store: LocalStore, digest: Digest, content: bytes, *, keep_time: bool = True) -> None:
    path = store.path_of(digest)
    os.chmod(path, 0o644)
    Path(path).write_bytes(content)
    os.chmod(path, 0o444)
    if keep_time:
        os.utime(path, ns=(disk.CANONICAL_NS, disk.CANONICAL_NS))


def kinds(store: LocalStore, deep: bool = False) -> dict[str, str]:
    return {fault.name: fault.kind for fault in check_objects(store, deep)}


def make_tree(store: LocalStore, tmp_path: Path) -> tuple[Digest, int]:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "a").write_bytes(b"a")
    (tmp_path / "in" / "sub" / "b").write_bytes(b"bb")
    (tmp_path / "in" / "link").symlink_to("sub/b")
    return store.ingest_tree(str(tmp_path / "in"))


def test_a_good_store_has_no_faults(store: LocalStore, tmp_path: Path) -> None:
    assert list(check_objects(store)) == []
    digest, size = make_tree(store, tmp_path)
    store.put(LARGE)
    seen: list[tuple[int, int]] = []
    assert list(check_objects(store, True, lambda count, total: seen.append((count, total)))) == []
    assert [count for count, _ in seen] == list(range(1, 7))
    assert list(check_tree(store, digest, size)) == []


def test_every_kind_of_fault_is_named_and_checking_changes_nothing(store: LocalStore) -> None:
    flipped, touched, large, hidden = (store.put(c) for c in (b"flipped", b"touched", LARGE, LARGE + b"2"))
    overwrite(store, flipped, b"flopped")
    overwrite(store, large, LARGE[:-1] + bytes([LARGE[-1] ^ 1]), keep_time=False)
    overwrite(store, hidden, LARGE + b"3")
    os.utime(store.path_of(touched))
    stray = Path(store.path_of(touched)).parent / "stray"
    stray.write_bytes(b"")
    strange = Path(store.objects, "no-folder")
    strange.write_bytes(b"")
    expected = {
        flipped: "corrupt",
        large: "corrupt",
        touched: "touched",
        str(stray): "foreign",
        str(strange): "foreign",
    }
    assert kinds(store) == expected
    assert kinds(store, deep=True) == {**expected, hidden: "corrupt"}
    assert not os.path.exists(store.quarantined)


def test_mending_restores_the_touched_and_sets_the_rest_aside(store: LocalStore) -> None:
    flipped, touched = store.put(b"flipped"), store.put(b"touched")
    overwrite(store, flipped, b"flopped")
    os.utime(store.path_of(touched))
    Path(store.objects, "no-folder").write_bytes(b"")
    done = {fault.kind: repair_object(store, fault) for fault in list(check_objects(store))}
    assert done == {
        "corrupt": "moved to the quarantine",
        "foreign": "moved to the quarantine",
        "touched": "its mode and time are restored",
    }
    assert list(check_objects(store, deep=True)) == []
    assert sorted(os.listdir(store.quarantined)) == sorted(
        [f"{flipped[7:]}.1", f"{flipped[7:]}.1.txt", "no-folder.1", "no-folder.1.txt"]
    )
    assert "run" in repair_object(store, StoreFault("missing", flipped, "for a"))


def test_a_tree_is_checked_down_to_its_files(store: LocalStore, tmp_path: Path) -> None:
    digest, size = make_tree(store, tmp_path)
    assert [fault.kind for fault in check_tree(store, digest, size + 1)] == ["size"]
    store.delete(digest_of(b"bb"))
    assert list(check_tree(store, digest, size)) == [StoreFault("missing", digest_of(b"bb"), "for sub/b")]
    sub = digest_of(encode_tree([TreeEntry(b"b", "f", digest_of(b"bb"), 2)]))
    overwrite(store, sub, b"gitml tree 1\n")
    assert [(fault.kind, fault.name) for fault in check_tree(store, digest)] == [("corrupt", sub)]
    store.delete(sub)
    assert [(fault.kind, fault.name) for fault in check_tree(store, digest)] == [("missing", sub)]
    blob = store.put(b"no listing")
    assert [fault.kind for fault in check_tree(store, blob)] == ["unparsable"]
    lying = store.put(encode_tree([TreeEntry(b"x", "f", digest_of(b"a"), 99)]))
    assert list(check_tree(store, lying)) == [StoreFault("size", digest_of(b"a"), "1 bytes, not 99 (for x)")]


def test_sweeping_keeps_what_is_named_and_all_below_it_and_says_first_what_would_go(
    store: LocalStore, tmp_path: Path
) -> None:
    digest, size = make_tree(store, tmp_path)
    blob, large = store.put(b"blob"), store.put(LARGE)
    garbage = store.put(b"garbage")
    aside = store.put(b"aside")
    store.quarantine(aside, "for the test")
    Path(store.temporaries, "half").write_bytes(b"1234")
    before = sorted(store.iterate())
    would = sweep(store, {digest, blob}, dry_run=True)
    assert sorted(store.iterate()) == before
    assert would == SweepResult(2, len(LARGE) + 7, 6, would.kept_bytes, 1, 4)
    assert sweep(store, {digest, blob}) == would
    fresh = LocalStore(store.root)
    assert fresh.has(digest, size, tree=True)
    assert fresh.has(blob, 4, tree=False)
    assert not fresh.has(garbage, 7, tree=False)
    assert not fresh.has(large, len(LARGE), tree=False)
    assert os.listdir(store.temporaries) == []
    assert len(os.listdir(store.quarantined)) == 2
    assert sweep(store, {digest, blob}).objects == 0


def test_sweeping_with_a_damaged_listing_deletes_nothing(store: LocalStore, tmp_path: Path) -> None:
    digest, _ = make_tree(store, tmp_path)
    other = store.put(encode_tree([]))
    for content in (
        b"gitml tree 1\n",
        b"no header at all",
        Path(store.path_of(digest)).read_bytes().replace(b"a\0", b"b\0"),
    ):
        overwrite(store, digest, content, keep_time=content != b"no header at all")
        before = sorted(store.iterate())
        with pytest.raises(IntegrityError, match="damaged") as caught:
            sweep(store, {digest, other})
        assert "fsck" in str(caught.value.hint)
        assert sorted(store.iterate()) == before


def test_a_file_that_begins_like_a_listing_is_kept_as_the_file_it_is(store: LocalStore) -> None:
    odd = store.put(b"gitml tree 1\nbut only a text about it")
    gone = digest_of(b"not here")
    assert sweep(store, {odd, gone}).objects == 0
    assert store.read(odd).endswith(b"about it")


def test_after_a_sweep_this_process_knows_what_is_gone(store: LocalStore, tmp_path: Path) -> None:
    digest, size = make_tree(store, tmp_path)
    assert store.has(digest, size, tree=True)
    sweep(store, set())
    assert not store.has(digest, size, tree=True)
