"""Refs of gitml that are damaged, deleted or set to something else heal by themselves, and nothing recorded is lost."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gitml.git.integrity import repairs
from gitml.maintenance.fsck import check
from gitml.store.index.runs import newest_runs
from gitml.transfer.records import fetch, push
from tests.kit.projects.project import Project, outcomes
from tests.kit.record_files import record_files

RUNS = ".git/refs/gitml/runs"
PIPELINE = (
    "params: {n: 1}\nsteps:\n  a: {shell: sh, run: 'echo ${{ params.n }} > ${{ outputs.o }}', outputs: {o: file}}\n"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two recorded runs, copied for each test."""
    folder = tmp_path_factory.mktemp("refs")
    project = Project(folder / "r", {"pipelines/p.yaml": PIPELINE})
    project.run()
    project.run(given=[("n", "2")])
    return folder / "r"


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "r", symlinks=True)
    return tmp_path / "r"


def oid_of(path: Path) -> str:
    return (path / RUNS).read_text().strip()


def truncated(path: Path) -> None:
    (path / RUNS).write_text(oid_of(path)[:17])


def empty(path: Path) -> None:
    (path / RUNS).write_text("")


def flipped(path: Path) -> None:
    oid = oid_of(path)
    (path / RUNS).write_text(("0" if oid[0] != "0" else "1") + oid[1:] + "\n")


def nul(path: Path) -> None:
    (path / RUNS).write_bytes(bytes(41))


def garbage(path: Path) -> None:
    (path / RUNS).write_bytes(b"\xff\xfe not a ref \x1b[31m" * 9)


def a_folder(path: Path) -> None:
    (path / RUNS).unlink()
    (path / RUNS / "deeper").mkdir(parents=True)
    (path / RUNS / "deeper" / "file").write_text("x")


def deleted(path: Path) -> None:
    (path / RUNS).unlink()


def a_blob(path: Path) -> None:
    project = Project(path)
    (path / RUNS).write_text(project.repo.git("hash-object", "-w", "pipelines/p.yaml").strip() + "\n")


def another_commit(path: Path) -> None:
    (path / RUNS).write_text(Project(path).repo.git("rev-parse", "HEAD").strip() + "\n")


def packed_and_cut(path: Path) -> None:
    Project(path).repo.git("pack-refs", "--all")
    packed = path / ".git/packed-refs"
    packed.write_text(packed.read_text().replace(f"{packed_oid(packed)} refs/gitml/runs", "0123 refs/gitml/runs"))


def packed_and_flipped(path: Path) -> None:
    Project(path).repo.git("pack-refs", "--all")
    packed = path / ".git/packed-refs"
    oid = packed_oid(packed)
    packed.write_text(packed.read_text().replace(oid, ("0" if oid[0] != "0" else "1") + oid[1:]))


def own_refs_packed(path: Path) -> Path:
    """``packed-refs``, which holds the refs of gitml and no branch."""
    packed = path / ".git/packed-refs"
    told = Project(path).repo.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/gitml")
    packed.write_text(f"# pack-refs with: peeled fully-peeled sorted \n{told}\n")
    shutil.rmtree(path / ".git/refs/gitml")
    return packed


def packed_oid(packed: Path) -> str:
    return next(line.split()[0] for line in packed.read_text().splitlines() if line.endswith(" refs/gitml/runs"))


def packed_and_noise(path: Path) -> None:
    own_refs_packed(path).write_bytes(random.Random(1).randbytes(300))


def symbolic(path: Path) -> None:
    (path / RUNS).write_text("ref: refs/heads/nowhere\n")


def unreadable(path: Path) -> None:
    # As root every file can be read: a link to itself can't be by anybody.
    (path / RUNS).unlink()
    os.symlink("runs", path / RUNS)


