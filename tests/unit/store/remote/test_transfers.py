"""Uploads and downloads: only what is lacking moves, nothing bad ever becomes visible, and what was moved isn't moved again."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gitml.core.config.remotes import Manifest, StoredObject, decode_manifest, encode_manifest
from gitml.core.model.digest import Digest, digest_of, hex_of
from gitml.core.model.pack import LARGEST, TARGET, decode_index
from gitml.core.model.tree import TreeEntry, decode_tree, encode_tree
from gitml.errors import RemoteError
from gitml.store.local import disk
from gitml.store.remote.backends.folder import FolderRemote
from gitml.store.remote.backends.partial_upload import KEPT, kept_name
from gitml.store.remote.cache import RemoteSource
from gitml.store.remote.transfer.download import download_roots
from gitml.store.remote.transfer.progress import PartialTree, TransferRoot, TransferStoppedError
from gitml.store.remote.transfer.upload import Uploader
from tests.unit.store.remote.conftest import Side

LARGE = os.urandom(LARGEST + 100)
FILES = {
    "a": b"a" * 100,
    "sub/b": b"b" * 200,
    "sub/deep/c": b"c",
    "sub/deep/again": b"a" * 100,
    "none": b"",
    "large": LARGE,
}


def objects(remote: FolderRemote) -> dict[str, Path]:
    return {path.parent.name + path.name: path for path in Path(remote.root, "objects").glob("*/*")}


def part_of(side: Side, blob: TransferRoot) -> Path:
    """Where a download of `blob` lies until it is complete and has its name."""
    return Path(side.store.new_temporary()).with_name(f"part-{hex_of(blob.digest)}")


def overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def manifest_of(remote: FolderRemote, root: TransferRoot) -> Manifest:
    content = remote.manifest(root.digest)
    assert content is not None
    return decode_manifest(content, root.digest)


def test_what_is_sent_comes_back_the_same(one: Side, two: Side, remote: FolderRemote) -> None:
    roots = [one.tree(FILES), one.blob(b"small"), one.blob(LARGE * 3), one.tree({}, "empty")]
    sent = one.send(remote, *roots)
    assert set(sent.sent) == set(roots)
    assert sent.refused == sent.missing == ()
    brought = two.fetch([remote], *roots)
    assert brought.here == tuple(roots)
    assert brought.lost == brought.problems == ()
    assert all(two.has(root) for root in roots)
    assert not list(Path(two.store.temporaries).iterdir())


@pytest.mark.slow
def test_small_files_of_a_directory_are_few_objects_and_large_ones_their_own(one: Side, remote: FolderRemote) -> None:
    root = one.tree({f"{n:04d}": b"%d" % n * 50 for n in range(2000)} | {"large": LARGE})
    one.send(remote, root)
    manifest = manifest_of(remote, root)
    assert (len(manifest.packs), len(manifest.listings)) == (1, 1)
    assert manifest.objects == (StoredObject(digest_of(LARGE), len(LARGE)),)
    assert {hex_of(item.digest) for item in manifest.parts} == set(objects(remote))


def test_packs_stay_of_a_size(one: Side, remote: FolderRemote) -> None:
    root = one.tree({f"{n}": os.urandom(900_000) for n in range(20)})
    one.send(remote, root)
    packs = manifest_of(remote, root).packs
    assert len(packs) == 3
    assert all(pack.size < TARGET + 2000 for pack in packs)


def test_nothing_is_sent_twice_by_anyone(one: Side, two: Side, remote: FolderRemote) -> None:
    root, blob = one.tree(FILES), one.blob(b"small")
    one.send(remote, root, blob)
    before = {name: path.stat().st_mtime_ns for name, path in objects(remote).items()}
    again = one.send(remote, root, blob)
    assert (again.objects, again.bytes, again.there) == (0, 0, 2)
    two.tree(FILES)
    two.blob(b"small")
    other = two.send(remote, root, blob)
    assert (other.objects, other.bytes, other.there) == (0, 0, 2)
    assert {name: path.stat().st_mtime_ns for name, path in objects(remote).items()} == before


def test_of_a_directory_that_changed_little_little_is_sent_and_fetched(
    one: Side, two: Side, remote: FolderRemote
) -> None:
    files = {f"{n:03d}": os.urandom(3000) for n in range(300)}
    first = one.tree(files)
    one.send(remote, first)
    two.fetch([remote], first)
    second = one.tree(files | {"007": b"other"})
    sent = one.send(remote, second)
    assert sent.bytes < 60_000  # the new file, and listings
    brought = two.fetch([remote], second)
    assert two.has(second)
    assert brought.bytes < 60_000


def test_a_pack_of_which_little_is_wanted_is_not_named_again(one: Side, remote: FolderRemote) -> None:
    files = {f"{n:03d}": os.urandom(3000) for n in range(300)}
    one.send(remote, one.tree(files))
    few = one.tree({name: files[name] for name in list(files)[:10]})
    one.send(remote, few)
    assert sum(item.size for item in manifest_of(remote, few).packs) < 50_000


def test_a_file_of_a_directory_that_is_asked_for_by_itself_is_an_object_of_its_own(
    one: Side, two: Side, remote: FolderRemote
) -> None:
    one.send(remote, one.tree(FILES))
    blob = one.blob(FILES["a"])
    assert one.send(remote, blob).sent == (blob,)
    assert two.fetch([remote], blob).here == (blob,)


def test_a_plan_tells_what_would_move_and_moves_nothing(one: Side, remote: FolderRemote) -> None:
    root, blob = one.tree(FILES), one.blob(b"small")
    gone = TransferRoot(digest_of(b"gone"), 4, False, "gone")
    plan = one.plan(remote, root, blob, gone)
    assert plan.missing == (gone,)
    assert not os.path.exists(remote.root)
    sent = one.send(remote, root, blob, gone)
    assert (sent.objects, sent.bytes) == (plan.transfers, plan.bytes)
    assert sent.missing == (gone,)


@pytest.mark.parametrize("bad", ["a", "large"])
def test_what_is_damaged_here_is_refused_set_aside_and_everything_else_is_sent(
    one: Side, remote: FolderRemote, bad: str
) -> None:
    root, blob = one.tree(FILES), one.blob(b"small")
    digest = digest_of(FILES[bad])
    path = Path(one.store.path_of(digest))
    found = path.stat()
    overwrite(path, bytes([FILES[bad][0] ^ 1]) + FILES[bad][1:])
    path.chmod(0o444)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))  # so that no stat tells
    sent = one.send(remote, root, blob)
    assert sent.sent == (blob,)
    ((name, why),) = sent.refused
    assert name == "tree"
    assert "content is sha256" in why
    assert remote.with_manifest([root.digest]) == set()
    assert hex_of(digest) not in objects(remote)
    assert one.store.is_quarantined(digest)
    one.store.put(FILES[bad]) if bad == "a" else one.blob(LARGE)
    assert one.send(remote, root).sent == (root,)


def test_of_a_directory_only_the_wanted_part_is_fetched(one: Side, two: Side, remote: FolderRemote) -> None:
    files = {name: os.urandom(LARGEST + n) for n, name in enumerate(("a", "b", "sub/c", "sub/d"))}
    root = one.tree(files)
    one.send(remote, root)
    a, b, sub = decode_tree(one.store.read(root.digest))
    c, _ = decode_tree(one.store.read(sub.digest))
    assert two.fetch([remote], root._replace(part=PartialTree(((a.digest, a.size, False),)))).bytes < 2 * LARGEST
    assert two.store.is_intact(a.digest)
    assert not two.store.is_intact(b.digest)
    listing = encode_tree([c._replace(name=b"other")])  # which no remote store has
    inner = TreeEntry(b"inner", "d", digest_of(listing), c.size)
    outer = encode_tree([inner])
    made = (inner.digest, listing), (digest_of(outer), outer)
    matching = root._replace(part=PartialTree(((digest_of(outer), c.size, True),), made))
    assert two.fetch([remote], matching).here == (matching,)
    assert two.store.has(digest_of(outer), c.size, tree=True)
    assert not two.has(root)
    folder = root._replace(part=PartialTree(((sub.digest, sub.size, True),)))
    assert two.fetch([remote], folder).bytes < 2 * LARGEST  # c was there
    assert two.store.has(sub.digest, sub.size, tree=True)
    assert two.fetch([remote], root).here == (root,)
    assert two.has(root)


def test_a_part_that_a_remote_has_wrong_or_lacks_is_lost_and_nothing_shows_it(
    one: Side, two: Side, remote: FolderRemote
) -> None:
    root = one.tree(FILES)
    one.send(remote, root)
    large = next(entry for entry in decode_tree(one.store.read(root.digest)) if entry.name == b"large")
    part = root._replace(part=PartialTree(((large.digest, large.size, False),)))
    overwrite(objects(remote)[hex_of(large.digest)], LARGE[:-1] + bytes([LARGE[-1] ^ 1]))
    lost = two.fetch([remote], part)
    assert lost.lost == (part,)
    assert lost.problems
    assert not two.store.is_intact(large.digest)
    strange = root._replace(part=PartialTree(((digest_of(b"of another directory"), 20, False),)))
    assert two.fetch([remote], strange).lost == (strange,)
    assert not two.store.is_intact(digest_of(b"of another directory"))


def test_wrong_bytes_from_a_remote_are_refused_and_the_next_remote_heals(
    one: Side, two: Side, another: Callable[[str], FolderRemote]
) -> None:
    bad, good = another("bad"), another("good")
    root, blob = one.tree(FILES), one.blob(LARGE)
    for remote in (bad, good):
        one.send(remote, root, blob)
    for path in objects(bad).values():
        content = path.read_bytes()
        overwrite(path, content[:-1] + bytes([content[-1] ^ 1]))
    alone = two.fetch([bad], root, blob)
    assert set(alone.lost) == {root, blob}
    assert not two.has(root)
    assert not two.has(blob)
    assert {problem.remote for problem in alone.problems} == {"bad"}
    assert any("came wrong" in problem.what for problem in alone.problems)
    assert list(Path(two.store.quarantined).glob("*.remote.*"))
    assert not two.store.is_quarantined(blob.digest)  # nothing of this machine was bad
    healed = two.fetch([bad, good], root, blob)
    assert set(healed.here) == {root, blob}
    assert two.has(root)
    assert two.has(blob)
    assert two.send(bad, root, blob).refused == ()  # what is known to be bad there is brought anew
    third = Side(two.path.parent / "three").fetch([bad], root, blob)
    assert third.problems == ()
    assert third.lost == ()


@pytest.mark.parametrize("part", ["listings", "packs", "objects"])
def test_a_directory_with_a_part_missing_in_the_remote_stays_invisible(
    one: Side, two: Side, remote: FolderRemote, part: str
) -> None:
    root = one.tree(FILES)
    one.send(remote, root)
    gone = getattr(manifest_of(remote, root), part)[0]
    objects(remote)[hex_of(gone.digest)].unlink()
    brought = two.fetch([remote], root)
    assert brought.lost == (root,)
    assert [problem.digest for problem in brought.problems] == [gone.digest]
    assert not os.path.exists(two.store.path_of(root.digest))


def test_a_manifest_that_lies_is_found_out(one: Side, two: Side, remote: FolderRemote) -> None:
    root, other = one.tree(FILES), one.tree({"x": b"x"})
    one.send(remote, root, other)
    good = manifest_of(remote, root)
    listing = encode_tree([TreeEntry(b"x", "f", digest_of(b"x"), 1)])
    for number, lie in enumerate(
        (
            b"{}",
            b"no JSON",
            b'{"format": 2}',
            remote.manifest(other.digest) or b"",
            encode_manifest(good._replace(packs=())),
            encode_manifest(good._replace(objects=())),
            encode_manifest(good._replace(listings=())),
            encode_manifest(good._replace(packs=(StoredObject(digest_of(b"x"), 1 << 40),))),
            encode_manifest(good._replace(listings=(StoredObject(digest_of(listing), len(listing)),))),
        )
    ):
        remote.put_manifests({root.digest: lie})
        fresh = Side(two.path / str(number))
        brought = fresh.fetch([remote], root)
        assert brought.lost == (root,), lie
        assert brought.problems, lie
        assert not fresh.has(root)
    remote.put_manifests({root.digest: encode_manifest(good)})
    assert two.fetch([remote], root).lost == ()


def test_a_download_that_was_cut_goes_on_where_it_was(two: Side, one: Side, remote: FolderRemote) -> None:
    content = os.urandom(6 << 20)
    blob = one.blob(content)
    one.send(remote, blob)
    part = part_of(two, blob)
    part.write_bytes(content[: 4 << 20])
    asked: list[int] = []
    plain = remote.get
    remote.get = lambda item, start=0: (asked.append(start), plain(item, start))[1]  # type: ignore[method-assign, assignment, misc]
    assert two.fetch([remote], blob).here == (blob,)
    assert asked == [4 << 20]
    assert two.has(blob)


def test_a_damaged_beginning_of_a_cut_download_is_no_fault_of_the_remote(
    one: Side, two: Side, remote: FolderRemote
) -> None:
    content = os.urandom(6 << 20)
    blob = one.blob(content)
    one.send(remote, blob)
    part = part_of(two, blob)
    for bad in (b"?" * 1000, content + b"more"):
        part.write_bytes(bad)
        brought = two.fetch([remote], blob)
        assert (brought.here, brought.problems) == ((blob,), ())
        two.store.delete(blob.digest)


def test_a_download_that_was_killed_between_complete_and_named_is_finished(
    one: Side, two: Side, remote: FolderRemote
) -> None:
    # Complete is read-only: an ordinary user (root may open anything) must be let in again.
    content = os.urandom(6 << 20)
    blob = one.blob(content)
    one.send(remote, blob)
    for bad in (content, b"?" * 1000):
        part = part_of(two, blob)
        part.write_bytes(bad)
        part.chmod(0o444)
        brought = two.fetch([remote], blob)
        assert (brought.here, brought.problems) == ((blob,), ())
        assert not part.exists()
        assert two.has(blob)
        two.store.delete(blob.digest)


def test_a_download_that_another_process_is_about_to_name_is_waited_for(
    one: Side, two: Side, remote: FolderRemote
) -> None:
    content = os.urandom(6 << 20)
    blob = one.blob(content)
    one.send(remote, blob)
    part = part_of(two, blob)
    part.write_bytes(content)
    target = Path(two.store.path_of(blob.digest))
    target.parent.mkdir(parents=True)
    with open(part, "rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        disk.make_canonical(writer.fileno())
        other = threading.Timer(0.3, lambda: (part.rename(target), fcntl.flock(writer, fcntl.LOCK_UN)))
        other.start()
        brought = two.fetch([remote], blob)
        other.join()
    assert (brought.here, brought.problems) == ((blob,), ())
    assert disk.is_untouched(target.stat()), "what has its name stays read-only"


@pytest.mark.parametrize("left", [b"", b"?" * 1000])
def test_an_upload_that_was_killed_between_complete_and_named_is_finished(
    one: Side, two: Side, remote: FolderRemote, left: bytes
) -> None:
    content = os.urandom(KEPT)
    blob = one.blob(content)
    source = one.store.path_of(blob.digest)
    place = Path(remote.root, "objects", hex_of(blob.digest)[:2])
    place.mkdir(parents=True)
    kept = place / kept_name(blob.digest, source)
    kept.write_bytes(left or content)
    kept.chmod(0o444)
    one.send(remote, blob)
    assert [path.read_bytes() == content for path in place.iterdir()] == [True]


def test_a_stopped_upload_keeps_what_was_moved_and_goes_on_from_there(
    one: Side, two: Side, remote: FolderRemote
) -> None:
    blobs = [one.blob(os.urandom(1 << 20)) for _ in range(6)]
    looks = 0

    def stopped() -> bool:
        nonlocal looks
        looks += 1
        return looks > 4

    with pytest.raises(TransferStoppedError):
        one.sender(remote).upload(blobs, stopped=stopped)
    before = set(objects(remote))
    assert all(digest_of(path.read_bytes())[7:] == name for name, path in objects(remote).items())
    sent = one.send(remote, *blobs)
    assert sent.there + len(sent.sent) == 6
    assert set(objects(remote)) > before or len(before) == 6
    assert two.fetch([remote], *blobs).lost == ()


def test_progress_is_told_up_to_the_last_byte(one: Side, remote: FolderRemote) -> None:
    root = one.tree(FILES)
    told = []
    one.sender(remote).upload([root], told.append)
    last = told[-1]
    assert (last.direction, last.remote) == ("upload", "hub")
    assert last.done == last.total > len(LARGE)
    assert last.items == last.of == 3


def test_a_folder_that_is_not_mounted_is_unreachable_not_empty(one: Side, tmp_path: Path) -> None:
    from gitml.core.config.remotes import RemoteSpec

    remote = FolderRemote(RemoteSpec("away", f"file://{tmp_path}/not/mounted/store"), f"{tmp_path}/not/mounted/store")
    blob = one.blob(b"small")
    with pytest.raises(RemoteError, match="no such folder"):
        one.send(remote, blob)
    sources = [RemoteSource(remote, one.known(remote))]
    brought = download_roots(Side(tmp_path / "x").store, sources, one.indexes, [blob])
    assert brought.lost == (blob,)
    assert "no such folder" in brought.problems[0].what


def test_facts_of_a_remote_that_lost_its_objects_do_not_make_a_manifest_that_lies(
    one: Side, two: Side, remote: FolderRemote
) -> None:
    files = {f"{n:03d}": os.urandom(3000) for n in range(50)} | {"large": LARGE}
    one.send(remote, one.tree(files))
    for path in objects(remote).values():
        path.unlink()
    second = one.tree(files | {"000": b"other"})
    one.send(remote, second)
    assert two.fetch([remote], second).lost == ()


def test_the_sender_says_what_it_could_not_find(one: Side, remote: FolderRemote) -> None:
    tree = one.tree(FILES)
    one.store.delete(digest_of(FILES["a"]))
    sent = Uploader(one.store, remote, one.known(remote), one.indexes).upload([tree])
    assert sent.missing == (tree,)
    assert sent.sent == ()


def test_an_index_of_a_pack_is_kept_as_the_pack_begins(one: Side, two: Side, remote: FolderRemote) -> None:
    root = one.tree(FILES)
    one.send(remote, root)
    two.fetch([remote], root)
    (pack,) = manifest_of(remote, root).packs
    data = objects(remote)[hex_of(pack.digest)].read_bytes()
    assert one.indexes.items(pack.digest) == two.indexes.items(pack.digest) == decode_index(data)[0]
    assert one.indexes.items(Digest("sha256:" + "0" * 64)) is None
