"""What a submitted run takes along, and what it says, come out as they went in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitml.core.model.digest import digest_of
from gitml.core.model.events import Note, RunFinished, RunStarted, StepFinished
from gitml.core.model.stop_signal import StopSignal
from gitml.core.planner.plan import Policy
from gitml.core.records.record import decode_run, encode_run
from gitml.engine.planning.load import load, load_run
from gitml.engine.planning.planner import Planner
from gitml.engine.planning.request import Origin, RunRequest
from gitml.engine.run import head_of, run_pipeline
from gitml.errors import InputError, IntegrityError
from gitml.git.command import git
from gitml.git.revisions import IdentQuery
from gitml.submission.bundle import (
    BUNDLE,
    SubmissionRequest,
    note_heavy_part,
    open_job_bundle,
    results_to_take,
    size_of,
    split_bundle,
    write_job_bundle,
)
from gitml.submission.event_stream import JobEnded, JobLogText, JobRecordFile, JobResults, event_lines, job_events
from gitml.transfer.run_selector import RunSelection
from gitml.transfer.upload import upload
from tests.kit.projects.project import Project

pytestmark = pytest.mark.slow  # whole runs, one after another

PIPELINE = """\
params: {n: 1}
inputs: {raw: raw.txt, big: big.bin}
steps:
  first:
    run: sh first.sh ${{ inputs.raw }} ${{ outputs.o }}
    outputs: {o: directory}
  second:
    run: sh second.sh ${{ steps.first.outputs.o }} ${{ inputs.big }} ${{ params.n }} ${{ outputs.o }}
    outputs: {o: file}
"""
CONTENT = b"large content of Git LFS"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid {digest_of(CONTENT)}\nsize {len(CONTENT)}\n"
FILES = {
    "pipelines/p.yaml": PIPELINE,
    "first.sh": 'mkdir -p "$2/below"; cp "$1" "$2/a"; echo b > "$2/below/b"\n',
    "second.sh": 'cat "$1/a" "$1/below/b" "$2" > "$4"; echo "$3" >> "$4"\n',
    "raw.txt": "raw\n",
    "big.bin": POINTER,
    "unused.txt": "x" * 1000,
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project", FILES)
    name = digest_of(CONTENT).removeprefix("sha256:")
    place = tmp_path / "project/.git/lfs/objects" / name[:2] / name[2:4]
    place.mkdir(parents=True)
    (place / name).write_bytes(CONTENT)
    return project


def parcel_of(project: Project, folder: Path, **given: str) -> SubmissionRequest:
    """A parcel of a run of the work tree."""
    with project.workspace() as ws:
        loaded = load(ws, "p", None, list(given.items()))
        planner = Planner(ws, loaded, Policy())
        plan = planner.plan(list(loaded.graph.steps))
        run = head_of(ws, loaded, RunRequest(), IdentQuery(ws.location), 1000.0)
        origin = Origin(run.by, run.dirty, run.base, run.branch)
        asked = SubmissionRequest(run, RunRequest(tags=("t",), message="m", origin=origin), "big")
        folder.mkdir()
        write_job_bundle(ws, planner, plan, asked, results_to_take(planner, plan), folder.as_posix())
        return asked


def test_a_run_arrives_with_its_commit_its_lfs_content_and_what_is_known(project: Project, tmp_path: Path) -> None:
    before = project.run("p")
    project.repo.write({"raw.txt": "raw\n", "second.sh": FILES["second.sh"] + "echo more >> $4\n"})
    asked = parcel_of(project, tmp_path / "parcel")
    ws, arrived = open_job_bundle(str(tmp_path / "parcel"), str(tmp_path / "there"), project.environ)
    try:
        assert arrived == asked
        loaded = load_run(ws, arrived.run)
        plan = Planner(ws, loaded, Policy()).plan(list(loaded.graph.steps))
        assert {name: decision.kind for name, decision in plan.decisions.items()} == {"first": "reuse", "second": "run"}
        first = before.step("first")
        assert first is not None
        assert plan.decisions["first"].result is not None
        assert plan.decisions["first"].result.outputs == first.outputs
        assert git(ws.location, "rev-list", "--count", arrived.run.commit) == b"1\n"  # no history travels
    finally:
        ws.close()


def test_it_runs_there_without_the_repository_and_makes_the_same(project: Project, tmp_path: Path) -> None:
    parcel_of(project, tmp_path / "parcel")
    os.rename(project.repo.path, tmp_path / "away")
    ws, arrived = open_job_bundle(str(tmp_path / "parcel"), str(tmp_path / "there"), project.environ)
    try:
        run = run_pipeline(ws, load_run(ws, arrived.run), arrived.request, lambda _: None, StopSignal(), arrived.run.id)
        assert run.status == "succeeded"
        assert (run.by, run.dirty, run.base, run.branch, run.message, run.tags) == (
            arrived.run.by,
            arrived.run.dirty,
            arrived.run.base,
            arrived.run.branch,
            "m",
            ("t",),
        )
        second = run.step("second")
        assert second is not None
        assert ws.store.read(second.outputs[0].digest) == b"raw\nb\n" + CONTENT + b"1\n"
    finally:
        ws.close()


def test_lfs_content_that_is_not_here_is_refused(project: Project, tmp_path: Path) -> None:
    name = digest_of(CONTENT).removeprefix("sha256:")
    os.unlink(tmp_path / "project/.git/lfs/objects" / name[:2] / name[2:4] / name)
    with pytest.raises(InputError, match="Git LFS content is not on this machine"):
        parcel_of(project, tmp_path / "parcel")


@pytest.mark.parametrize(
    "pipeline",
    [
        pytest.param(
            PIPELINE.replace("big: big.bin", "more: raw.txt").replace("${{ inputs.big }}", "big.bin"), id="code"
        ),
        pytest.param(PIPELINE.replace("big: big.bin", "big: link.bin"), id="behind a link"),
    ],
)
def test_lfs_content_of_a_step_that_waits_arrives(project: Project, tmp_path: Path, pipeline: str) -> None:
    project.repo.write({"pipelines/p.yaml": pipeline})
    os.symlink("big.bin", project.repo.file("link.bin"))
    parcel_of(project, tmp_path / "parcel")
    os.rename(project.repo.path, tmp_path / "away")
    ws, arrived = open_job_bundle(str(tmp_path / "parcel"), str(tmp_path / "there"), project.environ)
    try:
        run = run_pipeline(ws, load_run(ws, arrived.run), arrived.request, lambda _: None, StopSignal(), arrived.run.id)
        assert [(step.name, step.outcome, step.error) for step in run.steps] == [
            ("first", "executed", None),
            ("second", "executed", None),
        ]
        assert CONTENT in ws.store.read(run.steps[1].outputs[0].digest)
    finally:
        ws.close()


LARGE = """\
params: {n: 1}
steps:
  make: {run: 'sh make.sh ${{ outputs.o }}', outputs: {o: file}}
  use: {run: 'sh use.sh ${{ steps.make.outputs.o }} ${{ params.n }} ${{ outputs.o }}', outputs: {o: file}}
