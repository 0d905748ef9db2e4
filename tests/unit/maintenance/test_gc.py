"""What gc keeps, what fsck finds and mends, what a record carries with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitml.core.records.record import Run
from gitml.errors import BusyError
from gitml.maintenance.fsck import Fault, check
from gitml.maintenance.gc import KeepPolicy, collect, usage
from gitml.store.local.locks import Locks
from tests.kit.projects.project import Project, outcomes
from tests.kit.record_files import record_files

pytestmark = pytest.mark.slow  # whole runs, one after another

# Each output is too large to travel in a record, so that only the store has it.
PIPELINE = """\
params: {n: 1}
steps:
  a: {shell: sh, run: "seq ${{ params.n }} 999 > ${{ outputs.o }}; echo log ${{ params.n }}", outputs: {o: file}}
  b: {shell: sh, run: "mkdir ${{ outputs.o }}; cp ${{ steps.a.outputs.o }} ${{ outputs.o }}/f; echo ${{ params.n }} > ${{ outputs.o }}/g", outputs: {o: directory}}
"""
NOTHING_INLINE = {"gitml.yaml": "records: {inline_file: 0}\n"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE, **NOTHING_INLINE})


def three_runs(project: Project) -> list[Run]:
    """Runs of a parameter each, at commits of their own; the first two are on no branch any more."""
    runs = []
    for n in (1, 2, 3):
        project.repo.commit(f"run {n}")
        runs.append(project.run(given=[("n", str(n))]))
    return runs


def stored(project: Project, run: Run) -> bool:
    """Whether all outputs of a run are in the store."""
    with project.workspace() as ws:
        return all(ws.store.has(o.digest, o.size, tree=o.is_tree) for step in run.steps for o in step.outputs)


def kept(project: Project, runs: list[Run], policy: KeepPolicy) -> list[bool]:
    """Which runs' outputs gc under this policy leaves. A dry run first says the same and deletes nothing."""
    before = project.objects()
    with project.workspace() as ws:
        foretold = collect(ws, policy, dry_run=True)
        assert project.objects() == before
        swept = collect(ws, policy, dry_run=False)
    assert (swept.objects, swept.bytes, swept.kept) == (foretold.objects, foretold.bytes, foretold.kept)
    assert len(project.objects()) == len(before) - swept.objects == swept.kept
    return [stored(project, run) for run in runs]


def test_without_limits_all_that_a_run_names_is_kept_and_only_that(project: Project) -> None:
    runs = three_runs(project)
    with project.workspace() as ws:
        stray = ws.store.put(b"named by nothing")
    assert kept(project, runs, KeepPolicy()) == [True, True, True]
    assert not os.path.exists(project.object_path(stray))


def test_the_newest_runs_of_each_pipeline_are_kept(project: Project) -> None:
    runs = three_runs(project)
    project.repo.write({"pipelines/other.yaml": PIPELINE.replace("999", "888")})
    other = project.run("other")
    assert kept(project, [*runs, other], KeepPolicy(last=2)) == [False, True, True, True]
    assert kept(project, [*runs, other], KeepPolicy(last=0)) == [False, False, True, True]


def test_runs_since_a_time_are_kept(project: Project) -> None:
    runs = three_runs(project)
    assert kept(project, runs, KeepPolicy(since=runs[1].started)) == [False, True, True]


def test_runs_of_commits_that_a_branch_or_tag_names_are_kept(project: Project) -> None:
    runs = three_runs(project)
    project.repo.git("tag", "-a", "-m", "x", "v1", runs[0].commit)
    assert kept(project, runs, KeepPolicy(last=0)) == [True, False, True]


def test_pinned_runs_are_kept(project: Project) -> None:
    first = project.run(tags=("pinned",))
    project.repo.commit()
    second = project.run(given=[("n", "2")])
    project.repo.commit()
    assert kept(project, [first, second], KeepPolicy(last=0)) == [True, False]


