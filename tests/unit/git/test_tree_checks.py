from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from gitml.core.model.digest import digest_of
from gitml.git.lfs.pointer import local_lfs_object, parse_lfs_pointer
from gitml.git.objects.reader import Objects
from gitml.git.objects.tree_checks import TreeChecks, check_tree, leads_out
from gitml.git.repository import discover
from tests.kit.projects.repository import Repository, isolate

CONTENT = b"the real content"


def pointer_text(content: bytes = CONTENT) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid {digest_of(content)}\nsize {len(content)}\n".encode()


class Memo:
    def __init__(self):
        self.known = {}
        self.asked = 0

    def fact(self, kind, id):
        return self.known.get((kind, id))

    def remember(self, kind, id, value):
        self.known[kind, id] = value


@pytest.fixture
def repo(tmp_path, monkeypatch):
    isolate(monkeypatch)
    return Repository(tmp_path / "r")


@pytest.fixture
def objects(repo):
    with Objects(discover(repo.path, {})) as opened:
        yield opened


def test_what_needs_care_is_found_at_any_depth(repo, objects, tmp_path):
    repo.write({"in/a": "1", "in/sub/deep/b": "2", "in/big.bin": pointer_text(), "in/sub/small": b"version 2"})
    os.symlink("../a", repo.file("in/sub/fine"))
    os.symlink("../../a", repo.file("in/sub/out"))
    os.symlink("/etc/passwd", repo.file("in/sub/deep/absolute"))
    inner = Repository(tmp_path / "inner")
    inner.commit("one", {"a": "1"})
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", inner.path, "in/sub/module")
    repo.commit()
    memo = Memo()
    facts = check_tree(objects, objects.resolve("HEAD:in"), memo)
    assert (facts.files, facts.submodules) == (8, ())
    repo.git("submodule", "deinit", "-q", "--force", "in/sub/module")
    shutil.rmtree(repo.file(".git/modules"))
    objects.close()
    facts = check_tree(Objects(objects.location), objects.resolve("HEAD:in"), memo)
    assert facts == TreeChecks(
        files=7,
        escaping_links=(("sub/deep/absolute", "/etc/passwd"), ("sub/out", "../../a")),
        submodules=("sub/module",),
        lfs=(("big.bin", digest_of(CONTENT), len(CONTENT)),),
    )


def test_a_link_that_leads_out_of_its_folder_but_not_of_the_whole_is_fine_in_the_whole(repo, objects):
    repo.write({"in/a": "1", "in/sub/b": "2"})
    os.symlink("../a", repo.file("in/sub/up"))
    repo.commit()
    memo = Memo()
    assert check_tree(objects, objects.resolve("HEAD:in/sub"), memo).escaping_links == (("up", "../a"),)
    assert check_tree(objects, objects.resolve("HEAD:in"), memo).escaping_links == ()


def test_what_is_remembered_is_not_read_again(repo, objects):
    repo.commit("one", {"in/a": "1", "in/sub/b": "2", "in/sub/c": pointer_text()})
    memo = Memo()
    before = check_tree(objects, objects.resolve("HEAD:in"), memo)
    oid = objects.resolve("HEAD:in")
    objects.tree = objects.read_many = objects.headers = None  # any use now fails
    assert check_tree(objects, oid, memo) == before


def test_directories_that_hold_each_other_many_times_are_looked_at_once(repo, objects):
    blob = repo.git("hash-object", "-w", "--stdin", input=b"x")
    tree = repo.git("mktree", input=f"100644 blob {blob}\tf\n".encode())
    for _ in range(12):
        tree = repo.git("mktree", input="".join(f"040000 tree {tree}\td{i}\n" for i in range(10)).encode())
    assert check_tree(objects, tree, Memo()).files == 10**12


@pytest.mark.parametrize(
    ("path", "target", "out"),
    [
        ("a", "b", False),
        ("a", "..", True),
        ("d/a", "..", False),
        ("d/a", "../..", True),
        ("d/a", "./../b/./c", False),
        ("a", "/b", True),
        ("a", "", True),
        ("a", "b/../c", True),  # where b is a link, b/.. is not here
        ("d/e/a", "../../x", False),
        ("a", "..b/c..", False),
    ],
)
def test_where_links_lead(path, target, out):
    assert leads_out(path, target) is out


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        pointer_text() + b"\n",
        pointer_text()[:-1],
        pointer_text().replace(b"size 16", b"size 016"),
        pointer_text().replace(b"size 16", b"size -1"),
        pointer_text().replace(b"sha256", b"sha512"),
        pointer_text().replace(b"\n", b"\r\n"),
        pointer_text().upper(),
        pointer_text() + b"x" * 1024,
    ],
)
def test_only_exact_pointers_are_pointers(content):
    assert parse_lfs_pointer(content) is None


def test_a_pointer_gives_digest_and_size():
    assert parse_lfs_pointer(pointer_text()) == (digest_of(CONTENT), len(CONTENT))


def test_what_lfs_fetched_is_found_where_lfs_keeps_it(repo, tmp_path):
    location = discover(repo.path, {})
    digest = digest_of(CONTENT)
    name = digest.removeprefix("sha256:")
    assert local_lfs_object(location, digest) is None
    repo.write({f".git/lfs/objects/{name[:2]}/{name[2:4]}/{name}": CONTENT})
    assert local_lfs_object(location, digest) == repo.file(f".git/lfs/objects/{name[:2]}/{name[2:4]}/{name}")
    subprocess.run(["rm", "-r", repo.file(".git/lfs")], check=True)
    repo.git("config", "lfs.storage", str(tmp_path / "store"))
    (tmp_path / "store/objects" / name[:2] / name[2:4]).mkdir(parents=True)
    (tmp_path / "store/objects" / name[:2] / name[2:4] / name).write_bytes(CONTENT)
    assert local_lfs_object(location, digest) == str(tmp_path / "store/objects" / name[:2] / name[2:4] / name)