"""


def test_what_a_remote_store_has_for_all_stays_where_it_is(tmp_path: Path) -> None:
    project = Project(
        tmp_path / "project",
        {
            "gitml.yaml": f"remotes: [file://{tmp_path}/store]\n",
            "pipelines/p.yaml": LARGE,
            "make.sh": 'head -c 400000 /dev/zero > "$1"\n',
            "use.sh": 'wc -c < "$1" > "$3"\n',
        },
    )
    before = project.run("p")
    with project.workspace() as ws:
        upload(ws, RunSelection(), lambda _: None, StopSignal())
        loaded = load(ws, "p", None, [("n", "2")])
        planner = Planner(ws, loaded, Policy())
        plan = planner.plan(list(loaded.graph.steps))
        (made,) = before.steps[0].outputs
        assert results_to_take(planner, plan) == [made], "what is here goes along"
        assert results_to_take(planner, plan, few=True) == []
        os.unlink(ws.store.path_of(made.digest))
    parcel_of(project, tmp_path / "parcel", n="2")
    assert os.listdir(tmp_path / "parcel/objects") == [], "what is not here is not fetched to be sent"
    ws, arrived = open_job_bundle(str(tmp_path / "parcel"), str(tmp_path / "there"), project.environ)
    try:
        run = run_pipeline(ws, load_run(ws, arrived.run), arrived.request, lambda _: None, StopSignal(), arrived.run.id)
        assert [(step.name, step.outcome) for step in run.steps] == [("make", "reused"), ("use", "executed")]
    finally:
        ws.close()


def test_a_parcel_in_two_parts_is_the_same(project: Project, tmp_path: Path) -> None:
    project.run("p")
    asked = parcel_of(project, tmp_path / "parcel", n="2")
    size = size_of(str(tmp_path / "parcel"))
    split_bundle(str(tmp_path / "parcel"), str(tmp_path / "heavy"))
    note_heavy_part(str(tmp_path / "parcel"), str(tmp_path / "heavy"))
    assert size_of(str(tmp_path / "parcel")) + size_of(str(tmp_path / "heavy")) > size
    ws, arrived = open_job_bundle(str(tmp_path / "parcel"), str(tmp_path / "there"), project.environ)
    ws.close()
    assert arrived == asked


def test_an_object_that_was_changed_on_the_way_is_refused(project: Project, tmp_path: Path) -> None:
    project.run("p")
    parcel_of(project, tmp_path / "parcel", n="2")
    name = sorted(os.listdir(tmp_path / "parcel/objects"))[0]
    (tmp_path / "parcel/objects" / name).write_bytes(b"other")
    with pytest.raises(IntegrityError):
        open_job_bundle(str(tmp_path / "parcel"), str(tmp_path / "there"), project.environ)


@pytest.mark.parametrize("damage", [b"", b"# v2 git bundle\n\n", b"nonsense\n"])
def test_a_damaged_bundle_is_refused(project: Project, tmp_path: Path, damage: bytes) -> None:
    parcel_of(project, tmp_path / "parcel")
    (tmp_path / "parcel" / BUNDLE).write_bytes(damage)
    with pytest.raises(IntegrityError):
        open_job_bundle(str(tmp_path / "parcel"), str(tmp_path / "there"), project.environ)


def test_what_a_run_says_is_read_back_among_other_lines(project: Project) -> None:
    run = decode_run(encode_run(project.run("p")))
    said = [
        RunStarted(run, ("first", "second")),
        StepFinished(run.steps[0]),
        Note("warning", "a note\nof two lines"),
        JobLogText("first", "0-1", b"\x00\xff bytes\n"),
        JobRecordFile("runs/x/run.json", b"{}"),
        JobResults("node1", "/there/objects", ((digest_of(b"x"), 1),)),
        RunFinished(run, "c" * 40),
        JobEnded(1, {"message": "m", "hint": None}),
    ]
    lines = [line for saying in said for line in ("Ray says something", *event_lines(saying), '{"other": 1}')]
    assert all("\n" not in line for line in lines)
    assert list(job_events(lines)) == said
    assert list(job_events(['{"gitml": 1, "FromTheFuture": [1]}', '{"gitml": 1, "LogText": [1'])) == []


def test_no_line_is_too_long_for_who_follows_and_what_is_in_several_comes_out_whole() -> None:
    many = tuple([(digest_of(b"%d" % n), n) for n in range(50_000)])
    said = [
        JobResults("node1", "/there/objects", many),
        Note("warning", "short"),
        JobRecordFile("runs/x/run.json", b"x" * 300_000),
    ]
    lines = [line for saying in said for line in event_lines(saying)]
    assert len(lines) > 10
    assert max(map(len, lines)) < 1 << 20
    assert list(job_events(["", *lines])) == said
    assert list(job_events([*lines[:3], *lines])) == said, "what breaks off spoils nothing else"


def test_the_repository_of_a_step_arrives_with_its_commit_and_tags_also_below_uncommitted_work(tmp_path: Path) -> None:
    asks = "git log --format=%H; git describe --dirty; git diff --no-color | grep ^[+-]"
    pipeline = f"steps: {{a: {{shell: sh, run: '{{ {asks}; }} > ${{{{ outputs.o }}}}', code: [src/], repository: true, outputs: {{o: file}}}}}}"
    project = Project(tmp_path / "project", {"pipelines/p.yaml": pipeline, "src/a": "committed\n", "src/b": "gone\n"})
    commit = project.repo.commit("two")
    project.repo.git("tag", "-a", "träin/1", "-m", "a tag")
    project.repo.git("tag", "plain")
    project.repo.write({"src/a": "changed\n"})
    os.unlink(project.repo.file("src/b"))
    parcel_of(project, tmp_path / "parcel")
    here = project.plan("p").decisions["a"]
    os.rename(project.repo.path, tmp_path / "away")
    ws, arrived = open_job_bundle(str(tmp_path / "parcel"), str(tmp_path / "there"), project.environ)
    try:
        assert arrived.run.commit != commit
        run = run_pipeline(ws, load_run(ws, arrived.run), arrived.request, lambda _: None, StopSignal(), arrived.run.id)
        (step,) = run.steps
        assert (run.status, step.key) == ("succeeded", here.key)
        said = ws.store.read(step.outputs[0].digest).decode().splitlines()
        assert said[:2] == [commit, "träin/1-dirty"]
        assert [line for line in said[2:] if line[:3] not in ("+++", "---")] == ["-committed", "+changed", "-gone"]
        assert git(ws.location, "fsck", "--connectivity-only") == b""
    finally:
        ws.close()