DAMAGES = [
    truncated,
    empty,
    flipped,
    nul,
    garbage,
    a_folder,
    deleted,
    a_blob,
    another_commit,
    packed_and_cut,
    packed_and_flipped,
    packed_and_noise,
    symbolic,
    unreadable,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_the_next_command_restores_the_log_and_says_so(path: Path, damage: Callable[[Path], None]) -> None:
    before = oid_of(path)
    damage(path)
    project = Project(path)
    told: list[str] = []
    with project.workspace() as ws:
        repairs.listen(told.append)
        assert len(newest_runs(ws.index, limit=None)) == 2
        assert ws.records.tip() == before
        assert list(check(ws)) == []
    assert len(told) == 1
    assert told[0].startswith(f"refs/gitml/runs was restored to {before[:12]}: ")
    assert project.repo.git("rev-parse", "refs/gitml/runs").strip() == before
    assert outcomes(project.run()) == {"a": "reused"}
    with project.workspace() as ws:
        assert len(newest_runs(ws.index, limit=None)) == 3


@pytest.mark.parametrize(
    "damage",
    [d for d in DAMAGES if d not in (deleted, another_commit, packed_and_noise)],
    ids=lambda damage: damage.__name__,
)
def test_without_an_index_the_newest_record_among_the_objects_counts(
    path: Path, damage: Callable[[Path], None]
) -> None:
    before = oid_of(path)
    damage(path)
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (path / ".git/gitml" / name).unlink(missing_ok=True)
    with Project(path).workspace() as ws:
        assert len(newest_runs(ws.index, limit=None)) == 2
        assert ws.records.tip() == before


def test_where_there_never_was_a_run_nothing_is_restored(tmp_path: Path) -> None:
    told: list[str] = []
    with Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE}).workspace() as ws:
        repairs.listen(told.append)
        assert newest_runs(ws.index, limit=None) == []
    assert told == []


def test_what_others_recorded_meanwhile_is_no_damage(path: Path) -> None:
    project = Project(path)
    told: list[str] = []
    with project.workspace() as ws:
        repairs.listen(told.append)
        ws.index  # noqa: B018 - it is open while another process records
        project.run(given=[("n", "3")])
        ws.catch_up()
        assert len(newest_runs(ws.index, limit=None)) == 3
    assert told == []


@pytest.mark.parametrize("content", ["", "0123", "f" * 40, "\x11" + "a" * 39, "ref: refs/heads/nowhere"])
@pytest.mark.parametrize("log", ["runs", "registry"])
def test_damaged_tracking_refs_are_fetched_anew(path: Path, tmp_path: Path, content: str, log: str) -> None:
    project = Project(path)
    project.repo.git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    project.repo.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    with project.workspace() as ws:
        push(ws)
    tracking = path / f".git/refs/gitml/remotes/origin/{log}"
    tracking.write_text(content)
    with project.workspace() as ws:
        assert len(newest_runs(ws.index, limit=None)) == 2
        fetch(ws)
    project.run(given=[("n", "7")])
    with project.workspace() as ws:
        assert push(ws).runs_sent == 1
    if log == "runs":
        assert tracking.read_text().strip() == oid_of(path)


def test_a_deleted_ref_leaves_no_run_reused_from_one_that_no_record_has(path: Path) -> None:
    deleted(path)
    project = Project(path)
    run = project.run()
    with project.workspace() as ws:
        recorded = {row.id for row in newest_runs(ws.index, limit=None)}
        assert {step.origin for step in run.steps} <= recorded
        assert list(check(ws)) == []


def test_fsck_names_a_run_that_another_was_reused_from_and_no_record_has(path: Path) -> None:
    project = Project(path)
    project.run(given=[("n", "2")])
    # What a gitml that restored nothing left: a log that begins with a run reused from one before it.
    git = project.repo.git
    tip = git("rev-parse", "refs/gitml/runs").strip()
    first = git("rev-parse", f"{tip}~1").strip()
    with project.workspace() as ws:
        files = {p: oid for _, p, oid in record_files(ws.records, first)}
        log = ws.records.merge(None, tip, files, "as it was left")
    git("update-ref", "refs/gitml/runs", log)
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (path / ".git/gitml" / name).unlink(missing_ok=True)
    with project.workspace() as ws:
        (fault,) = list(check(ws))
        assert (fault.place, fault.kind) == ("records", "origin")
        assert "no record has it" in fault.what


