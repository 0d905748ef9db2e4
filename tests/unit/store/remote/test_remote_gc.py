"""gc of a remote store: what a record names is never deleted, nor what somebody is just uploading."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gitml.core.model.digest import hex_of
from gitml.errors import IntegrityError, RemoteError
from gitml.store.remote.backends.folder import FolderRemote
from gitml.store.remote.cache import GcNote, decode_note, encode_note
from gitml.store.remote.gc import RemoteSweepResult, sweep_remote
from gitml.store.remote.transfer.progress import TransferRoot
from tests.unit.store.remote.conftest import Side
from tests.unit.store.remote.test_transfers import FILES, objects

DAY = 86400.0


def age(remote: FolderRemote, days: float) -> None:
    for path in Path(remote.root).rglob("*"):
        if path.is_file():
            at = time.time() - days * DAY
            os.utime(path, (at, at))


def sweep(
    side: Side, remote: FolderRemote, *keep: TransferRoot, days: float = 0.0, dry_run: bool = False, grace: float = DAY
) -> RemoteSweepResult:
    kept = {root.digest for root in keep}
    return sweep_remote(remote, side.known(remote), kept, now=time.time() + days * DAY, grace=grace, dry_run=dry_run)


def test_what_is_unneeded_is_first_marked_and_goes_after_the_grace(one: Side, two: Side, remote: FolderRemote) -> None:
    kept, gone, blob = one.tree(FILES), one.tree({"x": b"x" * 99}), one.blob(b"blob")
    one.send(remote, kept, gone, blob)
    fresh = sweep(one, remote, kept)
    assert (fresh.deleted, fresh.doomed) == (0, 0)  # all of it was written just now
    age(remote, 2)
    first = sweep(one, remote, kept)
    assert (first.deleted, first.doomed, first.kept) == (0, 4, 4)
    assert (sweep(one, remote, kept).deleted, sweep(one, remote, kept).doomed) == (0, 0)
    assert sweep(one, remote, kept, days=2, dry_run=True).deleted == 4
    second = sweep(one, remote, kept, days=2)
    assert (second.deleted, second.deleted_bytes) == (4, first.doomed_bytes)
    assert remote.with_manifest([gone.digest]) == set()
    assert two.fetch([remote], kept).lost == ()
    assert two.fetch([remote], gone, blob).lost == (gone, blob)


def test_what_is_needed_again_meanwhile_stays(one: Side, remote: FolderRemote) -> None:
    kept, other = one.tree(FILES), one.blob(b"other")
    one.send(remote, kept, other)
    age(remote, 2)
    assert sweep(one, remote, kept).doomed == 1
    assert sweep(one, remote, kept, other, days=3).deleted == 0
    assert Side(one.path.parent / "x").fetch([remote], other).lost == ()


def test_who_uploads_brings_what_is_doomed_anew_and_it_survives(one: Side, two: Side, remote: FolderRemote) -> None:
    root, blob = one.tree(FILES), one.blob(b"blob")
    one.send(remote, root, blob)
    age(remote, 2)
    assert sweep(one, remote).doomed == 5
    assert two.tree(FILES) == root
    two.blob(b"blob")
    assert set(two.send(remote, root, blob).sent) == {root, blob}  # though all of it was there
    after = sweep(one, remote, days=0.5)
    assert (after.deleted, after.doomed) == (0, 0)
    assert Side(one.path.parent / "x").fetch([remote], root, blob).lost == ()


def test_after_a_deletion_nobody_trusts_what_they_knew(one: Side, two: Side, remote: FolderRemote) -> None:
    files = {f"{n:03d}": os.urandom(3000) for n in range(50)}
    first = one.tree(files)
    one.send(remote, first)
    two.fetch([remote], first)
    age(remote, 2)
    sweep(one, remote)
    assert sweep(one, remote, days=2).deleted == 3
    assert objects(remote) == {}
    second = two.tree(files | {"000": b"other"})
    two.send(remote, second)
    assert Side(one.path.parent / "x").fetch([remote], second).lost == ()
    assert two.send(remote, first).sent == (first,)


def test_without_a_grace_it_goes_at_once(one: Side, remote: FolderRemote) -> None:
    kept, gone = one.tree(FILES), one.blob(b"gone")
    one.send(remote, kept, gone)
    assert sweep(one, remote, kept, grace=0).deleted == 1
    assert Side(one.path.parent / "x").fetch([remote], kept).lost == ()


def test_with_a_damaged_manifest_of_what_is_kept_nothing_is_deleted(one: Side, remote: FolderRemote) -> None:
    kept, gone = one.tree(FILES), one.blob(b"gone")
    one.send(remote, kept, gone)
    remote.put_manifests({kept.digest: b"{}"})
    before = set(objects(remote))
    with pytest.raises(IntegrityError, match="damaged"):
        sweep(one, remote, kept, grace=0)
    assert set(objects(remote)) == before


def test_notes_of_a_newer_gitml_stop_uploads_and_gc(one: Side, remote: FolderRemote) -> None:
    blob = one.blob(b"blob")
    one.send(remote, one.blob(b"first"))
    remote.set_note(b'{"format": 2}')
    with pytest.raises(RemoteError, match="format 2"):
        one.send(remote, blob)
    with pytest.raises(RemoteError, match="format 2"):
        sweep(one, remote)


def test_notes_come_back_the_same(one: Side) -> None:
    digest = one.blob(b"x").digest
    note = GcNote(3, {digest: 12.5})
    assert decode_note(encode_note(note)) == note
    assert decode_note(None) == GcNote()
    for bad in (b"", b"[]", b"{}", b'{"format":1,"epoch":1,"doomed":["' + hex_of(digest).encode() + b'"]}'):
        with pytest.raises(ValueError, match=r"\S"):
            decode_note(bad)


def test_temporaries_that_a_killed_writer_left_go_when_they_are_old(one: Side, remote: FolderRemote) -> None:
    one.send(remote, one.blob(b"blob"))
    folder = next(Path(remote.root, "objects").iterdir())
    young, old = folder / ".1-aa.tmp", folder / ".2-bb.tmp"
    young.write_bytes(b"half")
    old.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * DAY,) * 2)
    list(remote.listed())
    assert young.exists()
    assert not old.exists()