def test_outputs_of_a_pattern_are_kept_in_every_run(project: Project) -> None:
    runs = three_runs(project)
    with project.workspace() as ws:
        collect(ws, KeepPolicy(last=1, outputs=["b.*"]), dry_run=False)
        for run in runs:
            directory = run.steps[1].outputs[0]
            assert ws.store.has(directory.digest, directory.size, tree=True)
    assert project.plan(given=[("n", "1")]).decisions["b"].kind in ("reuse", "unknown")


def test_what_was_deleted_is_made_again_with_its_reason(project: Project) -> None:
    runs = three_runs(project)
    with project.workspace() as ws:
        collect(ws, KeepPolicy(last=1), dry_run=False)
        assert list(check(ws)) == []
    plan = project.plan(given=[("n", "1")])
    gone = "is not here: it was not pushed to a remote store"
    assert plan.decisions["a"].reason == f"output o of run {runs[0].id[:8]} {gone}"
    again = project.run(given=[("n", "1")])
    assert [step.outputs for step in again.steps] == [step.outputs for step in runs[0].steps]


def test_gc_waits_for_no_run_but_refuses_beside_one(project: Project) -> None:
    import subprocess
    import sys

    project.run()
    path = os.path.join(project.repo.path, ".git/gitml/locks")
    code = "import sys; from gitml.store.local.locks import Locks; l = Locks(sys.argv[1]); print(l.try_lock(Locks.GC, shared=True), flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=-1, stdout=-1, env={**project.environ, "PYTHONPATH": "."}
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"True\n"
        with project.workspace() as ws, pytest.raises(BusyError, match="a run is going on"):
            collect(ws, KeepPolicy(), dry_run=False)
        other.communicate(b"")
    with project.workspace() as ws:
        collect(ws, KeepPolicy(), dry_run=False)
        assert ws.locks.holder(Locks.GC) is None


def test_fsck_checks_nothing_beside_a_gc_that_does_not_end(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run()
    asked: list[float | None] = []

    def refused(locks: Locks, slot: int, timeout: float | None = None, *, shared: bool = False) -> bool:
        asked.append(timeout)
        return False

    with project.workspace() as ws:
        monkeypatch.setattr(Locks, "lock", refused)
        with pytest.raises(BusyError, match="gc has been running"):
            list(check(ws))
    assert asked == [600.0]


def test_usage_tells_what_takes_the_room(project: Project) -> None:
    project.run()
    with project.workspace() as ws:
        rooms = {room.what: room for room in usage(ws)}
    assert rooms["objects"].items == len(project.objects())
    assert rooms["objects"].bytes == sum(os.path.getsize(path) for path in project.objects())
    assert rooms["index"].bytes > 0
    assert rooms["quarantine"].items == rooms["runs in progress"].items == 0


# -- fsck


def faults(project: Project, *, deep: bool = True, repair: bool = False) -> list[Fault]:
    with project.workspace() as ws:
        return list(check(ws, deep=deep, repair=repair))


def damage(path: str) -> None:
    """Flips a bit, keeping size, mode and time."""
    found = os.stat(path)
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))
    os.chmod(path, found.st_mode)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_a_sound_repository_has_no_fault(project: Project) -> None:
    project.run()
    assert faults(project) == []


@pytest.mark.parametrize("which", [("a", 0), ("b", 0), ("b", "f")])
def test_a_damaged_object_is_found_and_made_again_by_running(project: Project, which: tuple[str, object]) -> None:
    run = project.run()
    digest = run.steps[0 if which[0] == "a" or which[1] == "f" else 1].outputs[0].digest
    damage(project.object_path(digest))
    (fault,) = [fault for fault in faults(project) if fault.name == digest]
    assert (fault.place, fault.kind, fault.mended) == ("store", "corrupt", None)
    mended = faults(project, repair=True)
    assert {fault.name for fault in mended} >= {digest}
    assert all(fault.mended and fault.mended.startswith("made again by run ") for fault in mended), mended
    assert faults(project) == []
    assert stored(project, run)


