"""What a store does when bytes rot, disks fill, steps write to their inputs and processes die."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.tree import TreeEntry, encode_tree
from gitml.errors import InputError, IntegrityError, MachineError
from gitml.store.local import disk, fsck, gc
from gitml.store.local.store import LocalStore
from tests.kit.disks.small_disk import small_disk_at

ROOT = Path(__file__).parents[2]
SMALL = b"small enough to be hashed each time"
LARGE = os.urandom(disk.SMALL + 100)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "gitml"))


def flip(store: LocalStore, digest: Digest, *, keep_time: bool = False) -> None:
    path = store.path_of(digest)
    before = os.stat(path)
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    os.chmod(path, 0o444)
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def python(code: str, *args: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *args],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        timeout=120,
        **options,  # type: ignore[call-overload]
    )


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("use", ["has", "read", "open", "place"])
def test_a_flipped_bit_is_found_before_use_quarantined_and_healed_by_keeping_again(
    store: LocalStore, tmp_path: Path, content: bytes, use: str
) -> None:
    digest = store.put(content)
    flip(store, digest)
    if use == "has":
        assert not store.has(digest, len(content), tree=False)
    else:
        with pytest.raises(IntegrityError):
            {"read": store.read, "open": store.open, "place": lambda d: store.materialize_file(d, str(tmp_path / "x"))}[
                use
            ](digest)
    assert not (tmp_path / "x").exists()
    assert not os.path.exists(store.path_of(digest))
    aside = Path(store.quarantined) / f"{digest[7:]}.1"
    assert aside.stat().st_size == len(content)
    assert "its content is sha256:" in Path(f"{aside}.txt").read_text()
    store.put(content)
    assert store.has(digest, len(content), tree=False)
    assert store.read(digest) == content


def test_a_second_bad_copy_is_kept_beside_the_first(store: LocalStore) -> None:
    digest = store.put(SMALL)
    for _ in range(2):
        flip(store, digest)
        assert not store.has(digest, len(SMALL), tree=False)
        store.put(SMALL)
    assert sorted(os.listdir(store.quarantined)) == [f"{digest[7:]}.{n}{end}" for n in (1, 2) for end in ("", ".txt")]


def test_a_flipped_bit_under_an_old_time_is_found_in_small_objects_whenever_they_are_used(
    store: LocalStore, tmp_path: Path
) -> None:
    for n, use in enumerate((store.read, store.open, lambda d: store.materialize_file(d, str(tmp_path / "x")))):
        digest = store.put(SMALL + b"%d" % n)
        flip(store, digest, keep_time=True)
        with pytest.raises(IntegrityError):
            use(digest)


def test_keeping_again_heals_a_small_object_that_a_stat_does_not_doubt(store: LocalStore, tmp_path: Path) -> None:
    digest = store.put(SMALL)
    flip(store, digest, keep_time=True)
    (tmp_path / "in").write_bytes(SMALL)
    store.ingest_file(str(tmp_path / "in"))
    assert store.read(digest) == SMALL


def test_truncation_is_found(store: LocalStore) -> None:
    for content in (SMALL, LARGE):
        digest = store.put(content)
        os.chmod(store.path_of(digest), 0o644)
        os.truncate(store.path_of(digest), 10)
        os.chmod(store.path_of(digest), disk.OBJECT_MODE)
        os.utime(store.path_of(digest), ns=(disk.CANONICAL_NS, disk.CANONICAL_NS))
        assert not store.has(digest, len(content), tree=False)
        assert not os.path.exists(store.path_of(digest))


def test_an_object_only_touched_is_mended_and_trusted(store: LocalStore) -> None:
    digest = store.put(LARGE)
    os.utime(store.path_of(digest))
    os.chmod(store.path_of(digest), 0o644)
    assert store.has(digest, len(LARGE), tree=False)
    found = os.stat(store.path_of(digest))
    assert disk.is_untouched(found)
    assert found.st_mode & 0o777 == 0o444


@pytest.mark.parametrize("what", ["folder", "link", "fifo"])
def test_what_is_no_file_in_place_of_an_object_is_moved_aside(store: LocalStore, tmp_path: Path, what: str) -> None:
    digest = store.put(SMALL)
    path = store.path_of(digest)
    os.unlink(path)
    (tmp_path / "elsewhere").write_bytes(SMALL)
    {"folder": os.mkdir, "link": lambda p: os.symlink(tmp_path / "elsewhere", p), "fifo": os.mkfifo}[what](path)
    with pytest.raises(IntegrityError):
        store.read(digest)
    assert not os.path.lexists(path)
    assert store.read(store.put(SMALL)) == SMALL


def test_a_flip_in_a_listing_or_below_it_makes_a_tree_missing(store: LocalStore, tmp_path: Path) -> None:
    for n in range(2):
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "file").write_bytes(SMALL)
        digest, size = store.ingest_tree(str(tmp_path / "in"))
        flip(store, (digest, digest_of(SMALL))[n])
        assert not LocalStore(store.root).has(digest, size, tree=True)


def test_a_tree_with_a_link_that_leads_out_is_not_placed(store: LocalStore, tmp_path: Path) -> None:
    target = store.put(b"../../outside")
    digest = store.put(encode_tree([TreeEntry(b"way-out", "l", target, 13)]))
    with pytest.raises(IntegrityError, match="leads out"):
        store.materialize_tree(digest, str(tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []


# Steps that write to their inputs


@pytest.mark.parametrize("keep_time", [False, True], ids=["plainly", "putting the time back"])
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_an_input_changed_in_place_is_reported_and_quarantined(
    store: LocalStore, tmp_path: Path, content: bytes, keep_time: bool
) -> None:
    digest = store.put(content)
    store.materialize_file(digest, str(tmp_path / "input"))
    assert store.verify_materialized(digest, tree=False) == []
    before = os.stat(tmp_path / "input")
    os.chmod(tmp_path / "input", 0o644)
    with open(tmp_path / "input", "r+b") as file:
        file.write(b"overwritten")
    os.chmod(tmp_path / "input", 0o444)
    if keep_time:
        os.utime(tmp_path / "input", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.verify_materialized(digest, tree=False) == [digest]
    assert not store.has(digest, len(content), tree=False)
    assert store.verify_materialized(digest, tree=False) == [digest]  # another sandbox had the same bytes


def test_a_file_changed_in_place_within_a_placed_tree_is_the_one_reported(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "one").write_bytes(b"one")
    (tmp_path / "in" / "two").write_bytes(b"two")
    digest, _ = store.ingest_tree(str(tmp_path / "in"))
    store.materialize_tree(digest, str(tmp_path / "out"))
    (tmp_path / "out" / "sub" / "one").chmod(0o644)
    (tmp_path / "out" / "sub" / "one").write_bytes(b"ONE")
    assert store.verify_materialized(digest, tree=True) == [digest_of(b"one")]


def test_other_sandboxes_linking_and_unlinking_are_no_false_alarm(store: LocalStore, tmp_path: Path) -> None:
    digest = store.put(LARGE)
    store.materialize_file(digest, str(tmp_path / "mine"))
    other = LocalStore(store.root)  # as another process would
    for n in range(3):
        other.materialize_file(digest, str(tmp_path / f"other{n}"))
    os.unlink(tmp_path / "other1")
    assert store.verify_materialized(digest, tree=False) == []
    assert store.has(digest, len(LARGE), tree=False)


def test_placing_and_releasing_again_does_not_hide_a_change_made_in_between(store: LocalStore, tmp_path: Path) -> None:
    digest = store.put(LARGE)
    store.materialize_file(digest, str(tmp_path / "one"))
    flip(store, digest, keep_time=True)
    with pytest.raises(IntegrityError):
        store.materialize_file(digest, str(tmp_path / "two"))
    assert store.verify_materialized(digest, tree=False) == [digest]


def test_a_released_input_is_not_hashed_again(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = store.put(LARGE)
    store.materialize_file(digest, str(tmp_path / "one"))
    store.materialize_file(digest, str(tmp_path / "two"))
    assert store.verify_materialized(digest, tree=False) == []
    os.unlink(tmp_path / "one")
    store.release_materialized(digest, tree=False)
    hashed: list[Digest] = []
    monkeypatch.setattr(store, "check", hashed.append)
    assert store.verify_materialized(digest, tree=False) == []
    assert hashed == []


def test_an_executable_input_is_a_copy_whose_change_leaves_the_object_good(store: LocalStore, tmp_path: Path) -> None:
    digest = store.put(SMALL)
    store.materialize_file(digest, str(tmp_path / "tool"), executable=True)
    (tmp_path / "tool").chmod(0o755)
    (tmp_path / "tool").write_bytes(b"changed")
    assert store.verify_materialized(digest, tree=False) == []
    assert store.read(digest) == SMALL


# Outputs that are not what they seem


def test_a_file_with_another_name_is_copied_so_that_the_other_name_cannot_change_the_object(
    store: LocalStore, tmp_path: Path
) -> None:
    (tmp_path / "out").write_bytes(SMALL)
    os.link(tmp_path / "out", tmp_path / "other-name")
    digest, _ = store.ingest_file(str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    (tmp_path / "other-name").write_bytes(b"changed")
    assert store.read(digest) == SMALL


def test_a_file_open_for_writing_elsewhere_is_found_out_when_it_is_written_to(
    store: LocalStore, tmp_path: Path
) -> None:
    with open(tmp_path / "out", "wb", buffering=0) as writer:
        writer.write(LARGE)
        digest, size = store.ingest_file(str(tmp_path / "out"))
        assert store.has(digest, size, tree=False)
        writer.seek(0)
        writer.write(b"late")
    assert not store.has(digest, size, tree=False)


def test_a_file_that_changes_while_it_is_taken_is_refused(store: LocalStore, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(bytes(64 << 20))
    # It is open when the file is made read-only, as what a step left running has it.
    code = "import sys\nf = open(sys.argv[1], 'r+b', 0)\nprint('on', flush=True)\nwhile True: f.seek(0); f.write(b'x')"
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(InputError, match="changed while it was taken"):
            store.ingest_file(str(path))
    finally:
        writer.kill()
        writer.communicate()
    assert list(store.iterate()) == []
    assert os.listdir(store.temporaries) == []


def test_a_file_of_another_file_system_is_copied_in(store: LocalStore) -> None:
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == os.stat(ROOT).st_dev:
        pytest.skip("no second file system")
    path = f"/dev/shm/gitml-test-{os.getpid()}"
    try:
        Path(path).write_bytes(LARGE)
        digest, size = store.ingest_file(path)
        assert not os.path.exists(path)
        assert store.read(digest) == LARGE
        store.materialize_file(digest, path)
        assert Path(path).read_bytes() == LARGE
        assert store.verify_materialized(digest, tree=False) == []
        os.unlink(path)
        os.mkdir(path)
        Path(path, "file").write_bytes(SMALL)
        digest, size = store.ingest_tree(path)
        assert store.has(digest, size, tree=True)
        assert not os.path.exists(path)
    finally:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.unlink(path)


# Full disks


def test_a_limit_on_file_sizes_is_an_error_that_names_the_path_and_leaves_nothing(tmp_path: Path) -> None:
    done = python(
        """
        import os, resource, sys
        from gitml.errors import MachineError
        from gitml.store.local.store import LocalStore
        store = LocalStore(sys.argv[1])
        store.put(b"before")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            store.put(b"x" * 5000)
        except MachineError as error:
            assert store.root in error.where and error.hint, error
        else:
            raise SystemExit("no error")
        assert os.listdir(store.temporaries) == []
        store.put(b"small after")
        assert len(list(store.iterate())) == 2
        """,
        str(tmp_path / "gitml"),
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.root
def test_a_full_disk_is_an_error_that_names_the_path_and_leaves_nothing(tmp_path: Path) -> None:
    mount = tmp_path / "tiny"
    mount.mkdir()
    with small_disk_at(mount, "1m"):
        store = LocalStore(str(mount / "gitml"))
        kept = store.put(SMALL)
        with pytest.raises(MachineError, match="No space left") as caught:
            store.put(LARGE)
        assert str(mount) in str(caught.value.where)
        (tmp_path / "in").mkdir()
        for n in range(40):
            (tmp_path / "in" / f"{n}").write_bytes(os.urandom(50_000))
        with pytest.raises(MachineError, match="No space left"):
            store.ingest_tree(str(tmp_path / "in"))
        assert os.listdir(store.temporaries) == []
        assert list(fsck.check_objects(store, deep=True)) == []
        assert store.read(kept) == SMALL
        gc.sweep(store, {kept})
        assert store.put(b"again") == digest_of(b"again")


# Deaths. The child kills itself at the n-th thing it does to the file system, for every n until it survives.

DYING = """
import os, signal, sys
from gitml.core.model.digest import digest_of
from gitml.core.model.tree import encode_tree
from gitml.store.local import disk, fsck, gc, ingest, materialize, store  # imported before deeds are counted
from gitml.store.local.store import LocalStore
import shutil
DEEDS = {"open", "os.rename", "os.remove", "os.chmod", "os.utime", "os.mkdir", "os.rmdir", "os.link", "os.scandir"}
left = None

