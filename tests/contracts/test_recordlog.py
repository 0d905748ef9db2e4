"""What every RecordLog keeps, and what the one in a Git ref keeps beyond that."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from gitml.errors import BusyError, InputError, IntegrityError
from gitml.git.integrity.packs import MOST_PACKS
from gitml.git.log.record_log import GitRecordLog
from gitml.git.objects.reader import Objects
from gitml.git.repository import discover
from tests.kit.patience import PATIENCE, worked
from tests.kit.projects.repository import Repository, isolate
from tests.kit.record_files import record_files

REF = "refs/gitml/runs"


@pytest.fixture(params=["sha1", "sha256"])
def repo(tmp_path, monkeypatch, request):
    isolate(monkeypatch)
    made = Repository(tmp_path / "r", object_format=request.param)
    made.commit("one", {"src/a.py": "a", "runs/mine.txt": "a file of the user's under the same name"})
    return made


@pytest.fixture
def log(repo):
    location = discover(repo.path, {})
    with Objects(location) as objects:
        yield GitRecordLog(location, objects, REF)


def path_of(number: int, name: str = "run.json") -> str:
    return f"runs/2026/01/{1 + number % 28:02}/{number % 256:02x}/{number:08x}/{name}"


def test_a_log_begins_empty(log):
    assert log.tip() is None
    assert record_files(log) == []


def test_what_is_appended_is_read_back_in_order(repo, log):
    source = repo.git("rev-parse", "HEAD")
    contents = [f"record {i}".encode() for i in range(5)]
    commits = [
        log.append({path_of(99 - i): content, path_of(99 - i, "b"): b"\0\n"}, f"run {i}", source)
        for i, content in enumerate(contents)
    ]
    found = record_files(log)
    assert [(commit, path) for commit, path, _ in found] == [
        (commit, path_of(99 - i, name)) for i, commit in enumerate(commits) for name in ("b", "run.json")
    ]
    assert [log.read(oid) for _, path, oid in found if path.endswith("run.json")] == contents
    assert log.tip() == commits[-1]


def test_a_record_never_changes(log):
    log.append({path_of(1): b"first"}, "run", None)
    tip = log.tip()
    with pytest.raises(IntegrityError, match="never change"):
        log.append({path_of(1): b"second"}, "run", None)
    assert log.tip() == tip


@pytest.mark.parametrize("path", ["", "/abs", "a//b", "../up", "a/./b", "a/.git/x", "a\nb", '"quoted"', "a\0"])
def test_paths_that_can_not_be_recorded_are_refused(log, path):
    with pytest.raises(InputError):
        log.append({path: b"x"}, "run", None)
    assert log.tip() is None


def test_parents_are_the_record_before_and_the_source(repo, log):
    one = repo.git("rev-parse", "HEAD")
    first = log.append({path_of(1): b"1"}, "run", one)
    two = repo.commit("two", {"src/a.py": "b"})
    second = log.append({path_of(2): b"2"}, "run", two)
    third = log.append({path_of(3): b"3"}, "run", None)
    assert repo.git("log", "-1", "--format=%P", second).split() == [first, two]
    assert repo.git("log", "-1", "--format=%P", third).split() == [second]
    root, source = repo.git("log", "-1", "--format=%P", first).split()
    assert source == one
    assert repo.git("ls-tree", root) == ""
    assert repo.git("log", "-1", "--format=%P", root) == ""


def test_the_tree_holds_records_only_and_git_finds_nothing_wrong(repo, log):
    source = repo.git("rev-parse", "HEAD")
    for i in range(3):
        log.append({path_of(i): b"x" * i}, "run", source)
    assert repo.git("ls-tree", "-r", "--name-only", REF).split() == sorted(path_of(i) for i in range(3))
    assert repo.git("fsck", "--strict", "--no-dangling") == ""


def test_logs_that_begin_apart_have_their_root_in_common(repo, tmp_path, log):
    other = Repository(tmp_path / "other", object_format=log._location.object_format)
    location = discover(other.path, {})
    with Objects(location) as objects:
        GitRecordLog(location, objects, REF).append({path_of(2): b"2"}, "theirs", None)
    log.append({path_of(1): b"1"}, "ours", None)
    repo.git("fetch", "-q", other.path, f"{REF}:refs/theirs")
    assert repo.git("merge-base", REF, "refs/theirs") == repo.git("rev-list", "--max-parents=0", "refs/theirs")


def diverged(repo, log):
    """(base, ours, theirs): two records behind the same one, the log ending at ours."""
    base = log.append({path_of(0): b"0"}, "base", None)
    theirs = log.append({path_of(1): b"1", path_of(1, "b"): b"b"}, "theirs", None)
    repo.git("update-ref", REF, base)
    return base, log.append({path_of(2): b"2"}, "ours", None), theirs


def test_a_difference_names_what_is_new_there_and_counts_what_is_lacking(repo, log):
    base, ours, theirs = diverged(repo, log)
    difference = log.difference(ours, theirs)
    assert [(item.path, item.mode) for item in difference.added()] == [
        (path_of(1, "b"), "100644"),
        (path_of(1), "100644"),
    ]
    assert (difference.lacking, difference.other) == (1, [])
    assert [item.path for item in log.difference(None, base).added()] == [path_of(0)]
    blob = repo.git("hash-object", "-w", "--stdin", input=b"else")
    changed = log.merge(base, theirs, {path_of(0): blob}, "changed")
    again = log.difference(ours, changed)
    assert list(again.added()) == []
    assert (again.lacking, again.other) == (1, [path_of(0)])


def test_a_join_holds_both_follows_both_and_is_part_of_the_log_when_it_is_moved(repo, log):
    base, ours, theirs = diverged(repo, log)
    files = {item.path: item.oid for item in log.difference(ours, theirs).added()}
    joined = log.merge(ours, theirs, files, "join\n")
    assert log.tip() == ours
    assert log.move(ours, joined)
    assert not log.move(ours, theirs)
    assert repo.git("log", "-1", "--format=%P", joined).split() == [ours, theirs]
    assert {path for _, path, _ in record_files(log)} == {path_of(0), path_of(1), path_of(1, "b"), path_of(2)}
    assert log.is_ahead_of(ours, joined, 1)
    assert log.is_ahead_of(theirs, joined, 1)
    assert log.is_ahead_of(base, joined, 3)
    assert not log.is_ahead_of(theirs, ours, 100)
    repo.git("fsck", "--strict", "--no-dangling")


def test_a_join_takes_ids_and_paths_only(repo, log):
    _, ours, theirs = diverged(repo, log)
    for files in ({"../up": "1" * 40}, {path_of(5): "HEAD"}, {path_of(5): "--all"}):
        with pytest.raises(InputError):
            log.merge(ours, theirs, files, "x")


def test_a_packed_ref_is_found(repo, log):
    commit = log.append({path_of(1): b"1"}, "run", None)
    repo.git("pack-refs", "--all")
    assert log.tip() == commit
    assert repo.git("log", "-1", "--format=%P", log.append({path_of(2): b"2"}, "run", None)) == commit


def test_a_ref_moved_between_is_not_lost(repo, log, monkeypatch):
    first = log.append({path_of(1): b"1"}, "run", None)
    location = discover(repo.path, {})
    with Objects(location) as objects:
        other = GitRecordLog(location, objects, REF)
        real = log._write
        raced = []

        def write(*args):
            commit = real(*args)
            if not raced:
                raced.append(other.append({path_of(2): b"2"}, "other", None))
            return commit

        monkeypatch.setattr(log, "_write", write)
        last = log.append({path_of(3): b"3"}, "run", None)
    assert [commit for commit, _, _ in record_files(log)] == [first, raced[0], last]


def test_a_lock_that_git_left_behind_is_busy_and_said(repo, log, monkeypatch):
    monkeypatch.setattr("gitml.git.integrity.stale_locks._PATIENCE", 0.2)
    repo.write({f".git/{REF}.lock": ""})
    with pytest.raises(BusyError, match="lock"):
        log.append({path_of(1): b"1"}, "run", None)


_WRITER = """
import sys, fcntl
from contextlib import contextmanager
from gitml.git.repository import discover
from gitml.git.objects.reader import Objects
from gitml.git.log.record_log import GitRecordLog
path, who, count, lock_file = sys.argv[1:]
@contextmanager
def lock():
    with open(lock_file, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
location = discover(path, {})
with Objects(location) as objects:
    log = GitRecordLog(location, objects, "refs/gitml/runs", *([lock] if lock_file else []))
    for i in range(int(count)):
        log.append({f"runs/2026/01/01/00/{who}-{i}/run.json": b"x"}, "run", None)
"""


@pytest.mark.parametrize("locked", [False, True])
def test_writers_at_once_lose_nothing(repo, log, tmp_path, locked):
    lock_file = str(tmp_path / "lock") if locked else ""
    args = [sys.executable, "-c", _WRITER, repo.path]
    writers = [subprocess.Popen([*args, str(who), "8", lock_file], cwd=os.getcwd()) for who in range(3)]
    assert [writer.wait(PATIENCE) for writer in writers] == [0, 0, 0]
    found = record_files(log)
    assert len({path for _, path, _ in found}) == len(found) == 24
    assert repo.git("fsck", "--strict", "--no-dangling") == ""


def test_a_lock_is_held_around_each_try(repo):
    held = []

    @contextmanager
    def lock():
        held.append("taken")
        yield
        held.append("given back")

    location = discover(repo.path, {})
    with Objects(location) as objects:
        GitRecordLog(location, objects, REF, lock).append({path_of(1): b"x"}, "run", None)
    assert held == ["taken", "given back"]


def test_a_source_that_is_not_here_is_an_error_and_leaves_nothing(repo, log):
    with pytest.raises(Exception, match="fast-import"):
        log.append({path_of(1): b"x"}, "run", "1" * len(repo.git("rev-parse", "HEAD")))
    assert log.tip() is None
    assert not [name for name in os.listdir(repo.file(".git")) if name.startswith("fast_import_crash")]


def test_many_and_large_files_in_one_record(repo, log):
    files = {path_of(1, f"out/{i}"): os.urandom(1000) for i in range(300)} | {path_of(1, "big"): os.urandom(3_000_000)}
    log.append(files, "run", None)
    assert {path: log.read(oid) for _, path, oid in record_files(log)} == files


def test_messages_of_any_kind_are_kept(repo, log):
    message = "first line\n\nfrom 123\ndone\n"
    commit = log.append({path_of(1): b"data 4\ndone\n"}, message, None)
    assert repo.git("log", "-1", "--format=%B", commit).rstrip("\n") == message.rstrip("\n")


def test_packs_are_joined_when_there_are_many(repo, log):
    source = repo.git("rev-parse", "HEAD")
    assert log.maintain() is False
    for i in range(MOST_PACKS + 2):
        log.append({path_of(i): b"x"}, "run", source)
    assert log.maintain() is True
    packs = repo.file(".git/objects/pack")
    deadline = time.monotonic() + PATIENCE
    while sum(name.endswith(".pack") for name in os.listdir(packs)) > 5:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(record_files(log)) == MOST_PACKS + 2
    assert log.append({path_of(1000): b"x"}, "run", source)
    repo.git("fsck", "--strict")


@pytest.mark.campaign
@pytest.mark.slow
@pytest.mark.parametrize("repo", ["sha1"], indirect=True)
def test_appending_does_not_slow_down_with_the_number_of_records(repo, log):
    def fresh_source(day):
        tree = repo.git("rev-parse", "HEAD^{tree}")
        date = f"2001-01-{day:02} 00:00:00 +0000"
        return repo.git("commit-tree", tree, "-m", str(day), env={"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date})

    def median(first):
        times = []
        for i in range(9):
            source = fresh_source(first + i)
            began = worked()
            log.append({path_of(10**6 + first * 100 + i): b"x" * 2000}, "run", source)
            times.append(worked() - began)
        return sorted(times)[4]

    few = median(1)
    parts = [b"feature done\n"]
    for i in range(20_000):
        start = f"from {log.tip()}\n" if i == 0 else ""
        who = f"committer g <g> {1_700_000_000 + i} +0000"
        parts.append(f"commit {REF}\n{who}\ndata 3\nrun\n{start}M 100644 inline {path_of(i)}\n".encode())
        parts.append(b"data 3\n{}\n\n")
    repo.git("fast-import", "--quiet", input=b"".join([*parts, b"done\n"]))
    many = median(11)
    assert many < 3 * few + 0.02, f"{few * 1000:.1f} ms of work with few, {many * 1000:.1f} ms with many"
    began = time.perf_counter()
    assert len(list(log.difference(None, log.tip()).added())) == 20_018
    assert time.perf_counter() - began < 60
