"""The work tree in the states Git knows: read exactly, and byte for byte the same afterwards."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess

import pytest

from gitml.errors import InputError, RemoteError
from gitml.git.command import Location
from gitml.git.log.record_log import GitRecordLog
from gitml.git.objects.reader import Objects
from gitml.git.objects.source import CommitSource
from gitml.git.repository import discover
from gitml.git.revisions import resolve_commit
from gitml.git.worktree.snapshot import SnapshotCommit, WorkTree
from tests.kit.patience import in_little_work
from tests.kit.projects.repository import Repository, environment, isolate
from tests.kit.record_files import record_files

REF = "refs/gitml/runs"


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    isolate(monkeypatch)


@pytest.fixture
def repo(tmp_path):
    made = Repository(tmp_path / "r")
    made.commit("one", {"src/a.py": "a\n", "data/x.csv": "x\n"})
    return made


def bytes_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def digest_of_everything(repo: Repository) -> dict[str, str]:
    """Each file of the work tree and of Git's folder, except objects and gitml's own, by content, kind and mode."""
    found = {}
    for root in {repo.path, os.path.realpath(discover(repo.path, {}).git_dir)}:
        for folder, folders, names in os.walk(root):
            if os.path.exists(os.path.join(folder, "HEAD")):
                folders[:] = [name for name in folders if name not in ("objects", "gitml")]
            for name in names:
                path = os.path.join(folder, name)
                content = os.readlink(path).encode() if os.path.islink(path) else bytes_of(path)
                found[path] = f"{os.lstat(path).st_mode:o} {hashlib.sha256(content).hexdigest()}"
    return {
        path: digest
        for path, digest in found.items()
        if "/objects/" not in path and not path.endswith("refs/gitml/runs")
    }


def run(repo: Repository, *lookups: str, start: str | None = None) -> tuple[SnapshotCommit, dict[str, bytes]]:
    """What a run does here: looks paths up, seals, records. Checks that nothing of the user's changes; gives what it read."""
    before = digest_of_everything(repo)
    location = discover(start or repo.path, {})
    read = {}
    with Objects(location) as objects:
        tree = WorkTree(location, objects)
        tree.start()
        for path in lookups:
            entry = tree.lookup(path)
            assert entry is not None, path
            read[path] = objects.files.read(entry.oid)
        sealed = tree.snapshot()
        tree.close()
        source = CommitSource(objects, sealed.commit)
        for path in lookups:
            assert objects.files.read(source.lookup(path).oid) == read[path]
        name = f"runs/2026/01/01/{os.urandom(4).hex()}/run.json"
        GitRecordLog(location, objects, REF).append({name: b"{}"}, "run", sealed.commit)
    assert digest_of_everything(repo) == before
    repo.git("fsck", "--strict")
    return sealed, read


def test_a_detached_head(repo):
    head = repo.git("rev-parse", "HEAD")
    repo.git("checkout", "-q", "--detach")
    sealed, _ = run(repo, "src/a.py")
    assert sealed == (head, False, None)


def test_a_linked_worktree_has_its_own_changes(repo, tmp_path):
    repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "w"))
    side = Repository(tmp_path / "w")
    side.write({"src/a.py": "side\n", "src/new.py": "new\n"})
    sealed, read = run(side, "src/a.py", "src/new.py")
    assert sealed.dirty
    assert read == {"src/a.py": b"side\n", "src/new.py": b"new\n"}
    assert run(repo, "src/a.py")[0].dirty is False


def test_a_subfolder_sees_the_whole_work_tree(repo):
    repo.write({"data/x.csv": "changed\n", "top.py": "t\n"})
    _, read = run(repo, "data/x.csv", "top.py", start=repo.file("src"))
    assert read == {"data/x.csv": b"changed\n", "top.py": b"t\n"}


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_before_the_first_commit_the_snapshot_has_no_parent(tmp_path, object_format):
    repo = Repository(tmp_path / "new", object_format=object_format)
    repo.write({"src/a.py": "a\n", "staged.py": "s\n", "other": "o\n"})
    repo.git("add", "staged.py")
    sealed, read = run(repo, "src/a.py", "staged.py")
    assert (sealed.dirty, sealed.base) == (True, None)
    assert read == {"src/a.py": b"a\n", "staged.py": b"s\n"}
    assert repo.git("rev-list", "--count", sealed.commit) == "1"
    assert repo.git("ls-tree", "-r", "--name-only", sealed.commit).split() == ["src/a.py", "staged.py"]


