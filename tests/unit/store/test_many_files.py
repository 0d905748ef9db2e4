"""Directories of very many files: taken in by two processes, made durable by one request, and the same as any other."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gitml.core.model.digest import digest_of
from gitml.errors import MachineError
from gitml.platform import linux
from gitml.platform.current import platform
from gitml.store.local import disk, fsck
from gitml.store.local.store import LocalStore

ROOT = Path(__file__).parents[3]
CODE = """
import os, sys
from gitml import childprocess
from gitml.errors import GitmlError
from gitml.store.local import disk, fsck, ingest
from gitml.store.local.store import LocalStore

forks = []
os.register_at_fork(after_in_parent=lambda: forks.append(1))
several = len(os.sched_getaffinity(0)) > 1
os.chdir(sys.argv[1])

def fill(folder, count=2500):
    os.makedirs(f"{folder}/sub/deep")
    for n in range(count):
        with open(f"{folder}/{n:04d}", "w") as file:
            file.write(f"content {n // 2}")
        if n % 7 == 0:
            os.chmod(f"{folder}/{n:04d}", 0o755)
    for n in range(100):
        with open(f"{folder}/sub/deep/{n}", "w") as file:
            file.write(f"deep {n}" if n % 3 else f"content {n}")
        os.symlink(f"../{n:04d}", f"{folder}/sub/link{n}")
    with open(f"{folder}/large", "wb") as file:
        file.write(b"large" * 300_000)
    os.link(f"{folder}/0001", f"{folder}/second-name")
"""


def python(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CODE + textwrap.dedent(code), str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.needs_linux("two processes for one directory: whether a process has one thread is known")
def test_two_processes_take_a_directory_in_as_one_does(tmp_path: Path) -> None:
    said = python(
        """
        fill("one"), fill("two")
        together = LocalStore("by-two").ingest_tree("two", leave=True)
        assert len(forks) == several
        ingest.can_fork = lambda: False
        alone = LocalStore("by-one").ingest_tree("one")
        assert len(forks) == several and together == alone
        by_two, by_one = LocalStore("by-two"), LocalStore("by-one")
        assert sorted(by_two.iterate()) == sorted(by_one.iterate())
        assert list(fsck.check_objects(by_two, deep=True)) == [] and os.listdir(by_two.temporaries) == []
        assert by_two.has(*together, tree=True)
        by_two.materialize_tree(together[0], "out")
        assert os.access("out/0007", os.X_OK) and os.path.samefile("out/sub/link5", "out/0005")
        print("the same")
        """,
        tmp_path,
    )
    assert said == "the same"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["0000.fifo", "0001.fifo"], ids=["the first half", "the second half"])
def test_what_cannot_be_kept_is_named_whichever_process_meets_it(tmp_path: Path, name: str) -> None:
    said = python(
        f"""
        fill("in")
        os.mkfifo("in/{name}")
        store = LocalStore("gitml")
        try:
            store.ingest_tree("in", leave=True)
        except GitmlError as error:
            print(error.where, os.listdir(store.temporaries), list(fsck.check_objects(store, deep=True)))
            assert "named pipe" in error.message
        """,
        tmp_path,
    )
    assert said == f"{name} [] []"


@pytest.mark.slow
@pytest.mark.needs_linux("two processes for one directory: whether a process has one thread is known")
def test_a_half_that_is_ended_at_any_moment_leaves_no_copy(tmp_path: Path) -> None:
    """As it is when the other half fails: here just after a file that has two names was copied, before it is noted."""
    said = python(
        """
        import signal
        fill("in")
        store = LocalStore("gitml")
        begun = os.getpid()
        real = LocalStore.holds
        def holds(self, digest, size):
            if os.getpid() != begun and os.listdir(self.temporaries):
                os.kill(os.getpid(), signal.SIGTERM)
            return real(self, digest, size)
        LocalStore.holds = holds
        try:
            store.ingest_tree("in", leave=True)
        except GitmlError as error:
            print(forks if several else [1], os.listdir(store.temporaries))
        """,
        tmp_path,
    )
    assert said == "[1] []" if len(os.sched_getaffinity(0)) > 1 else said == ""


@pytest.mark.slow
def test_known_files_are_left_as_they_are_and_a_bad_object_among_them_is_replaced(tmp_path: Path) -> None:
    said = python(
        """
        fill("first"), fill("again"), fill("more", 3000)
        store = LocalStore("gitml")
        first = store.ingest_tree("first")
        places = {digest: os.stat(store.path_of(digest)).st_ino for digest, _ in store.iterate()}
        bad = [digest for digest, size in store.iterate() if size < 100][::40]
        for digest in bad:
            path = store.path_of(digest)
            os.chmod(path, 0o644)
            with open(path, "r+b") as file:
                file.write(b"C")
            os.chmod(path, 0o444)
            os.utime(path, ns=(disk.CANONICAL_NS, disk.CANONICAL_NS))
        assert store.ingest_tree("again", leave=True) == first
        assert os.stat("again/0001").st_mode & 0o222
        after = {digest: os.stat(store.path_of(digest)).st_ino for digest, _ in store.iterate()}
        assert after.keys() == places.keys()
        assert {digest for digest in after if after[digest] != places[digest]} == set(bad)
        store.ingest_tree("more")
        assert list(fsck.check_objects(store, deep=True)) == []
        aside = sorted(os.listdir(store.quarantined))
        notes = [open(os.path.join(store.quarantined, name)).read() for name in aside if name.endswith(".txt")]
        print(len(aside) == 2 * len(bad) or (len(bad), aside, notes))
        """,
        tmp_path,
    )
    assert said == "True"


@pytest.mark.slow
@pytest.mark.needs_linux("two processes for one directory: whether a process has one thread is known")
def test_a_child_that_is_killed_fails_the_taking_and_leaves_only_garbage(tmp_path: Path) -> None:
    said = python(
        """
        import signal
        fill("in")
        store = LocalStore("gitml")
        os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGALRM, signal.SIG_DFL))
        parent, flush = os.getpid(), ingest._Intake.flush
        ingest._Intake.flush = lambda self: flush(self) if os.getpid() == parent else os.kill(os.getpid(), signal.SIGKILL)
        try:
            store.ingest_tree("in", leave=True)
            print("taken", several)
        except GitmlError as error:
            print(error.code, several)
        assert list(fsck.check_objects(store, deep=True)) == []
        assert not [d for d, _ in store.iterate() if store.read(d).startswith(b"gitml tree")] or not several
        ingest._Intake.flush = flush
        assert store.has(*store.ingest_tree("in"), tree=True)
        """,
        tmp_path,
    )
    assert said in ("machine True", "taken False")


def test_a_small_file_keeps_its_name_where_it_may_and_is_the_object(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "small").write_bytes(b"small")
    (tmp_path / "in" / "large").write_bytes(os.urandom(disk.SMALL + 1))
    store = LocalStore(str(tmp_path / "gitml"))
    store.ingest_tree(str(tmp_path / "in"), leave=True)
    assert os.path.samefile(tmp_path / "in" / "small", store.path_of(digest_of(b"small")))
    assert not (tmp_path / "in" / "large").exists()  # a second name would raise doubt about it when it goes


def test_where_no_second_name_can_be_given_a_file_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refused)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "small").write_bytes(b"small")
    store = LocalStore(str(tmp_path / "gitml"))
    digest, size = store.ingest_tree(str(tmp_path / "in"), leave=True)
    assert store.has(digest, size, tree=True)
    assert not (tmp_path / "in" / "small").exists()


def test_reading_an_output_is_not_noted_in_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    os.utime(path, ns=(1, os.stat(path).st_mtime_ns))
    fd = disk.open_to_read(str(path))
    assert os.read(fd, 1) == b"x"
    os.close(fd)
    assert os.stat(path).st_atime_ns == 1


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which one request is as good as a sync of each."""
    monkeypatch.setattr(linux, "reports_failures", lambda: True)
    monkeypatch.setattr(linux, "file_system_kind", lambda folder: 0xEF53)
    monkeypatch.setattr(linux.form, "unwritten_bytes", lambda: 1 << 20)


