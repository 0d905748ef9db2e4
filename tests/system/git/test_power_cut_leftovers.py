"""What a power cut leaves in a repository: lock files of Git, and objects without content. No one of them stops gitml for good."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.kit.projects.command_line import Project

FILES = {
    "pipelines/p.yaml": (
        "steps:\n  a:\n    run: sh src/make.sh ${{ outputs.o }}\n    outputs: {o: file}\n    code: [conf/]\n"
    ),
    "src/make.sh": '{ echo made of; cat conf/one; } > "$1"\n',
    "conf/one": "one\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "r", FILES)
    made.do("run", "-q")
    return made


def old_lock(project: Project, name: str) -> Path:
    path = project.path / ".git" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))
    return path


def objects(project: Project) -> set[Path]:
    return {path for path in (project.path / ".git/objects").glob("??/*") if path.is_file()}


def empty(paths: set[Path]) -> None:
    for path in paths:
        path.chmod(0o644)
        path.write_bytes(b"")


def runs(project: Project) -> int:
    return len(project.do("log", "--json").json)


def test_a_run_removes_the_stale_lock_of_the_log_and_says_so(project: Project) -> None:
    lock = old_lock(project, "refs/gitml/runs.lock")
    done = project.do("run")
    assert f"removed a lock file that a git which was ended left behind: {lock}" in done.err
    assert not lock.exists()
    assert runs(project) == 2


def test_doctor_and_fsck_name_a_stale_lock_and_repair_removes_it(project: Project) -> None:
    lock = old_lock(project, "refs/gitml/runs.lock")
    packed = old_lock(project, "packed-refs.lock")
    assert f"{lock}, untouched for" in project.do("doctor", code=1).out
    told = project.do("fsck", code=3)
    assert f"lock  git  {lock}" in told.out
    assert f"lock  git  {packed}" in told.out
    assert "removed" in project.do("fsck", "--repair").out
    assert not lock.exists()
    assert not packed.exists()
    project.do("fsck")


def test_a_lock_that_is_held_now_is_left_alone(project: Project) -> None:
    lock = project.path / ".git/refs/gitml/runs.lock"
    lock.touch()
    assert "another git is at work" in project.do("doctor").out
    project.do("fsck", "--repair")
    assert lock.exists()


def test_gc_removes_what_a_killed_git_left_once_git_itself_would(project: Project) -> None:
    old, young = (project.path / ".git/objects" / name for name in ("pack/tmp_pack_old", "pack/tmp_pack_young"))
    loose = next(iter(objects(project))).parent / "tmp_obj_old"
    for path in (old, young, loose):
        path.write_bytes(b"0123456789")
    weeks_ago = time.time() - 15 * 86400
    for path in (old, loose):
        os.utime(path, (weeks_ago, weeks_ago))
    told = project.do("gc", "-n", "--json").json
    assert (told["temporaries"], told["temporary_bytes"]) == (2, 20)
    project.do("gc")
    assert [path.exists() for path in (old, loose, young)] == [False, False, True]


@pytest.mark.parametrize("kind", ["changed", "untracked"])
def test_objects_that_a_plan_left_empty_are_written_again(project: Project, kind: str) -> None:
    before = objects(project)
    (project.path / "conf" / ("one" if kind == "changed" else "two")).write_text("two\n")
    project.do("plan")
    made = objects(project) - before
    assert len(made) >= 3
    empty(made)
    done = project.do("run")
    assert "succeeded" in done.err
    project.do("fsck")
    project.repo.git("fsck", "--strict", "--no-dangling")


def test_fsck_names_damaged_and_missing_source_objects_and_repair_writes_them_again(project: Project) -> None:
    project.repo.git("commit", "--allow-empty", "-q", "-m", "more")
    blob = project.repo.git("rev-parse", "HEAD:conf/one")
    tree = project.repo.git("rev-parse", "HEAD:src")
    places = [project.path / ".git/objects" / oid[:2] / oid[2:] for oid in (blob, tree)]
    places[0].chmod(0o644)
    places[0].write_bytes(places[0].read_bytes()[:-3])
    places[1].unlink()
    told = project.do("fsck", code=3)
    assert f"object  git  {blob}  its file is damaged" in told.out
    assert f"object  git  {tree}  the tree is missing" in told.out
    mended = project.do("fsck", "--repair")
    assert mended.out.count("repaired: written again") == 2
    project.do("fsck")
    project.repo.git("fsck", "--strict", "--no-dangling")
    assert list((project.path / ".git/gitml/quarantine").glob(f"git-{blob}.*"))


def test_a_source_object_that_is_nowhere_is_named_and_stays_a_fault(project: Project) -> None:
    lost = project.repo.git("rev-parse", "HEAD:conf/one")
    project.repo.commit("other", {"conf/one": "other\n"})
    (project.path / ".git/objects" / lost[:2] / lost[2:]).unlink()
    assert f"object  git  {lost}  the blob is missing" in project.do("fsck", "--repair", code=3).out


def test_a_plan_leaves_no_object_unsynced(project: Project, tmp_path: Path) -> None:
    mark = (project.path / ".git/gitml/synced").stat().st_mtime_ns
    (project.path / "conf/one").write_text("two\n")
    before = objects(project)
    project.do("plan")
    newest = max(path.stat().st_mtime_ns for path in objects(project) - before)
    after = (project.path / ".git/gitml/synced").stat().st_mtime_ns
    assert after >= newest > mark


def test_an_index_that_a_cut_spoiled_is_set_aside_and_that_is_said(project: Project) -> None:
    index = project.path / ".git/gitml/index.db"
    for part in ("-wal", "-shm"):
        index.with_name(index.name + part).unlink(missing_ok=True)
    index.write_bytes(b"\0" * 8192)
    done = project.do("log", "--json")
    assert f"it is {index}.bad-1 now" in done.err
    assert len(done.json) == 1
