"""The index kept level with the log of runs, whatever the log holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gitml.core.model.digest import digest_of, hex_of
from gitml.core.records.record import decode_run, encode_run
from gitml.errors import InputError, IntegrityError
from gitml.records.index_sync import IndexedLog, sync
from gitml.records.layout import FOLDERS, RecordFile, parse_path, record_folder
from gitml.records.runs import read_run, recorded_runs
from gitml.store.index.runs import count_runs, newest_runs, put_run, run_row
from gitml.transfer.availability import Availability
from tests.kit.projects.project import Project

PIPELINE = "steps:\n  a:\n    run: sh -c 'echo hi > $1; echo said' x ${{ outputs.o }}\n    outputs: {o: file}\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE})


def test_a_records_folder_is_its_day_in_utc_and_its_id() -> None:
    assert record_folder("ab12", 1_700_000_000.0) == "runs/2023/11/14/ab/ab12"
    assert record_folder("ff00", 0) == "runs/1970/01/01/ff/ff00"


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_files_of_a_record_are_told_from_their_paths(folder: str) -> None:
    base = record_folder("abcdef0123456789", 1_700_000_000.0)
    assert parse_path(f"{base}/run.json") == RecordFile("abcdef0123456789", "", "run.json")
    assert parse_path(f"{base}/{folder}/x") == RecordFile("abcdef0123456789", folder, "x")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "runs",
        "x/2023/11/14/ab/abcd/run.json",
        "runs/2023/11/14/ab/abcd/other.json",
        "runs/2023/11/14/ff/abcd/run.json",
    ]
    + ["runs/2023/11/14/ab/abcd/secrets/x", "runs/2023/11/14/ab/abcd/logs/x/y", "runs/2023/11/14/ab/abcd"],
)
def test_other_paths_are_no_files_of_a_record(path: str) -> None:
    assert parse_path(path) is None


def test_an_index_made_anew_from_the_log_knows_what_the_first_knew(project: Project) -> None:
    run = project.run()
    with project.workspace() as ws:
        key = run.steps[0].key
        assert key is not None
        before = [
            newest_runs(ws.index, limit=None),
            ws.index.action(key),
            ws.index.environment(ws.index.action(key).environment),
        ]  # type: ignore[union-attr]
        inline = ws.index.inline(run.steps[0].outputs[0].digest)
        ws.rebuild_index()
        assert [
            newest_runs(ws.index, limit=None),
            ws.index.action(key),
            ws.index.environment(ws.index.action(key).environment),
        ] == before  # type: ignore[union-attr]
        assert ws.index.inline(run.steps[0].outputs[0].digest) == inline
        known = ws.index.result(key)
        assert known is not None
        assert known.outputs == run.steps[0].outputs
    assert project.plan().decisions["a"].kind == "reuse"


def test_the_runs_of_another_clone_are_known_after_a_fetch_of_the_ref_alone(project: Project, tmp_path: Path) -> None:
    run = project.run()
    project.repo.git("clone", "-q", project.repo.path, str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    clone.repo.git("fetch", "-q", "origin", "refs/gitml/runs:refs/gitml/runs")
    assert clone.plan().decisions["a"].kind == "reuse"
    with clone.workspace() as ws:
        assert encode_run(read_run(ws.index, ws.objects, run.id)) == encode_run(run)
        assert sync(IndexedLog(ws.index, ws.records, ws.objects)).runs == 0


def lose(project: Project, oid: str) -> None:
    """Takes one object out of the repository."""
    objects = Path(project.repo.file(".git/objects"))
    for pack in list((objects / "pack").glob("*.pack")):
        packed = pack.read_bytes()
        for part in objects.glob(f"pack/{pack.stem}.*"):
            part.unlink()
        project.repo.git_bytes("unpack-objects", "-q", input=packed)
    (objects / oid[:2] / oid[2:]).unlink()


def test_a_record_that_is_missing_is_left_out_and_named_by_fsck(project: Project) -> None:
    from gitml.maintenance.fsck import check

    first, second = project.run(), project.run()
    with project.workspace() as ws:
        row = run_row(ws.index, first.id)
        assert row is not None
        path = f"{record_folder(row.id, row.started)}/run.json"
        oid = project.repo.git("rev-parse", f"{row.record}:{path}").strip()
        lose(project, oid)
        ws.rebuild_index()
        assert [row.id for row in newest_runs(ws.index, limit=None)] == [second.id]
        assert [run.id for run in recorded_runs(ws.records, ws.objects)] == [second.id]
        faults = [(fault.name, fault.what) for fault in check(ws) if fault.place == "records"]
        assert faults == [(path, "its Git object is missing")]


def test_the_number_of_records_is_told_when_there_are_many(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run()
    project.run()
    told: list[int] = []
    with project.workspace() as ws:
        ws.on_many_records = told.append
        ws.rebuild_index()
        assert count_runs(ws.index) == 2
        assert told == []
        monkeypatch.setattr("gitml.records.index_sync.MANY", 2)
        ws.rebuild_index()
        assert count_runs(ws.index) == 2
        assert told == [2]


def test_every_recorded_run_comes_once_and_with_a_commit_those_recorded_after_it(project: Project) -> None:
    first = project.run()
    with project.workspace() as ws:
        known = ws.records.tip()
    second = project.run()
    with project.workspace() as ws:
        assert sorted(run.id for run in recorded_runs(ws.records, ws.objects)) == sorted([first.id, second.id])
        assert [run.id for run in recorded_runs(ws.records, ws.objects, known)] == [second.id]


def test_a_run_that_nobody_recorded_is_an_input_error(project: Project) -> None:
    with project.workspace() as ws, pytest.raises(InputError, match="no run"):
        read_run(ws.index, ws.objects, "0" * 16)


def hostile_records(good: dict[str, Any]) -> dict[str, bytes]:
    """Files that another machine's log may hold by damage or on purpose, by what is wrong with them."""
    step = good["steps"][0]

    def run(**change: Any) -> bytes:
        return json.dumps({**good, **change}).encode()

    return {
        "run.json": b"\xff\xfe",
        "run.json nested": b"[" * 99_999,
        "run.json list": run(pipeline=["p"]),
        "run.json number": run(message=7, branch={}),
        "run.json nan": run(started=float("nan")),
        "run.json late": run(started=1e300),
        "run.json early": run(ended=-1e300),
        "run.json surrogate": run(pipeline="\udcff", message="\ud800", tags=["\udc80"], branch="\udcff"),
        "run.json huge": run(steps=[{**step, "outputs": {"o": {**step["outputs"]["o"], "size": 2**80}}}]),
        "run.json bool": run(started=True, dirty=[]),
        "run.json metrics": run(steps=[{**step, "metrics": {"\udcff": 1, "b": 10**30}, "name": "\udcff\x00"}]),
    }


