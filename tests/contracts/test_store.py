"""What every Store does, whatever it is made of."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.protocols import Store
from gitml.core.model.tree import TreeEntry, decode_tree, encode_tree
from gitml.errors import InputError, IntegrityError, MachineError
from gitml.store.local.store import LocalStore
from tests.kit.memory_store import MemoryStore

MAKERS: dict[str, Callable[[Path], Store]] = {
    "local": lambda path: LocalStore(str(path / "gitml")),
    "memory": lambda path: MemoryStore(),
}
BIG = os.urandom(3 << 20)


@pytest.fixture(params=sorted(MAKERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MAKERS[request.param](tmp_path)


def snapshot(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = os.fsencode(path.relative_to(root)).decode("utf-8", "surrogateescape")
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_dir():
            found[name] = "folder"
        else:
            found[name] = (path.read_bytes(), bool(path.stat().st_mode & stat.S_IXUSR))
    return found


def make_tree(root: Path) -> Path:
    (root / "a" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "a" / "one.txt").write_bytes(b"one")
    (root / "a" / "deep" / "same.txt").write_bytes(b"one")
    (root / "none").write_bytes(b"")
    (root / "big.bin").write_bytes(BIG)
    (root / "tool.sh").write_bytes(b"#!/bin/sh\n")
    (root / "tool.sh").chmod(0o755)
    (root / "a" / "up").symlink_to("../tool.sh")
    (root / "dangling").symlink_to("a/not/here")
    with open(os.fsencode(root) + b"/not-utf8-\xff", "wb") as file:
        file.write(b"latin")
    return root


def test_what_is_put_can_be_read_opened_and_is_had(store: Store) -> None:
    for content in (b"", b"hello", BIG):
        digest = store.put(content)
        assert digest == digest_of(content)
        assert store.put(content) == digest
        assert store.has(digest, len(content), tree=False)
        assert not store.has(digest, len(content) + 1, tree=False)
        assert store.read(digest) == content
        with store.open(digest) as file:
            assert file.read() == content


def test_what_was_never_put_is_missing(store: Store, tmp_path: Path) -> None:
    digest = digest_of(b"never")
    assert not store.has(digest, 5, tree=False)
    assert not store.has(digest, 5, tree=True)
    for attempt in (
        lambda: store.read(digest),
        lambda: store.open(digest),
        lambda: store.materialize_file(digest, str(tmp_path / "x")),
        lambda: store.materialize_tree(digest, str(tmp_path / "y")),
    ):
        with pytest.raises(IntegrityError):
            attempt()
    assert not (tmp_path / "x").exists()


def test_a_file_taken_is_moved_in_and_comes_back(store: Store, tmp_path: Path) -> None:
    for n, content in enumerate((b"", b"hello", BIG)):
        source = tmp_path / f"in{n}"
        source.write_bytes(content)
        assert store.ingest_file(str(source)) == (digest_of(content), len(content))
        assert not source.exists()
        store.materialize_file(digest_of(content), str(tmp_path / f"out{n}"))
        assert (tmp_path / f"out{n}").read_bytes() == content
        source.write_bytes(content)
        assert store.ingest_file(str(source)) == (digest_of(content), len(content))
        assert not source.exists()


def test_an_executable_is_placed_executable_and_its_content_elsewhere_is_not(store: Store, tmp_path: Path) -> None:
    digest = store.put(b"#!/bin/sh\n")
    store.materialize_file(digest, str(tmp_path / "plain"))
    store.materialize_file(digest, str(tmp_path / "tool"), executable=True)
    assert not (tmp_path / "plain").stat().st_mode & 0o111
    assert (tmp_path / "tool").stat().st_mode & 0o111 == 0o111
    assert store.has(digest, 10, tree=False)


def test_nothing_is_placed_over_what_is_there(store: Store, tmp_path: Path) -> None:
    digest = store.put(b"new")
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / "link").symlink_to("elsewhere")
    for name in ("there", "link"):
        for executable in (False, True):
            with pytest.raises(MachineError):
                store.materialize_file(digest, str(tmp_path / name), executable=executable)
    assert (tmp_path / "there").read_bytes() == b"old"
    assert not (tmp_path / "elsewhere").exists()


def test_a_tree_taken_comes_back_the_same_and_is_gone_from_where_it_was(store: Store, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "in")
    before = snapshot(source)
    digest, size = store.ingest_tree(str(source))
    assert not source.exists()
    assert size == 3 + 3 + 0 + len(BIG) + 10 + 5 + len("../tool.sh") + len("a/not/here")
    assert store.has(digest, size, tree=True)
    assert not store.has(digest, size + 1, tree=True)
    store.materialize_tree(digest, str(tmp_path / "out"))
    assert snapshot(tmp_path / "out") == before


def test_equal_directories_have_equal_digests_whatever_their_times(store: Store, tmp_path: Path) -> None:
    first = make_tree(tmp_path / "one")
    second = make_tree(tmp_path / "two")
    os.utime(second / "none", (5, 5))
    assert store.ingest_tree(str(first)) == store.ingest_tree(str(second))


def test_a_directory_placed_can_be_added_to(store: Store, tmp_path: Path) -> None:
    digest, _ = store.ingest_tree(str(make_tree(tmp_path / "in")))
    store.materialize_tree(digest, str(tmp_path / "out"))
    (tmp_path / "out" / "a" / "new").write_bytes(b"made by a step")
    assert stat.S_IMODE((tmp_path / "out" / "a").stat().st_mode) == 0o755


def test_an_empty_directory_is_a_tree(store: Store, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    digest, size = store.ingest_tree(str(tmp_path / "in"))
    assert (digest, size) == (digest_of(encode_tree([])), 0)
    store.materialize_tree(digest, str(tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_tree_is_not_had_when_anything_below_it_is_missing(store: Store, tmp_path: Path) -> None:
    digest, size = store.ingest_tree(str(make_tree(tmp_path / "in")))
    store.quarantine(digest_of(b"one"), "for the test")
    assert not store.has(digest, size, tree=True)
    store.put(b"one")
    assert store.has(digest, size, tree=True)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listener(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # socket addresses are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


UNKEEPABLE: dict[str, Callable[[Path], None]] = {
    "fifo": pipe,
    "socket": listener,
    "absolute link": lambda path: path.symlink_to("/etc/passwd"),
    "link out": lambda path: path.symlink_to("../../secret"),
    "link out through a name": lambda path: path.symlink_to("up/../../secret"),
}


@pytest.mark.parametrize("what", sorted(UNKEEPABLE))
def test_what_cannot_be_kept_is_named(store: Store, tmp_path: Path, what: str) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    UNKEEPABLE[what](tmp_path / "in" / "sub" / "odd")
    with pytest.raises(InputError) as caught:
        store.ingest_tree(str(tmp_path / "in"))
    assert caught.value.where == "sub/odd"


def test_a_chain_of_links_cannot_lead_out(store: Store, tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "root").symlink_to("..")
    (tmp_path / "in" / "zout").symlink_to("sub/root/../secret")
    with pytest.raises(InputError) as caught:
        store.ingest_tree(str(tmp_path / "in"))
    assert caught.value.where == "zout"


@pytest.mark.parametrize("name", [".git", ".GIT", "git~1", ".git.", ".g\u200cit"])
@pytest.mark.parametrize("folder", [True, False])
def test_a_git_repository_is_neither_taken_nor_placed(store: Store, tmp_path: Path, name: str, folder: bool) -> None:
    place = tmp_path / "tree/below" / name
    place.parent.mkdir(parents=True)
    (place.parent / "beside").write_bytes(b"beside")
    if folder:
        (place / "hooks").mkdir(parents=True)
    else:
        place.write_text("gitdir: /elsewhere\n")
    with pytest.raises(InputError) as refused:
        store.ingest_tree(str(tmp_path / "tree"))
    assert refused.value.where == f"below/{name}"
    blob = store.put(b"[core]\n")
    listing = encode_tree([TreeEntry(os.fsencode(name), "f", blob, 7)])
    tree = store.put(encode_tree([TreeEntry(b"below", "d", store.put(listing), 7)]))
    with pytest.raises(InputError):
        store.materialize_tree(tree, str(tmp_path / "out"))
    assert not (tmp_path / "out/below" / name).exists()


def test_only_regular_files_are_taken_as_files_and_directories_as_trees(store: Store, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folderlink").symlink_to("folder")
    os.mkfifo(tmp_path / "fifo")
    for name in ("folder", "link", "fifo", "nothing"):
        with pytest.raises(InputError):
            store.ingest_file(str(tmp_path / name))
    for name in ("file", "link", "folderlink", "fifo", "nothing"):
        with pytest.raises(InputError):
            store.ingest_tree(str(tmp_path / name))
    assert (tmp_path / "file").read_bytes() == b"x"


def test_a_blob_is_not_a_tree(store: Store, tmp_path: Path) -> None:
    digest = store.put(b"no listing")
    assert not store.has(digest, 10, tree=True)
    with pytest.raises(IntegrityError):
        store.materialize_tree(digest, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_what_is_quarantined_is_missing_until_it_is_kept_again(store: Store) -> None:
    digest = store.put(b"good")
    store.quarantine(digest, "for the test")
    assert not store.has(digest, 4, tree=False)
    with pytest.raises(IntegrityError):
        store.read(digest)
    store.quarantine(digest, "again: nothing is there")
    assert store.put(b"good") == digest
    assert store.read(digest) == b"good"


names = st.binary(min_size=1, max_size=12).filter(lambda n: b"/" not in n and b"\0" not in n and n not in (b".", b".."))
trees = st.recursive(
    st.binary(max_size=40),
    lambda below: st.dictionaries(names, below, max_size=4),
    max_leaves=12,
).filter(lambda tree: isinstance(tree, dict))


@pytest.mark.parametrize("kind", sorted(MAKERS))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees)
def test_any_directory_comes_back_byte_for_byte(
    kind: str, tmp_path_factory: pytest.TempPathFactory, tree: object
) -> None:
    home = tmp_path_factory.mktemp("any")
    store = MAKERS[kind](home)

    def write(path: bytes, node: object) -> None:
        if isinstance(node, dict):
            os.mkdir(path)
            for name, below in node.items():
                write(path + b"/" + name, below)
        else:
            with open(path, "wb") as file:
                file.write(node)  # type: ignore[arg-type]

    def expected(node: object) -> tuple[Digest, int]:
        entries = []
        assert isinstance(node, dict)
        for name, below in node.items():
            if isinstance(below, dict):
                entries.append(TreeEntry(name, "d", *expected(below)))
            else:
                entries.append(TreeEntry(name, "f", digest_of(below), len(below)))
        return digest_of(encode_tree(entries)), sum(entry.size for entry in entries)

    write(os.fsencode(home / "in"), tree)
    before = snapshot(home / "in")
    digest, size = store.ingest_tree(str(home / "in"))
    assert (digest, size) == expected(tree)
    assert decode_tree(store.read(digest)) is not None
    store.materialize_tree(digest, str(home / "out"))
    assert snapshot(home / "out") == before