def test_a_missing_part_of_a_directory_is_found_and_made_again(project: Project) -> None:
    run = project.run()
    (part,) = {entry for entry in project.files(run.steps[1].outputs[0].digest).values() if entry == b"1\n"}
    from gitml.core.model.digest import digest_of

    os.unlink(project.object_path(digest_of(part)))
    (fault,) = faults(project)
    assert (fault.place, fault.kind, fault.what) == ("store", "missing", "for g")
    (fault,) = faults(project, repair=True)
    assert fault.mended is not None
    assert faults(project) == []


def test_a_missing_part_that_a_record_holds_is_brought_back(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE})
    run = project.run()
    from gitml.core.model.digest import digest_of

    os.unlink(project.object_path(digest_of(b"1\n")))
    (fault,) = faults(project, repair=True)
    assert fault.kind == "missing"
    assert fault.mended is not None
    assert faults(project) == []
    assert stored(project, run)


def test_what_can_not_be_made_again_is_named_and_not_mended(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("1")
    text = f"steps:\n  a: {{shell: sh, run: 'cat {clock} > ${{{{ outputs.o }}}}', outputs: {{o: file}}}}\n"
    project = Project(tmp_path / "r", {"pipelines/p.yaml": text, **NOTHING_INLINE})
    run = project.run()
    clock.write_text("2")
    damage(project.object_path(run.steps[0].outputs[0].digest))
    (fault,) = faults(project, repair=True)
    assert (fault.kind, fault.mended) == ("corrupt", None)


def test_objects_that_were_copied_with_the_repository_are_no_faults_and_are_as_they_were_again(
    project: Project, tmp_path: Path
) -> None:
    import shutil

    run = project.run()
    for name, copy in (("plain", shutil.copyfile), ("with modes", shutil.copy)):
        shutil.copytree(project.repo.path, tmp_path / name, symlinks=True, copy_function=copy)
        copied = Project(tmp_path / name)
        path = copied.object_path(run.steps[0].outputs[0].digest)
        assert os.stat(path).st_mtime != os.stat(project.object_path(run.steps[0].outputs[0].digest)).st_mtime
        assert faults(copied) == []
        assert os.stat(path).st_mtime == os.stat(project.object_path(run.steps[0].outputs[0].digest)).st_mtime
        assert outcomes(copied.run()) == {"a": "reused", "b": "reused"}


def test_a_foreign_file_is_found_and_mended(project: Project) -> None:
    run = project.run()
    path = project.object_path(run.steps[0].outputs[0].digest)
    foreign = os.path.join(os.path.dirname(path), "notes.txt")
    with open(foreign, "w") as file:
        file.write("mine")
    assert {fault.kind for fault in faults(project)} == {"foreign"}
    mended = {fault.kind: fault.mended for fault in faults(project, repair=True)}
    assert mended == {"foreign": "moved to the quarantine"}
    assert faults(project) == []


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        pytest.param("run.json", b"[" * 9999, "not a run record", id="nested"),
        ("run.json", b"{}", "not a run record"),
        ("actions/" + "0" * 64 + ".json", b"{}", "not an action"),
        ("environments/" + "0" * 64 + ".json", b"{}", "holds other bytes than its name says"),
        ("outputs/" + "0" * 64, b"x", "holds other bytes than its name says"),
        ("outputs/zz", b"x", "not a sha256"),
        ("reproductions/x.json", b"{", "Expecting property name"),
        ("secrets/x", b"", "is no file of a record"),
    ],
)
def test_a_record_that_contradicts_itself_is_found(project: Project, file: str, content: bytes, what: str) -> None:
    project.run()
    with project.workspace() as ws:
        ws.records.append({f"runs/2020/01/01/aa/{'a' * 16}/{file}": content}, "bad\n", None)
    found = [fault for fault in faults(project) if fault.place == "records"]
    assert len(found) == 1
    assert found[0].kind == "record"
    assert what in found[0].what


