from __future__ import annotations

import os
import random
import shutil
import threading

import pytest

from gitml.core.model.protocols import Entry
from gitml.errors import InputError, IntegrityError
from gitml.git.objects.reader import Objects, parse_tree
from gitml.git.objects.source import CommitSource
from gitml.git.repository import discover
from tests.kit.projects.repository import Repository, isolate


@pytest.fixture(params=["sha1", "sha256"])
def repo(tmp_path, monkeypatch, request):
    isolate(monkeypatch)
    return Repository(tmp_path / "r", object_format=request.param)


@pytest.fixture
def objects(repo):
    with Objects(discover(repo.path, {})) as opened:
        yield opened


def test_what_git_stores_is_read(repo, objects):
    commit = repo.commit("one", {"a": "hello", "empty": b"", "nul": b"\0\n\0"})
    tree = objects.tree(objects.resolve("HEAD^{tree}"))
    assert objects.resolve("main") == commit
    assert [objects.read(tree[name].oid) for name in ("a", "empty", "nul")] == [b"hello", b"", b"\0\n\0"]
    assert objects.kind_size(tree["a"].oid) == ("blob", 5)
    assert tree["a"] == Entry("100644", repo.git("rev-parse", "HEAD:a"))


def test_objects_and_refs_made_after_it_started_are_found(repo, objects):
    first = repo.commit("one", {"a": "1"})
    assert objects.resolve("HEAD") == first
    assert objects.read(first)
    second = repo.commit("two", {"a": "2"})
    assert objects.resolve("HEAD") == second
    assert b"two" in objects.read(second)
    repo.git("gc", "-q")
    third = repo.commit("three", {"a": "3"})
    repo.git("repack", "-adq")
    assert objects.resolve("HEAD") == third
    assert objects.read(repo.git("rev-parse", "HEAD:a")) == b"3"
    assert objects.read(repo.git("rev-parse", "HEAD~2:a")) == b"1"


def test_a_process_that_was_killed_is_started_again(repo, objects):
    commit = repo.commit("one", {"a": "1"})
    before = objects.read(commit)
    objects._contents._process.kill()
    objects._contents._process.wait()
    assert objects.read(commit) == before


def test_modes_are_as_git_writes_them(repo, objects):
    repo.write({"run.sh": "#!/bin/sh", "d/f": ""})
    os.chmod(repo.file("run.sh"), 0o755)
    os.symlink("d/f", repo.file("link"))
    repo.commit()
    tree = objects.tree(objects.resolve("HEAD^{tree}"))
    assert {name: entry.mode for name, entry in tree.items()} == {"run.sh": "100755", "d": "40000", "link": "120000"}


def test_names_that_are_not_utf8_come_as_surrogates(repo, objects):
    name = os.fsdecode(b'caf\xe9 \n\t"x')
    repo.commit("one", {name: "latin"})
    source = CommitSource(objects, objects.resolve("HEAD"))
    assert source.read(source.lookup(name).oid) == b"latin"


@pytest.mark.parametrize("hostile", ["", "a\nb", "HEAD\0", "x\ty", "\x7f"])
def test_control_characters_are_no_revision(repo, objects, hostile):
    repo.commit()
    with pytest.raises(InputError, match="not a revision"):
        objects.resolve(hostile)


@pytest.mark.parametrize("rev", ["--all", "-x", "main; rm -rf /", "$(id)", "no such thing", "main missing", "é"])
def test_what_names_nothing_is_none(repo, objects, rev):
    repo.commit()
    assert objects.resolve(rev) is None


def test_revisions_with_spaces_work(repo, objects):
    commit = repo.commit("first words", {"a file": "1"})
    repo.commit("second")
    assert objects.resolve(":/first words") == commit
    assert objects.resolve("HEAD:a file") == repo.git("rev-parse", "HEAD:a file")


def test_a_missing_object_is_an_integrity_error_that_leaves_reading_possible(repo, objects):
    commit = repo.commit()
    with pytest.raises(IntegrityError, match="missing"):
        objects.read("1" * len(commit))
    assert objects.read(commit)


def test_only_full_ids_are_read(repo, objects):
    commit = repo.commit()
    for text in (commit[:10], "HEAD", commit.upper(), commit + "0"):
        with pytest.raises(InputError, match="not an object id"):
            objects.read(text)


def test_a_corrupt_object_is_an_integrity_error_and_the_next_read_works(repo, objects):
    commit = repo.commit("one", {"a": "hello" * 100})
    oid = repo.git("rev-parse", "HEAD:a")
    path = repo.file(f".git/objects/{oid[:2]}/{oid[2:]}")
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.seek(10)
        file.write(b"\xff\xff\xff\xff")
    with pytest.raises(IntegrityError):
        objects.read(oid)
    assert objects.read(commit)


