"""The folder of a worker: nothing false gets in, what is lacking is named, and eviction spares what runs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gitml.cluster.content.content_ids import GIT_BLOB, GIT_TREE, stored_name
from gitml.cluster.worker import folder_gc
from gitml.cluster.worker.folder import FolderSpec, WorkerFolder
from gitml.cluster.worker.folder_gc import YOUNG
from gitml.core.model.digest import digest_of
from gitml.core.model.tree import TreeEntry, encode_tree
from gitml.errors import IntegrityError, MachineError


def folder(tmp_path: Path, limit: int | None = None) -> WorkerFolder:
    made = FolderSpec(str(tmp_path / "w"), limit).open({"HOME": str(tmp_path)})
    assert isinstance(made, WorkerFolder)
    return made


def blob(content: bytes) -> str:
    return stored_name(digest_of(content), tree=False)


def git(kind: str, content: bytes) -> tuple[str, bytes]:
    raw = f"{kind} {len(content)}\0".encode() + content
    return f"git-{kind}:{hashlib.sha1(raw).hexdigest()}", raw


def test_what_is_lacking_is_named_down_to_the_leaves_and_no_further(tmp_path: Path) -> None:
    place = folder(tmp_path)
    inner = encode_tree([TreeEntry(b"f", "f", digest_of(b"content"), 7)])
    outer = encode_tree([TreeEntry(b"d", "d", digest_of(inner), 7), TreeEntry(b"g", "f", digest_of(b"here"), 4)])
    root, below = stored_name(digest_of(outer), tree=True), stored_name(digest_of(inner), tree=True)
    assert place.missing([root]) == [root]
    place.put({root: outer, blob(b"here"): b"here"})
    assert place.missing([root]) == [below]
    place.put({below: inner})
    assert place.missing([root]) == [blob(b"content")]
    place.put({blob(b"content"): b"content"})
    assert place.missing([root]) == []
    assert [name for name, _ in place.contents_of(root)] == [blob(b"content"), below, blob(b"here"), root], (
        "children first"
    )


def test_objects_of_git_bring_their_trees_and_the_content_of_pointers(tmp_path: Path) -> None:
    place = folder(tmp_path)
    large = b"large" * 100
    sha = hashlib.sha256(large).hexdigest()
    pointer, raw = git("blob", f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize 500\n".encode())
    tree, listing = git("tree", b"100644 weights\0" + bytes.fromhex(pointer.partition(":")[2]))
    assert (pointer.startswith(GIT_BLOB), tree.startswith(GIT_TREE)) == (True, True)
    place.put({tree: listing})
    assert place.missing([tree]) == [pointer]
    place.put({pointer: raw})
    assert place.missing([tree]) == [f"blob:{sha}"]
    place.put({f"blob:{sha}": large})
    assert place.missing([tree]) == []


@pytest.mark.parametrize("kind", ["blob", "git"])
def test_other_bytes_than_the_name_says_are_refused_and_leave_nothing(tmp_path: Path, kind: str) -> None:
    place = folder(tmp_path)
    name = blob(b"right") if kind == "blob" else git("blob", b"right")[0]
    with pytest.raises(IntegrityError, match="other bytes arrived"):
        place.put({name: b"wrong"})
    assert place.missing([name]) == [name]
    assert [path for path in Path(place.root).rglob("*") if path.is_file() and path.name not in ("boot",)] == []


def test_a_content_arrives_in_pieces_and_goes_on_where_it_stood(tmp_path: Path) -> None:
    place = folder(tmp_path)
    content = os.urandom(3_000_000)
    arriving = place.open_writer(blob(content), len(content))
    arriving.write(content[:2_000_000])
    assert arriving.position == 2_000_000
    arriving.write(memoryview(content)[2_000_000:])
    arriving.commit()
    with place.open(blob(content)) as file:
        assert file.read() == content


def test_eviction_keeps_what_runs_and_what_was_used_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitml.cluster.worker.folder_gc.YOUNG", -1.0)
    assert YOUNG > 0
    place = folder(tmp_path, limit=50_000)
    contents = [os.urandom(10_000) for _ in range(8)]
    for number, content in enumerate(contents):
        place.put({blob(content): content})
        place.gc.note_added([blob(content)], 0)
        mark = Path(place.root, "used", blob(content).replace(":", "+"))
        os.utime(mark, (1000 + number, 1000 + number))
    pin = place.gc.pin("run-1", [blob(contents[0])])
    os.utime(Path(place.root, "used", blob(contents[0]).replace(":", "+")), (1, 1))
    place.gc.collect(now=True)
    here = [number for number, content in enumerate(contents) if place.missing([blob(content)]) == []]
    assert here == [0, 4, 5, 6, 7], "the pinned one, and those used last within 80 % of the limit"
    os.close(pin)
    place.put({blob(content): content for content in contents})
    place.gc.collect(now=True)
    assert place.missing([blob(contents[0])]) != [], "nothing pins it any more"


def test_what_a_killed_attempt_left_is_removed(tmp_path: Path) -> None:
    place = folder(tmp_path)
    os.close(place.gc.pin("run-2", []))  # as the kernel does for a killed process
    left = Path(place.root, "live", "run-2", "work")
    left.mkdir(parents=True)
    running = place.gc.pin("run-3", [])
    kept = Path(place.root, "live", "run-3", "work")
    kept.mkdir(parents=True)
    place.gc.collect(now=True)
    assert (left.exists(), kept.exists()) == (False, True)
    os.close(running)


def test_a_pin_that_goes_while_they_are_looked_through_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder(tmp_path)
    ending, running = place.gc.pin("run-1", []), place.gc.pin("run-2", [blob(b"needed")])
    listed = os.listdir

    def list_and_end(path: str) -> list[str]:
        names = listed(path)
        if path.endswith("pins") and "run-1" in names:
            place.gc.unpin("run-1", ending)
        return names

    monkeypatch.setattr(os, "listdir", list_and_end)
    assert place.gc._pinned() == [blob(b"needed")]
    place.gc.unpin("run-2", running)


def test_what_never_came_whole_is_removed_once_nobody_wrote_to_it_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder(tmp_path)
    name, raw = git("blob", b"half")
    arriving = [place.open_writer(blob(b"content"), 7), place.open_writer(name, len(raw))]
    for one in arriving:
        one.write(b"c")
    log = Path(place.root, "live", "run-2.log")
    log.parent.mkdir()
    log.write_text("said\n")

    def left() -> list[Path]:
        return [path for path in Path(place.root).rglob("*") if path.parent.name in ("tmp", "git", "live")]

    assert len(left()) == 3
    place.gc.collect(now=True)
    assert len(left()) == 3, "it may still come"
    monkeypatch.setattr(folder_gc, "STALE", -1.0)
    place.gc.collect(now=True)
    assert left() == []


def test_a_content_that_finds_no_room_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder(tmp_path)
    name, raw = git("blob", b"x")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    for contents in ({name: raw}, {blob(b"x"): b"x"}):
        with pytest.raises(MachineError):
            place.put(contents)
    assert [path.name for path in Path(place.root).rglob("*") if path.parent.name in ("tmp", "git")] == []


def test_a_file_that_another_process_found_damaged_is_lacking_in_a_tree_known_to_be_whole(tmp_path: Path) -> None:
    place, other = folder(tmp_path), folder(tmp_path)
    source = Path(place.root, "source")
    source.mkdir()
    for number in range(300):  # so many that it is remembered to be whole
        (source / str(number)).write_text(f"content {number}\n")
    digest, _ = place.store.ingest_tree(str(source))
    root = stored_name(digest, tree=True)
    assert place.missing([root]) == []
    bad = other.store.listing(digest)[5].digest
    path = Path(other.store.path_of(bad))
    path.chmod(0o644)
    path.write_text("scribbled")
    assert not other.store.is_intact(bad)
    assert place.missing([root]) == [stored_name(bad, tree=False)]


@pytest.mark.needs_linux("the time since a machine of a cluster was started has a name")
def test_after_the_machine_was_started_anew_large_contents_are_hashed_before_use(tmp_path: Path) -> None:
    place = folder(tmp_path)
    content = os.urandom(2_000_000)
    place.put({blob(content): content})
    path = place.store.path_of(digest_of(content))
    stat = os.stat(path)
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:  # as a crash leaves what was not synced
        file.write(bytes(1000))
    os.chmod(path, 0o444)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert folder(tmp_path).missing([blob(content)]) == [], "a stat can't tell"
    Path(place.root, "boot").write_text("another")
    assert folder(tmp_path).missing([blob(content)]) == [blob(content)]


def test_a_commit_brings_its_trees_and_none_of_their_files_also_where_eviction_counts(tmp_path: Path) -> None:
    place = folder(tmp_path, 1000)
    file, content = git("blob", b"content")
    inner, inside = git("tree", b"100644 f\0" + bytes.fromhex(file.partition(":")[2]))
    outer, listing = git("tree", b"40000 d\0" + bytes.fromhex(inner.partition(":")[2]))
    commit, text = git("commit", f"tree {outer.partition(':')[2]}\nauthor a <a> 1 +0000\n\nm\n".encode())
    as_listing = [name.replace("git-tree", "git-listing") for name in (outer, inner)]
    assert place.missing([commit]) == [commit]
    place.put({commit: text})
    assert place.missing([commit]) == [as_listing[0]]
    place.put({as_listing[0]: listing})
    assert place.missing([commit]) == [as_listing[1]]
    place.put({as_listing[1]: inside})
    assert place.missing([commit]) == []
    assert place.missing([commit, inner]) == [file], "as code a tree stands for its files"
    place.put({file: content})
    found: set[str] = set()
    sizes = place.gc._add(commit, found) + place.gc._add(inner, found)
    assert sizes == sum(map(len, (text, listing, inside, content)))
    assert {file.partition(":")[2], inner.partition(":")[2]} <= found