@pytest.mark.needs_linux("one sync for many files")
@pytest.mark.usefixtures("plain")
def test_everything_is_written_at_once_only_for_many_files_where_little_else_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert disk.is_worth_one_request(1000, "/")
    assert not disk.is_worth_one_request(disk.FEW, "/")
    monkeypatch.setattr(linux.form, "unwritten_bytes", lambda: 1 << 30)
    assert not disk.is_worth_one_request(1000, "/")


@pytest.mark.usefixtures("plain")
def test_a_file_system_that_may_not_report_failures_is_not_trusted_to_write_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for kind in (0x794C7630, 0x65735546, 0x6969, 0):  # overlay, FUSE, NFS, one that can't be asked
        monkeypatch.setattr(linux, "file_system_kind", lambda folder, kind=kind: kind)
        assert not disk.is_worth_one_request(1000, "/")


@pytest.mark.parametrize(
    ("release", "reports"), [("5.7.19-generic", False), ("5.8.0", True), ("6.1", True), ("x", False)]
)
def test_the_kernel_must_report_what_could_not_be_written(
    monkeypatch: pytest.MonkeyPatch, release: str, reports: bool
) -> None:
    found = os.uname()
    monkeypatch.setattr("os.uname", lambda: os.uname_result((found[0], found[1], release, found[3], found[4])))
    assert linux.reports_failures() is reports


@pytest.mark.needs_linux("one sync for many files")
def test_the_kernel_is_asked_for_the_kind_of_a_file_system_and_for_what_is_unwritten(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("both are Linux's")
    assert linux.file_system_kind("/proc") == 0x9FA0
    assert linux.file_system_kind(str(tmp_path / "missing")) == 0
    assert 0 <= linux.form.unwritten_bytes() < sys.maxsize
    platform.sync_file_system(str(tmp_path))
    waiting = disk.begin_sync(str(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError):
        waiting()


@pytest.mark.needs_linux("one sync for many files")
@pytest.mark.usefixtures("plain")
def test_a_failure_to_write_everything_fails_the_taking_before_anything_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(folder: str) -> None:
        raise OSError(5, "Input/output error", folder)

    monkeypatch.setattr(platform, "sync_file_system", fails)
    (tmp_path / "in").mkdir()
    for n in range(100):
        (tmp_path / "in" / f"{n}").write_bytes(b"%d" % n)
    store = LocalStore(str(tmp_path / "gitml"))
    with pytest.raises(MachineError, match="Input/output error"):
        store.ingest_tree(str(tmp_path / "in"), leave=True)
    assert list(store.iterate()) == []
    assert list(fsck.check_objects(store, deep=True)) == []