def test_an_index_that_lost_a_run_is_found_and_made_anew(project: Project) -> None:
    run = project.run()
    with project.workspace() as ws:
        ws.index.execute("DELETE FROM runs")
    (fault,) = faults(project)
    assert (fault.place, fault.what) == ("index", f"run {run.id} is recorded but not in the index")
    (fault,) = faults(project, repair=True)
    assert fault.mended == "rebuilt from the records"
    assert faults(project) == []


def test_an_index_that_is_gone_is_made_anew_unasked(project: Project) -> None:
    project.run()
    for suffix in ("", "-wal", "-shm"):
        path = os.path.join(project.repo.path, ".git/gitml/index.db" + suffix)
        if os.path.exists(path):
            os.unlink(path)
    assert set(outcomes(project.run()).values()) == {"reused"}
    assert faults(project) == []


# -- what records carry


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ("", {"small", "large", "listing", "f", "g"}),
        ("records: {inline_file: 200}\n", {"small", "listing", "f"}),
        ("records: {inline_file: 0}\n", set()),
        ("records: {inline_run: 0}\n", set()),
        ("records: {inline_file: 1MiB, inline_run: 4}\n", {"small"}),
    ],
)
def test_a_record_carries_small_outputs_within_its_limits(tmp_path: Path, limits: str, expected: set[str]) -> None:
    text = """\
steps:
  small: {shell: sh, run: "printf 123 > ${{ outputs.o }}", outputs: {o: file}}
  large: {shell: sh, run: "seq 100 200 > ${{ outputs.o }}", outputs: {o: file}}
  dir: {shell: sh, run: "mkdir ${{ outputs.o }}; printf f > ${{ outputs.o }}/f; seq 300 400 > ${{ outputs.o }}/g", outputs: {o: directory}}
"""
    files = {"pipelines/p.yaml": text, **({"gitml.yaml": limits} if limits else {})}
    project = Project(tmp_path / "r", files)
    run = project.run()
    from gitml.core.model.digest import digest_of

    numbers = [b"".join(b"%d\n" % n for n in range(start, start + 101)) for start in (100, 300)]
    names = {
        "small": digest_of(b"123"), "large": digest_of(numbers[0]), "listing": run.steps[2].outputs[0].digest,
        "f": digest_of(b"f"), "g": digest_of(numbers[1]),
    }  # fmt: skip
    with project.workspace() as ws:
        carried = {path.rsplit("/", 1)[1] for _, path, _ in record_files(ws.records) if "/outputs/" in path}
        assert {name for name, digest in names.items() if digest[7:] in carried} == expected
        assert {name for name, digest in names.items() if ws.index.inline(digest) is not None} == expected


def test_what_a_record_carries_is_not_carried_again_by_the_next(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE})
    project.run()
    project.run(force=True)
    with project.workspace() as ws:
        paths = [path for _, path, _ in record_files(ws.records) if "/outputs/" in path or "/logs/" in path]
    names = [path.rsplit("/", 1)[1] for path in paths]
    assert len(names) == len(set(names))
    assert len({path.split("/")[5] for path in paths}) == 1


def test_an_output_that_only_a_record_holds_is_reused_and_fed_to_the_next_step(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE})
    project.run()
    for path in project.objects():
        os.unlink(path)
    assert {d.kind for d in project.plan().decisions.values()} == {"reuse"}
    project.repo.write({"pipelines/p.yaml": PIPELINE.replace("mkdir", "mkdir -p")})
    again = project.run()
    assert outcomes(again) == {"a": "reused", "b": "executed"}
    assert project.files(again.steps[1].outputs[0].digest)["g"] == b"1\n"