def test_fsck_restores_a_damaged_ref_of_a_submission(path: Path) -> None:
    from gitml.history.submissions import Submission, note_submission

    project = Project(path)
    head = project.repo.git("rev-parse", "HEAD").strip()
    ref = path / ".git/refs/gitml/submissions/abcdefabcdefabcd"
    with project.workspace() as ws:
        note_submission(ws, Submission("abcdefabcdefabcd", "big", "p", head, 0.0, "x"))
        ref.write_text("")
        (fault,) = list(check(ws))
        assert fault.name == "refs/gitml/submissions/abcdefabcdefabcd"
        (mended,) = list(check(ws, repair=True))
        assert mended.mended == f"set to {head[:12]} again"
        assert list(check(ws)) == []
    assert ref.read_text().strip() == head


def test_a_remote_that_lost_runs_is_said_and_gets_them_again(path: Path, tmp_path: Path) -> None:
    project = Project(path)
    git = project.repo.git
    git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    git("remote", "add", "origin", str(tmp_path / "hub.git"))
    with project.workspace() as ws:
        push(ws)
    before = oid_of(path)
    first = git("rev-parse", f"{before}~1").strip()
    git("push", "-q", "--force", "origin", f"{first}:refs/gitml/runs")
    told: list[str] = []
    with project.workspace() as ws:
        repairs.listen(told.append)
        fetch(ws)
        assert len(newest_runs(ws.index, limit=None)) == 2
        assert oid_of(path) == before
        assert len(told) == 1
        assert f"was at {before[:12]} and was set to {first[:12]}, without 1 run" in told[0]
        assert push(ws).runs_sent == 1
    assert git("ls-remote", "origin", "refs/gitml/runs").split()[0] == before


@pytest.mark.parametrize(
    "wrong",
    [
        lambda text: text.replace("# pack-refs", "# pack-rmfs"),
        lambda text: text + "0123",
        lambda text: text.removesuffix("\n"),
        lambda text: text + "\n",
        lambda text: text + f"^{'a' * 40}\n^{'b' * 40}\n",
    ],
)
def test_packed_refs_that_git_can_not_read_are_named_and_written_anew(path: Path, wrong: Callable[[str], str]) -> None:
    before = oid_of(path)
    packed = own_refs_packed(path)
    damaged = wrong(packed.read_text())
    packed.write_text(damaged)
    project = Project(path)
    with project.workspace() as ws:
        assert [fault.kind for fault in check(ws)] == ["packed-refs"]
        (fault,) = check(ws, repair=True)
        assert fault.mended
        assert list(check(ws)) == []
    assert project.repo.git("rev-parse", "refs/gitml/runs") == before
    assert [file.read_text() for file in (path / ".git/gitml/quarantine").glob("git-packed-refs.*")] == [damaged]


def test_packed_refs_out_of_order_are_put_in_order(path: Path) -> None:
    packed = own_refs_packed(path)
    lines = [f"{packed_oid(packed)} refs/gitml/{name}\n" for name in ("zz", "runs", "aa")]
    packed.write_text("# pack-refs with: peeled fully-peeled sorted \n" + "".join(lines))
    with Project(path).workspace() as ws:
        list(check(ws, repair=True))
    assert packed.read_text().splitlines()[1:] == [line.rstrip() for line in reversed(lines)]


def test_a_packed_ref_that_names_nothing_is_taken_away(path: Path) -> None:
    packed = own_refs_packed(path)
    packed.write_text(packed.read_text() + f"{'1' * 40} refs/gitml/taken/origin/runs\n")
    with Project(path).workspace() as ws:
        assert "refs/gitml/taken/origin/runs" in [fault.name for fault in check(ws)]
        list(check(ws, repair=True))
        assert list(check(ws)) == []
    assert "taken" not in packed.read_text()
