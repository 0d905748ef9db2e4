from __future__ import annotations

import hashlib
import os
import threading
import time

import pytest

from gitml.errors import InputError
from gitml.git.objects.reader import Objects
from gitml.git.repository import discover
from gitml.git.worktree.snapshot import WorkTree
from gitml.git.worktree.temporary_index import TemporaryIndex
from tests.kit.projects.repository import Repository, isolate


@pytest.fixture
def repo(tmp_path, monkeypatch):
    isolate(monkeypatch)
    made = Repository(tmp_path / "r")
    made.commit(
        "one", {"src/a.py": "a", "src/b.py": "b", "data/x.csv": "x", "README": "r", ".gitignore": "*.log\nbuild/\n"}
    )
    return made


@pytest.fixture
def open_tree(repo):
    opened = []

    def make(path=None):
        objects = Objects(discover(path or repo.path, {}))
        tree = WorkTree(objects.location, objects)
        opened.append((tree, objects))
        return tree

    yield make
    for tree, objects in opened:
        tree.close()
        objects.close()


def files_of(repo, rev):
    listing = repo.git_bytes("ls-tree", "-r", "-z", rev).split(b"\0")[:-1]
    return {
        os.fsdecode(line.partition(b"\t")[2]): (
            line.split()[0].decode(),
            repo.git_bytes("cat-file", "blob", line.split()[2].decode()),
        )
        for line in listing
        if not line.startswith(b"160000")
    }


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def state_of(repo):
    """Everything of the work tree and of Git's own state that no run may change."""
    found = {}
    for folder, folders, names in os.walk(repo.path):
        if os.path.basename(folder) == ".git":
            folders[:] = [name for name in folders if name not in ("objects", "gitml")]
        for name in names:
            path = os.path.join(folder, name)
            content = os.readlink(path).encode() if os.path.islink(path) else bytes_of(path)
            found[os.path.relpath(path, repo.path)] = (os.lstat(path).st_mode, hashlib.sha256(content).hexdigest())
    return found


def test_a_clean_tree_is_its_head_commit(repo, open_tree):
    tree = open_tree()
    assert tree.dirty is False
    assert tree.snapshot() == (repo.git("rev-parse", "HEAD"), False, None)
    assert tree.branch == "main"
    assert tree.lookup("src").oid == repo.git("rev-parse", "HEAD:src")


def test_a_touched_file_with_the_same_bytes_is_clean(repo, open_tree):
    os.utime(repo.file("src/a.py"), (1, 1))
    assert open_tree().snapshot().dirty is False


def test_a_change_that_is_staged_and_taken_back_in_the_work_tree_is_clean(repo, open_tree):
    repo.write({"src/a.py": "changed"})
    repo.git("add", ".")
    repo.write({"src/a.py": "a"})
    assert open_tree().snapshot() == (repo.git("rev-parse", "HEAD"), False, None)


def test_every_kind_of_tracked_change_is_in_the_snapshot_and_nothing_else_moves(repo, open_tree):
    repo.commit(
        "more", {"gone": "g", "removed": "r", "kept": "k", "mode": "m", "type": "t", "old": "name " * 50, "both": "1"}
    )
    repo.write({"src/a.py": "changed", "staged": "s", "both": "2"})
    repo.git("add", "staged", "both")
    repo.write({"both": "3"})
    os.unlink(repo.file("gone"))
    repo.git("rm", "-q", "removed")
    repo.git("rm", "-q", "--cached", "kept")
    os.chmod(repo.file("mode"), 0o755)
    os.unlink(repo.file("type"))
    os.symlink("src/a.py", repo.file("type"))
    repo.git("mv", "old", "new")
    repo.write({"noted": "n", "unrelated": "u", "skipped.log": "l"})
    repo.git("add", "--intent-to-add", "noted")
    repo.write({"stashed": "s"})
    before = state_of(repo)
    head = repo.git("rev-parse", "HEAD")

    tree = open_tree()
    assert tree.dirty
    expected = ["both", "gone", "kept", "mode", "new", "noted", "old", "removed", "src/a.py", "staged", "type"]
    assert list(tree.changes) == expected
    sealed = tree.snapshot()

    assert sealed.dirty
    assert sealed.base == head
    assert repo.git("rev-parse", f"{sealed.commit}^") == head
    assert files_of(repo, sealed.commit) == {
        **{
            name: ("100644", content)
            for name, content in {
                ".gitignore": b"*.log\nbuild/\n",
                "README": b"r",
                "data/x.csv": b"x",
                "src/b.py": b"b",
                "src/a.py": b"changed",
                "staged": b"s",
                "both": b"3",
                "noted": b"n",
                "new": b"name " * 50,
            }.items()
        },
        "mode": ("100755", b"m"),
        "type": ("120000", b"src/a.py"),
    }
    assert state_of(repo) == before
    assert repo.git("fsck", "--strict") is not None