def test_an_empty_repository_seals_to_an_empty_tree(tmp_path):
    repo = Repository(tmp_path / "new")
    sealed, _ = run(repo)
    assert repo.git("ls-tree", sealed.commit) == ""


def test_a_sha256_repository(tmp_path):
    repo = Repository(tmp_path / "r256", object_format="sha256")
    repo.commit("one", {"src/a.py": "a\n"})
    repo.write({"src/a.py": "changed\n", "src/b.py": "b\n"})
    sealed, read = run(repo, "src/a.py", "src/b.py")
    assert len(sealed.commit) == 64
    assert read["src/a.py"] == b"changed\n"


def test_a_stash_stays(repo):
    repo.write({"src/a.py": "stashed\n"})
    repo.git("stash")
    repo.write({"src/a.py": "now\n"})
    _, read = run(repo, "src/a.py")
    assert read == {"src/a.py": b"now\n"}
    assert repo.git("stash", "list")


def test_line_ends_are_those_git_stores(repo):
    repo.git("config", "core.autocrlf", "true")
    repo.write({"src/a.py": "a\r\nb\r\n", "new.txt": "n\r\n", "bin.dat": b"\0\r\n"})
    _, read = run(repo, "src/a.py", "new.txt", "bin.dat")
    assert read == {"src/a.py": b"a\nb\n", "new.txt": b"n\n", "bin.dat": b"\0\r\n"}
    repo.git("add", ".")
    assert repo.git("rev-parse", ":src/a.py") == repo.git("hash-object", "--stdin", input=read["src/a.py"])


def test_a_file_committed_with_crlf_keeps_it_under_autocrlf_as_git_add_does(repo):
    repo.commit("windows", {"win.txt": "one\r\ntwo\r\n"})
    repo.git("config", "core.autocrlf", "true")
    repo.write({"win.txt": "one\r\nthree\r\n"})
    _, read = run(repo, "win.txt")
    repo.git("add", "win.txt")
    assert read["win.txt"] == repo.git_bytes("cat-file", "blob", ":win.txt")


def test_attributes_and_filters_of_the_work_tree_apply_to_tracked_and_new_files(repo):
    repo.git("config", "filter.upper.clean", "tr a-z A-Z")
    repo.git("config", "filter.upper.smudge", "tr A-Z a-z")
    repo.commit("filtered", {".gitattributes": "*.up filter=upper\n*.crlf eol=crlf\n", "t.up": "tracked"})
    repo.write({"t.up": "changed", "sub/n.up": "new", "e.crlf": "x\r\n", "plain": "plain"})
    _, read = run(repo, "t.up", "sub/n.up", "e.crlf", "plain")
    assert read == {"t.up": b"CHANGED", "sub/n.up": b"NEW", "e.crlf": b"x\n", "plain": b"plain"}


def test_a_required_filter_that_fails_is_said(repo):
    repo.git("config", "filter.broken.clean", "false")
    repo.git("config", "filter.broken.required", "true")
    repo.write({".gitattributes": "*.bin filter=broken\n", "new.bin": "x"})
    with pytest.raises(InputError, match="filter 'false' failed"):
        run(repo, "new.bin")


def test_a_split_index(repo):
    repo.git("config", "core.splitIndex", "true")
    repo.git("update-index", "--split-index")
    repo.write({"src/a.py": "changed\n", "src/new.py": "n\n"})
    assert any(name.startswith("sharedindex.") for name in os.listdir(repo.file(".git")))
    _, read = run(repo, "src/a.py", "src/new.py", "data/x.csv")
    assert read == {"src/a.py": b"changed\n", "src/new.py": b"n\n", "data/x.csv": b"x\n"}