@pytest.mark.slow
@pytest.mark.parametrize("wrong", list(hostile_records({"steps": [{"outputs": {"o": {}}}]})))
def test_a_hostile_record_keeps_no_other_from_being_known(project: Project, wrong: str) -> None:
    good = project.run()
    run_id = "0123456789abcdef"
    with project.workspace() as ws:
        raw = {**json.loads(encode_run(good)), "run": run_id}
        content = hostile_records(raw)[wrong]
        ws.records.append({f"{record_folder(run_id, 0)}/run.json": content}, "hostile\n", None)
    after = project.run(force=True)
    with project.workspace() as ws:
        ws.rebuild_index()
        ids = {row.id for row in newest_runs(ws.index, limit=None)}
        assert {good.id, after.id} <= ids
        if run_id in ids:
            decode_run(content)
        assert [step.outcome for step in project.run().steps] == ["reused"]


def test_evidence_that_is_not_what_its_name_says_is_not_taken(project: Project) -> None:
    run = project.run()
    content = b'{"format":1,"code":[["a",1,2]],"inputs":[["a","b","c",7]]}'
    lie = json.dumps({"digest": "lie"}).encode()
    folder = record_folder("0123456789abcdef", 0)
    with project.workspace() as ws:
        ws.records.append(
            {
                f"{folder}/actions/{hex_of(digest_of(content))}.json": content,
                f"{folder}/actions/{'0' * 64}.json": content,
                f"{folder}/actions/x.json": b"[" * 9999,
                f"{folder}/environments/{'1' * 64}.json": lie,
                f"{folder}/outputs/nonsense": b"",
            },
            "hostile\n",
            None,
        )
    with project.workspace() as ws:
        assert ws.index.action(digest_of(content)) is None
        assert ws.index.environment(digest_of(b"{}")) is None
        assert [row.id for row in newest_runs(ws.index, limit=None)] == [run.id]


def test_inline_content_that_is_not_what_its_name_says_is_never_given_out(project: Project) -> None:
    run = project.run()
    ref = run.steps[0].outputs[0]
    fake = Project(project.repo.path + "2", {"pipelines/p.yaml": PIPELINE})
    folder = record_folder(run.id, run.started)
    with fake.workspace() as ws:
        files = {f"{folder}/run.json": encode_run(run), f"{folder}/outputs/{hex_of(ref.digest)}": b"evil\n"}
        ws.records.append(files, "a lie\n", None)
    with fake.workspace() as ws, pytest.raises(IntegrityError, match="other bytes than it says"):
        Availability(ws).fetch_digest(ref.digest, tree=False)


def test_a_record_that_is_gone_or_tells_of_another_run_is_an_integrity_error(project: Project) -> None:
    run = project.run()
    other = "0123456789abcdef"
    with project.workspace() as ws:
        put_run(ws.index, run._replace(id=other), ws.records.tip() or "")
        with pytest.raises(IntegrityError, match="is gone"):
            read_run(ws.index, ws.objects, other)
        ws.records.append({f"{record_folder(other, run.started)}/run.json": encode_run(run)}, "x\n", None)
        put_run(ws.index, run._replace(id=other), ws.records.tip() or "")
        with pytest.raises(IntegrityError, match="another run"):
            read_run(ws.index, ws.objects, other)