def test_the_same_work_makes_the_same_commit(repo, open_tree):
    repo.write({"src/a.py": "changed", "new.py": "n"})
    ids = set()
    for _ in range(2):
        tree = open_tree()
        tree.lookup("new.py")
        ids.add(tree.snapshot().commit)
    assert len(ids) == 1
    count = repo.git("count-objects")
    tree = open_tree()
    tree.lookup("new.py")
    tree.snapshot()
    assert repo.git("count-objects") == count


def test_untracked_files_count_only_when_they_are_looked_up(repo, open_tree):
    repo.write({"src/new.py": "n", "other.txt": "o", "pkg/__init__.py": "", "pkg/deep/mod.py": "m"})
    tree = open_tree()
    assert tree.lookup("README") is not None
    assert tree.lookup("absent") is None
    assert tree.dirty is False
    entry = tree.lookup("pkg/deep/mod.py")
    assert tree.read(entry.oid) == b"m"
    assert tree.dirty is True
    sealed = tree.snapshot()
    assert set(files_of(repo, sealed.commit)) - set(files_of(repo, "HEAD")) == {"pkg/deep/mod.py"}


def test_a_directory_brings_its_untracked_files_along(repo, open_tree):
    repo.write({"data/new.csv": "n", "data/deep/er.csv": "d", "data/x.log": "ignored", "other": "o"})
    tree = open_tree()
    entry = tree.lookup("data")
    assert set(tree.children(entry.oid)) == {"x.csv", "new.csv", "deep"}
    assert tree.lookup("data") == entry
    assert tree.lookup("data/deep/er.csv").oid == tree.children(tree.children(entry.oid)["deep"].oid)["er.csv"].oid
    sealed = tree.snapshot()
    assert repo.git("rev-parse", f"{sealed.commit}:data") == entry.oid
    assert "other" not in files_of(repo, sealed.commit)


def test_ids_given_early_are_the_ids_committed(repo, open_tree):
    repo.write({"src/a.py": "changed", "src/new.py": "n", "lib/x/y.py": "y", "lib/z.py": "z"})
    tree = open_tree()
    paths = ["lib/x/y.py", "src/a.py", "lib/x", "src/new.py", "src", "lib", ""]
    given = {path: tree.lookup(path) for path in paths}
    commit = tree.snapshot().commit
    for path, entry in given.items():
        assert repo.git("rev-parse", f"{commit}:{path}") == entry.oid, path


def test_a_file_changed_after_it_was_looked_up_is_recorded_as_it_was_read(repo, open_tree):
    repo.write({"new.py": "first"})
    tree = open_tree()
    entry = tree.lookup("new.py")
    repo.write({"new.py": "second"})
    assert files_of(repo, tree.snapshot().commit)["new.py"] == ("100644", b"first")
    assert tree.read(entry.oid) == b"first"