@pytest.mark.parametrize("sparse_index", ["false", "true"])
def test_a_sparse_checkout_keeps_what_is_not_checked_out(repo, sparse_index):
    repo.commit("more", {f"part{i}/deep/f.txt": str(i) for i in range(4)})
    repo.git("config", "index.sparse", sparse_index)
    repo.git("sparse-checkout", "set", "--cone", "src")
    assert not os.path.exists(repo.file("data"))
    assert run(repo, "data/x.csv")[0].dirty is False
    repo.write({"src/a.py": "changed\n", "src/new.py": "n\n"})
    sealed, read = run(repo, "data/x.csv", "src/a.py", "src/new.py", "part2/deep/f.txt")
    assert read == {"data/x.csv": b"x\n", "src/a.py": b"changed\n", "src/new.py": b"n\n", "part2/deep/f.txt": b"2"}
    assert repo.git("diff", "--name-only", "HEAD", sealed.commit).split() == ["src/a.py", "src/new.py"]


def test_a_submodule_is_recorded_as_its_commit(repo, tmp_path):
    inner = Repository(tmp_path / "inner")
    inner.commit("one", {"a": "1"})
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", inner.path, "sub")
    repo.commit("with submodule")
    assert run(repo, "src/a.py")[0].dirty is False
    sub = Repository(repo.file("sub"))
    sub.write({"a": "edited"})
    assert run(repo, "src/a.py")[0].dirty is False
    newer = sub.commit("two")
    sealed, _ = run(repo, "src/a.py")
    assert sealed.dirty
    assert repo.git("rev-parse", f"{sealed.commit}:sub") == newer
    assert run(repo, "sub/a")[1] == {"sub/a": b"edited"}
    repo.git("commit", "-aqm", "newer")
    repo.git("submodule", "deinit", "-q", "--force", "sub")
    shutil.rmtree(repo.file(".git/modules"))
    with pytest.raises(InputError, match="sub is a submodule"):
        run(repo, "sub/a")


def test_a_rebase_in_progress(repo):
    repo.git("switch", "-qc", "topic")
    repo.commit("mine", {"src/a.py": "mine\n"})
    repo.git("switch", "-q", "main")
    repo.commit("theirs", {"src/a.py": "theirs\n"})
    with pytest.raises(AssertionError):
        repo.git("rebase", "-q", "main", "topic")
    with pytest.raises(InputError, match=r"src/a\.py"):
        run(repo, "data/x.csv")
    repo.write({"src/a.py": "resolved\n"})
    repo.git("add", "src/a.py")
    _, read = run(repo, "src/a.py")
    assert read == {"src/a.py": b"resolved\n"}


def test_file_modes_that_do_not_count(repo):
    repo.git("config", "core.fileMode", "false")
    repo.write({"new.sh": "#!/bin/sh\n"})
    os.chmod(repo.file("src/a.py"), 0o755)
    os.chmod(repo.file("new.sh"), 0o755)
    sealed, _ = run(repo, "src/a.py", "new.sh")
    assert repo.git("ls-tree", sealed.commit, "new.sh").startswith("100644")
    assert repo.git("diff", "--name-only", "HEAD", sealed.commit) == "new.sh"