def test_a_large_blob_streams_in_bounded_chunks(repo, objects):
    content = random.Random(1).randbytes(5_000_001)
    repo.commit("one", {"big": content})
    chunks = []
    assert objects.stream(repo.git("rev-parse", "HEAD:big"), chunks.append) == len(content)
    assert b"".join(chunks) == content
    assert max(map(len, chunks)) <= 1 << 20


def test_a_stream_that_its_reader_breaks_off_does_not_spoil_the_next_read(repo, objects):
    commit = repo.commit("one", {"big": os.urandom(3_000_000)})

    def full(chunk):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        objects.stream(repo.git("rev-parse", "HEAD:big"), full)
    assert b"one" in objects.read(commit)


@pytest.mark.campaign
@pytest.mark.slow
def test_thousands_are_read_in_order_while_others_are_read_between(repo, objects):
    repo.commit("one", {f"d{i % 7}/f{i}": f"content {i}" * (1 + i % 50) for i in range(3000)})
    names = [f"d{i % 7}/f{i}" for i in range(3000)]
    source = CommitSource(objects, objects.resolve("HEAD"))
    oids = [source.lookup(name).oid for name in names]
    for i, (oid, content) in enumerate(objects.read_many(oids)):
        assert (oid, content) == (oids[i], f"content {i}".encode() * (1 + i % 50))
        if i % 500 == 0:
            assert objects.read(oids[-1]).startswith(b"content 2999")
    assert [h.oid for h in objects.headers(oids)] == oids


@pytest.mark.slow
def test_large_objects_do_not_block_a_bulk_read(repo, objects):
    repo.commit("one", {f"f{i}": os.urandom(200_000) for i in range(40)})
    oids = [entry.oid for entry in objects.tree(objects.resolve("HEAD^{tree}")).values()]
    assert sum(len(content) for _, content in objects.read_many(oids)) == 40 * 200_000


def test_a_bulk_read_may_be_left_early(repo, objects):
    repo.commit_many("one", {f"f{i}": str(i) for i in range(1000)})
    oids = [entry.oid for entry in objects.tree(objects.resolve("HEAD^{tree}")).values()]
    reading = objects.read_many(oids)
    next(reading)
    reading.close()
    assert objects.read(oids[5])


def test_threads_share_it(repo, objects):
    repo.commit("one", {f"f{i}": f"{i}" * 1000 for i in range(50)})
    tree = objects.tree(objects.resolve("HEAD^{tree}"))
    wrong = []

    def read_all():
        for name, entry in tree.items():
            if objects.read(entry.oid) != name[1:].encode() * 1000:
                wrong.append(name)

    threads = [threading.Thread(target=read_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_replace_refs_do_not_change_what_an_id_means(repo, objects):
    repo.commit("one", {"a": "true", "b": "false"})
    a, b = repo.git("rev-parse", "HEAD:a"), repo.git("rev-parse", "HEAD:b")
    repo.git("replace", a, b)
    assert objects.read(a) == b"true"


def test_lookup_walks_directories_and_stops_at_files_and_links(repo, objects):
    repo.write({"d/e/f": "1"})
    os.symlink("d", repo.file("link"))
    source = CommitSource(objects, repo.commit())
    assert source.lookup("d/e/f").mode == "100644"
    assert source.lookup("d/e").is_tree
    assert source.lookup("") == Entry("40000", source.tree)
    assert source.lookup("link").is_link
    for nothing in ("d/e/f/g", "link/e", "x", "d/../d", "/d", "d//e", "d/", "./d", "."):
        assert source.lookup(nothing) is None, nothing


def test_a_path_through_a_submodule_is_refused_and_the_submodule_itself_seen(repo, objects, tmp_path):
    inner = Repository(tmp_path / "inner", object_format=objects.location.object_format)
    inner.commit("one", {"a": "1"})
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", inner.path, "lib/sub")
    commit = repo.commit()
    repo.git("submodule", "deinit", "-q", "--force", "lib/sub")
    shutil.rmtree(repo.file(".git/modules"))
    source = CommitSource(objects, commit)
    assert source.lookup("lib/sub").is_submodule
    with pytest.raises(InputError, match="lib/sub is a submodule"):
        source.lookup("lib/sub/a")


@pytest.mark.parametrize("bad", [b"100644 a", b"100644 a\0short", b"garbage"])
def test_bytes_that_are_no_tree_are_a_value_error(bad):
    with pytest.raises(ValueError):  # noqa: PT011 - several messages
        parse_tree(bad, 20)