def test_ignored_files_are_told_apart_from_missing_ones(repo, open_tree):
    repo.write({"x.log": "l", "build/out/file": "b", "-rf": "1"})
    tree = open_tree()
    assert tree.lookup("x.log") is None
    assert tree.lookup("build/out/file") is None
    assert tree.ignored("x.log")
    assert tree.ignored("build/out/file")
    assert tree.ignored("build")
    assert not tree.ignored("-rf")
    assert not tree.ignored("missing.log")
    assert not tree.ignored("README")


def test_links_and_executables_that_are_not_tracked_keep_their_kind(repo, open_tree):
    repo.write({"tool.sh": "#!/bin/sh"})
    os.chmod(repo.file("tool.sh"), 0o755)
    os.symlink("nowhere", repo.file("dangling"))
    os.symlink("src", repo.file("linked"))
    tree = open_tree()
    assert tree.lookup("tool.sh").mode == "100755"
    assert tree.lookup("dangling").is_link
    assert tree.lookup("linked/a.py") is None
    files = files_of(repo, tree.snapshot().commit)
    assert files["dangling"] == ("120000", b"nowhere")
    assert "linked" not in files


def test_a_file_that_became_a_folder_and_a_folder_that_became_a_file(repo, open_tree):
    os.unlink(repo.file("README"))
    repo.write({"README/new": "n"})
    os.unlink(repo.file("data/x.csv"))
    os.rmdir(repo.file("data"))
    repo.write({"data": "now a file"})
    tree = open_tree()
    assert tree.lookup("README/new").mode == "100644"
    assert tree.lookup("data").mode == "100644"
    assert tree.lookup("data/x.csv") is None
    files = files_of(repo, tree.snapshot().commit)
    assert files["README/new"] == ("100644", b"n")
    assert files["data"] == ("100644", b"now a file")