def test_a_configuration_made_for_people_changes_nothing(repo, tmp_path, monkeypatch):
    config = tmp_path / "config"
    config.write_text(
        "[status]\nshowUntrackedFiles=no\nrelativePaths=true\nshort=true\nbranch=false\nrenames=copies\n"
        "[color]\nui=always\nstatus=always\n[core]\nquotePath=true\nsafecrlf=true\nuntrackedCache=true\nfsync=none\n"
        "[diff]\nignoreSubmodules=all\nnoprefix=true\nrenames=copies\n[log]\nshowSignature=true\ndate=relative\n"
        "[commit]\ngpgSign=true\n[i18n]\ncommitEncoding=latin1\n[format]\npretty=oneline\n[feature]\nmanyFiles=true\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    repo.write({"src/a.py": "changed\n", "new.py": "n\n"})
    _, read = run(repo, "src/a.py", "new.py")
    assert read == {"src/a.py": b"changed\n", "new.py": b"n\n"}
    location = discover(repo.path, {})
    with Objects(location) as objects:
        assert len(record_files(GitRecordLog(location, objects, REF))) == 1


def test_a_bare_repository_is_read_and_recorded_at_a_commit(repo, tmp_path):
    repo.git("clone", "-q", "--bare", repo.path, str(tmp_path / "bare.git"))
    location = discover(str(tmp_path / "bare.git"), {})
    with Objects(location) as objects:
        commit = resolve_commit(objects, location, "main")
        assert objects.read(CommitSource(objects, commit).lookup("src/a.py").oid) == b"a\n"
        log = GitRecordLog(location, objects, REF)
        record = log.append({"runs/1/run.json": b"{}"}, "run", commit)
        assert [found[0] for found in record_files(log)] == [record]
        with pytest.raises(InputError):
            WorkTree(location, objects)


def clone(repo: Repository, path: str, *options: str) -> tuple[Repository, Location]:
    args = ["git", "clone", "-q", *options, f"file://{repo.path}", path]
    subprocess.run(args, env=environment(), check=True, capture_output=True)
    return Repository(path), discover(path, {})


def test_a_shallow_clone_runs_and_says_what_it_lacks(repo, tmp_path):
    repo.commit("two", {"src/a.py": "two\n"})
    shallow, location = clone(repo, str(tmp_path / "shallow"), "--depth=1")
    shallow.write({"src/a.py": "changed\n"})
    _, read = run(shallow, "src/a.py", "data/x.csv")
    assert read["src/a.py"] == b"changed\n"
    with Objects(location) as objects, pytest.raises(InputError) as caught:
        resolve_commit(objects, location, "HEAD~1")
    assert "--unshallow" in caught.value.hint


def test_a_partial_clone_fetches_what_is_read_and_says_when_it_can_not(repo, tmp_path):
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("config", "uploadpack.allowAnySHA1InWant", "true")
    old = repo.git("rev-parse", "HEAD")
    repo.commit("two", {"src/a.py": "two\n", "data/x.csv": "y\n"})
    partial, location = clone(repo, str(tmp_path / "partial"), "--filter=blob:none")
    with Objects(location) as objects:
        source = CommitSource(objects, old)
        assert objects.read(source.lookup("src/a.py").oid) == b"a\n"
    assert run(partial, "src/a.py")[0].dirty is False
    os.rename(repo.path, repo.path + "-away")
    with Objects(location) as objects:
        with pytest.raises(RemoteError):
            objects.read(CommitSource(objects, old).lookup("data/x.csv").oid)
        assert objects.read(CommitSource(objects, old).lookup("src/a.py").oid) == b"a\n"


def test_a_clone_that_borrows_objects(repo, tmp_path):
    borrower, _ = clone(repo, str(tmp_path / "borrower"), "--shared")
    borrower.write({"new.py": "n\n"})
    assert run(borrower, "src/a.py", "new.py")[0].dirty


def test_a_recorded_run_survives_amend_and_gc(repo):
    repo.write({"src/a.py": "work\n", "src/new.py": "n\n"})
    dirty, _ = run(repo, "src/a.py", "src/new.py")
    repo.commit("to be amended", {"src/a.py": "committed\n"})
    clean, _ = run(repo, "src/a.py")
    repo.write({"src/a.py": "amended\n"})
    repo.git("commit", "-qa", "--amend", "-m", "amended")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")
    location = discover(repo.path, {})
    with Objects(location) as objects:
        assert objects.read(CommitSource(objects, dirty.commit).lookup("src/new.py").oid) == b"n\n"
        assert objects.read(CommitSource(objects, clean.commit).lookup("src/a.py").oid) == b"committed\n"


@pytest.mark.campaign
@pytest.mark.slow
def test_fifty_thousand_files(tmp_path):
    repo = Repository(tmp_path / "big")
    repo.commit_many("big", {f"d{i // 1000}/e{i // 100}/f{i}.txt": f"{i}\n" for i in range(50_000)})
    repo.git("status")

    def clean():
        assert run_only(repo, "d1/e12/f1234.txt")[0].dirty is False

    in_little_work(2, clean)
    repo.write({"d3/e33/f3333.txt": "changed", "d3/new.txt": "new"})

    def dirty():
        source, read = run_only(repo, "d3/e33/f3333.txt", "d3/new.txt")
        assert source.dirty
        assert read == {"d3/e33/f3333.txt": b"changed", "d3/new.txt": b"new"}

    in_little_work(3, dirty)


def run_only(repo: Repository, *lookups: str) -> tuple[SnapshotCommit, dict[str, bytes]]:
    location = discover(repo.path, {})
    with Objects(location) as objects:
        tree = WorkTree(location, objects)
        read = {path: objects.read(tree.lookup(path).oid) for path in lookups}
        sealed = tree.snapshot()
        tree.close()
    return sealed, read