def hook(event, args):
    global left
    if left is not None and event in DEEDS:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)

def die_at(n, deed):
    "Runs deed in a child that dies at its n-th deed; True when it lived."
    global left
    pid = os.fork()
    if pid == 0:
        left = n
        try:
            deed()
        except BaseException as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return not os.WIFSIGNALED(status)

home = sys.argv[1]
os.chdir(home)
"""


@pytest.mark.slow
def test_killed_anywhere_while_taking_a_tree_it_leaves_only_garbage(tmp_path: Path) -> None:
    done = python(
        DYING
        + textwrap.dedent("""
        def fill():
            shutil.rmtree("in", ignore_errors=True)
            os.makedirs("in/sub/deep")
            for name, content in (("a", b"a" * 100), ("sub/b", b"b"), ("sub/deep/c", b"c" * 2_000_000), ("sub/copy", b"a" * 100)):
                with open(f"in/{name}", "wb") as file:
                    file.write(content)
            os.symlink("a", "in/link")
            os.link("in/sub/b", "in/sub/linked")

        n = 0
        while True:
            shutil.rmtree("gitml", ignore_errors=True)
            fill()
            lived = die_at(n, lambda: LocalStore("gitml").ingest_tree("in"))
            store = LocalStore("gitml")
            assert list(fsck.check_objects(store, deep=True)) == [], n
            for digest, _ in store.iterate():  # a listing that is there names only what is there
                if store.read(digest).startswith(b"gitml tree"):
                    assert list(fsck.check_tree(store, digest)) == [], n
            if lived:
                break
            fill()
            digest, size = store.ingest_tree("in")
            assert store.has(digest, size, tree=True), n
            store.sweep_temporaries(0)
            assert os.listdir(store.temporaries) == [], n
            store.materialize_tree(digest, "out")
            assert open("out/sub/copy", "rb").read() == b"a" * 100
            shutil.rmtree("out")
            n += 1
        print(n)
        """),
        str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40


@pytest.mark.slow
def test_killed_anywhere_while_sweeping_it_deletes_nothing_that_is_kept(tmp_path: Path) -> None:
    done = python(
        DYING
        + textwrap.dedent("""
        n = 0
        while True:
            shutil.rmtree("gitml", ignore_errors=True)
            store = LocalStore("gitml")
            os.makedirs("in/sub")
            for name in ("a", "sub/b"):
                open(f"in/{name}", "wb").write(name.encode())
            digest, size = store.ingest_tree("in")
            blob = store.put(b"kept")
            for number in range(10):
                store.put(b"garbage %d" % number)
            lived = die_at(n, lambda: gc.sweep(LocalStore("gitml"), {digest, blob}))
            store = LocalStore("gitml")
            assert store.has(digest, size, tree=True) and store.has(blob, 4, tree=False), n
            assert list(fsck.check_objects(store, deep=True)) == [], n
            if lived:
                break
            gc.sweep(store, {digest, blob})
            assert len(list(store.iterate())) == 5, n
            n += 1
        print(n)
        """),
        str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


def take_the_same(root: str, home: str, number: int) -> None:
    os.chdir(home)
    store = LocalStore(root)
    for turn in range(10):
        folder = Path(f"in-{number}-{turn}")
        (folder / "sub").mkdir(parents=True)
        for n in range(20):
            (folder / "sub" / f"{n}").write_bytes(b"%d %d" % (turn, n) * 100)
        digest, size = store.ingest_tree(str(folder))
        assert store.has(digest, size, tree=True)
        store.materialize_tree(digest, f"out-{number}-{turn}")
        assert store.verify_materialized(digest, tree=True) == []
        store.put(b"the same %d" % turn)


@pytest.mark.slow
def test_processes_that_take_the_same_content_at_once_all_succeed(store: LocalStore, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    takers = [context.Process(target=take_the_same, args=(store.root, str(tmp_path), n)) for n in range(4)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(60)
    assert [taker.exitcode for taker in takers] == [0, 0, 0, 0]
    assert list(fsck.check_objects(store, deep=True)) == []
    assert len(list(store.iterate())) == 10 * (20 + 1 + 1 + 1)
    assert not os.path.exists(store.quarantined)


def test_a_killed_taker_leaves_a_temporary_that_is_swept_when_old(store: LocalStore) -> None:
    os.makedirs(store.temporaries)
    Path(store.temporaries, "1-dead").write_bytes(b"half")
    assert store.sweep_temporaries(3600) == (0, 0)
    assert store.sweep_temporaries(0) == (1, 4)


def put_over_and_over(root: str, digest: str, until: str) -> None:
    store = LocalStore(root)
    while not os.path.exists(until):
        content = b"again" * 1000
        store.publish_contents([(Digest(digest), content)])


def test_an_object_can_be_placed_while_another_process_puts_the_same_content_in_its_place(
    store: LocalStore, tmp_path: Path
) -> None:
    digest = store.put(b"again" * 1000)
    until = tmp_path / "enough"
    context = multiprocessing.get_context("spawn")
    other = context.Process(target=put_over_and_over, args=(store.root, digest, str(until)))
    inode = os.stat(store.path_of(digest)).st_ino
    other.start()
    try:
        while os.stat(store.path_of(digest)).st_ino == inode and other.is_alive():
            pass
        for n in range(3000):
            target = tmp_path / str(n)
            store.materialize_file(digest, str(target))
            os.unlink(target)
    finally:
        until.touch()
        other.join(60)
    assert other.exitcode == 0