def test_a_folder_replaced_by_a_link_elsewhere(repo, open_tree, tmp_path):
    os.unlink(repo.file("data/x.csv"))
    os.rmdir(repo.file("data"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.csv").write_text("not ours")
    os.symlink(tmp_path / "elsewhere", repo.file("data"))
    tree = open_tree()
    assert tree.lookup("data/x.csv") is None
    assert tree.lookup("data").is_link
    assert "data/x.csv" not in files_of(repo, tree.snapshot().commit)


def test_a_change_in_the_very_instant_of_the_last_add_is_seen(repo, open_tree):
    repo.git("config", "core.trustctime", "false")
    hour_ago = (time.time_ns() - 3600 * 10**9,) * 2
    repo.write({"src/a.py": "1"})
    os.utime(repo.file("src/a.py"), ns=hour_ago)
    repo.git("add", ".")
    repo.git("commit", "-qm", "same size")
    # The same size and times as recorded, and an index that is as old: only reading the file tells.
    with open(repo.file("src/a.py"), "r+b") as file:
        file.write(b"2")
    os.utime(repo.file("src/a.py"), ns=hour_ago)
    os.utime(repo.file(".git/index"), ns=hour_ago)
    assert files_of(repo, open_tree().snapshot().commit)["src/a.py"] == ("100644", b"2")


def test_names_of_any_bytes_are_kept(repo, open_tree):
    odd = [
        os.fsdecode(name)
        for name in (b"caf\xe9", b'q"uote', b"new\nline", b"tab\t", b"back\\slash", b" space ", b"cr\r", b":(top)x")
    ]
    repo.commit("tracked", {"t/" + name: "1" for name in odd})
    repo.write({"t/" + name: "2" for name in odd})
    repo.write({"u/" + name: "3" for name in odd})
    repo.write({name + "/in": "4" for name in odd})
    tree = open_tree()
    for name in odd:
        assert tree.read(tree.lookup("t/" + name).oid) == b"2", name
        assert tree.read(tree.lookup("u/" + name).oid) == b"3", name
        assert tree.read(tree.lookup(name + "/in").oid) == b"4", name
    files = files_of(repo, tree.snapshot().commit)
    assert all(files["t/" + name] == ("100644", b"2") and files["u/" + name] == ("100644", b"3") for name in odd)


def test_merge_conflicts_are_named(repo, open_tree):
    repo.git("switch", "-qc", "other")
    repo.commit("theirs", {"README": "theirs"})
    repo.git("switch", "-q", "main")
    repo.commit("ours", {"README": "ours"})
    with pytest.raises(AssertionError):
        repo.git("merge", "-q", "other")
    with pytest.raises(InputError, match="README") as caught:
        open_tree().lookup("src/a.py")
    assert "--at REV" in caught.value.hint


def test_a_repository_within_is_refused_only_when_it_is_used(repo, open_tree):
    inner = Repository(repo.file("vendor/inner"))
    inner.commit("one", {"code.py": "1"})
    repo.write({"vendor/mine.py": "m"})
    tree = open_tree()
    assert tree.lookup("vendor/mine.py") is not None
    with pytest.raises(InputError, match="repository of its own"):
        tree.lookup("vendor/inner/code.py")
    with pytest.raises(InputError, match="repository of its own"):
        tree.lookup("vendor")


def test_a_bare_repository_points_to_at(tmp_path, monkeypatch):
    isolate(monkeypatch)
    bare = Repository(tmp_path / "b.git", bare=True)
    location = discover(bare.path, {})
    with pytest.raises(InputError) as caught:
        WorkTree(location, Objects(location))
    assert caught.value.hint == "--at REV"


def test_a_file_nobody_may_read_is_an_error_that_names_it(repo, open_tree):
    if os.getuid() == 0:
        pytest.skip("root reads everything")
    repo.write({"secret": "s"})
    os.chmod(repo.file("secret"), 0)
    with pytest.raises(Exception, match="secret"):
        open_tree().lookup("secret")


def test_nothing_temporary_is_left(repo, open_tree):
    repo.write({"src/a.py": "changed"})
    tree = open_tree()
    tree.snapshot()
    tree.close()
    assert os.listdir(repo.file(".git/gitml/tmp")) == []
    assert repo.git("status", "--porcelain") == " M src/a.py"


def test_a_copy_of_the_index_that_a_killed_process_left_is_removed_after_a_day(repo, open_tree, monkeypatch):
    repo.write({".git/gitml/tmp/index-1-left": "old", "src/a.py": "changed"})
    open_tree().snapshot()
    assert os.path.exists(repo.file(".git/gitml/tmp/index-1-left"))
    tomorrow = time.time() + 100_000
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    tree = open_tree()
    tree.snapshot()
    tree.close()
    assert not os.path.exists(repo.file(".git/gitml/tmp/index-1-left"))


def test_sealing_makes_what_it_wrote_durable(repo, open_tree, monkeypatch):
    synced = []
    real = os.fsync

    def fsync(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    repo.write({"src/a.py": "changed", "src/new.py": "n"})
    tree = open_tree()
    tree.lookup("src/new.py")
    commit = tree.snapshot().commit
    objects = {path.rpartition("objects/")[2].replace("/", "") for path in synced}
    for name in (commit, f"{commit}^{{tree}}", f"{commit}:src", f"{commit}:src/a.py", f"{commit}:src/new.py"):
        assert repo.git("rev-parse", name) in objects


def test_copies_that_others_take_away_while_one_is_made_are_no_error(repo):
    folder = repo.file(".git/gitml/tmp")
    os.makedirs(folder, exist_ok=True)
    location = discover(repo.path, {})
    over = threading.Event()

    def come_and_go():
        names = [f"{folder}/index-1-{number}" for number in range(50)]
        while not over.is_set():
            for name in names:
                open(name, "w").close()
            for name in names:
                os.unlink(name)

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(300):
            TemporaryIndex(location, empty=True)
    finally:
        over.set()
        other.join()
