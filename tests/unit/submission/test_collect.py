"""Submitted runs come home whole or are told of once, whatever became of them and of the way there."""

from __future__ import annotations

import json
import os
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitml.cli.main import run as gitml
from gitml.cluster import jobs as jobs_module
from gitml.cluster.connect import cluster as clusters
from gitml.cluster.content import file_transfer, piece_transfer
from gitml.core.model.stop_signal import StopSignal
from gitml.core.planner.plan import Policy
from gitml.engine.planning.load import load
from gitml.engine.planning.planner import Planner
from gitml.engine.planning.request import Origin, RunRequest
from gitml.engine.run import head_of
from gitml.errors import BusyError, RemoteError
from gitml.execute.sandbox.removal import remove_tree
from gitml.git.log.record_log import GitRecordLog
from gitml.git.revisions import IdentQuery
from gitml.history.runs import read_run
from gitml.history.submissions import Submission, note_submission, submissions
from gitml.maintenance.gc import KeepPolicy, collect
from gitml.store.index.runs import run_row
from gitml.submission import cancel, event_stream
from gitml.submission import collect as homecoming
from gitml.submission.bundle import SubmissionRequest, write_job_bundle
from gitml.submission.event_stream import (
    JobEnded,
    JobEvent,
    JobLogText,
    JobRecordFile,
    JobResults,
    event_lines,
    job_events,
)
from gitml.submission.job_main import run_job_bundle
from tests.kit.cluster.jobs_server import JobsHead
from tests.kit.patience import PATIENCE
from tests.kit.projects.project import Project
from tests.kit.projects.repository import isolate

pytestmark = pytest.mark.slow  # Ray is imported

PIPELINE = """\
params: {n: 1}
steps:
  first: {run: 'sh first.sh ${{ params.n }} ${{ outputs.o }} ${{ outputs.p }}', outputs: {o: file, p: file}}
"""
FIRST = 'head -c 2000000 /dev/zero > "$2"; head -c 1000000 /dev/zero > "$3"; echo "$1" >> "$2"\n'
Read = Callable[[str, int, int], bytes | None]


def read_file(path: str, position: int, size: int) -> bytes | None:
    """A piece of a file of the cluster's, as it is meant to be read."""
    return Path(path).read_bytes()[position : position + size] if os.path.exists(path) else None


class Far:
    """A project, a head that it submits to, and the way on which results come from it."""

    def __init__(self, path: Path, head: JobsHead, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.head = head
        self.read: Read = read_file
        self.project = Project(path / "project", {"pipelines/p.yaml": PIPELINE, "first.sh": FIRST})
        self.targets("big", "lost")
        isolate(monkeypatch)
        monkeypatch.chdir(self.project.repo.path)
        monkeypatch.setattr(piece_transfer, "PIECE", 1 << 19)
        monkeypatch.setattr(piece_transfer, "results", lambda calls, timeout: calls)
        monkeypatch.setattr(file_transfer, "_reader", lambda cluster, node: lambda *piece: self.read(*piece))
        monkeypatch.setattr(homecoming, "remove", lambda cluster, node, folder: remove_tree(folder))

        def connect(target: Any, environ: Any) -> Any:
            if target.name == "lost":
                raise RemoteError("no Ray cluster answers", where="target lost")
            return head.cluster(target.name)

        monkeypatch.setattr(clusters, "connect", connect)

    def targets(self, *names: str) -> None:
        """What gitml.yaml says."""
        told = ", ".join([f"{name}: {{ray: '127.0.0.1:1', dashboard: '127.0.0.1:1'}}" for name in names])
        self.project.repo.commit("targets", {"gitml.yaml": f"targets: {{{told}}}\n"})

    def performed(self, n: int, target: str = "big", at: float = 1000.0) -> str:
        """A run that was submitted and has ended there; its id."""
        parcel = self.path / f"parcel{n}"
        parcel.mkdir()
        with self.project.workspace() as ws:
            loaded = load(ws, "p", None, [("n", str(n))])
            planner = Planner(ws, loaded, Policy())
            plan = planner.plan(["first"])
            run = head_of(ws, loaded, RunRequest(), IdentQuery(ws.location), at)
            asked = SubmissionRequest(run, RunRequest(origin=Origin(run.by, run.dirty, run.base, run.branch)), target)
            write_job_bundle(ws, planner, plan, asked, [], str(parcel))
            submission = Submission(run.id, target, "p", run.commit, at, run.by)
            note_submission(ws, submission)
        said: list[JobEvent] = []
        environ = {**self.project.environ, "XDG_CACHE_HOME": str(self.path / "cache")}
        run_job_bundle(str(parcel), environ, said.append, StopSignal())
        assert isinstance(said[-1], JobResults), "the outputs are too large for the record"
        said.append(JobEnded(0, None))
        self.head.add(submission.job, "SUCCEEDED", "".join([f"{line}\n" for one in said for line in event_lines(one)]))
        return run.id

    def noted(self, digit: str, at: float = 2000.0, target: str = "big") -> Submission:
        """The note of a run that its cluster has no record of."""
        with self.project.workspace() as ws:
            submission = Submission(digit * 16, target, "p", "0" * 40, at, "me")
            note_submission(ws, submission)
        return submission

    def notes(self) -> list[str]:
        """The runs that are not home."""
        with self.project.workspace() as ws:
            return [one.run for one in submissions(ws)]

    def kept(self) -> list[str]:
        """What is left on the head."""
        return os.listdir(self.path / "cache/gitml/submitted")

    def is_whole(self, run: str) -> bool:
        """Whether a run is here with all its outputs."""
        with self.project.workspace() as ws:
            outputs = read_run(ws, run).steps[0].outputs
            return all(ws.store.holds(output.digest, output.size) for output in outputs)


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    with JobsHead() as head:
        yield Far(tmp_path, head, monkeypatch)


def test_a_run_comes_home_and_nothing_of_it_stays(far: Far, capfd: pytest.CaptureFixture[str]) -> None:
    run = far.performed(1)
    assert gitml(["collect"]) == 0
    assert capfd.readouterr().out == f"run {run[:8]} p succeeded, with 2 objects\n"
    assert far.is_whole(run)
    assert (far.notes(), far.head.jobs, far.kept()) == ([], {}, [])


def test_a_run_whose_record_came_meanwhile_comes_home_once(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    append = GitRecordLog.append

    def late(log: GitRecordLog, files: dict[str, bytes], message: str, commit: str | None) -> str:
        append(log, files, "by the git of a collect that was killed\n", commit)
        return append(log, files, message, commit)

    run = far.performed(1)
    monkeypatch.setattr(GitRecordLog, "append", late)
    assert gitml(["collect"]) == 0
    assert far.is_whole(run)
    assert (far.notes(), far.head.jobs, far.kept()) == ([], {}, [])


def test_one_that_ended_without_a_record_is_told_once_and_keeps_no_other(
    far: Far, capfd: pytest.CaptureFixture[str]
) -> None:
    far.head.add(far.noted("a", 3000.0).job, "STOPPED")
    far.noted("b", 2500.0, target="lost")
    far.head.add(far.noted("c", 2000.0).job, "RUNNING")
    run = far.performed(1)
    assert gitml(["collect"]) == 6
    told = capfd.readouterr()
    assert "run aaaaaaaa ended without a record (stopped)" in told.err
    assert "no Ray cluster answers" in told.err
    assert "run cccccccc is still going on" in told.err
    assert told.out == f"run {run[:8]} p succeeded, with 2 objects\n"
    assert far.notes() == ["b" * 16, "c" * 16]
    assert gitml(["collect", "--json"]) == 6
    told = capfd.readouterr()
    shown = json.loads(told.out)
    assert (shown["collected"], shown["running"]) == ([], ["c" * 16])
    assert [(one["run"], one["error"]["code"]) for one in shown["failed"]] == [(None, "remote")]
    assert json.loads(told.err)["error"] == shown["failed"][0]["error"]


def test_what_a_run_wrote_that_was_killed_is_still_to_be_seen_on_the_cluster(
    far: Far, capfd: pytest.CaptureFixture[str]
) -> None:
    run = far.performed(1)
    (id,) = far.head.jobs
    lines = far.head.jobs[id]["output"].split("\n")
    begun = next(n for n, line in enumerate(lines) if "RunStarted" in line)
    wrote = event_lines(JobLogText("first", "0-1", b"out of memory\n"))
    far.head.jobs[id] |= {"output": "\n".join([*lines[: begun + 1], *wrote]), "status": "FAILED"}
    far.head.jobs[id]["metadata"] = {"run": run}
    assert gitml(["collect"]) == 6
    assert f"gitml logs {run[:8]} --on big shows what it wrote" in capfd.readouterr().err
    assert gitml(["collect"]) == 0
    assert gitml(["logs", run, "--on", "big"]) == 0
    assert capfd.readouterr().out == "out of memory\n"


def test_runs_that_are_named_come_home_beside_one_that_does_not(far: Far, capfd: pytest.CaptureFixture[str]) -> None:
    run = far.performed(1)
    assert gitml(["collect", "ffff", run]) == 2
    told = capfd.readouterr()
    assert "no submitted run 'ffff'" in told.err
    assert told.out.startswith(f"run {run[:8]} p succeeded")


def test_a_run_that_its_cluster_does_not_know_is_waited_for_until_it_is_given_up(
    far: Far, capfd: pytest.CaptureFixture[str]
) -> None:
    submission = far.noted("a")
    assert gitml(["collect"]) == 6
    assert "gitml collect --forget aaaaaaaa" in capfd.readouterr().err
    assert gitml(["collect", "aaaa"]) == 6
    assert far.notes() == [submission.run]
    assert gitml(["collect", "--forget", "aaaa", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["forgotten"] == [submission.run]
    assert far.notes() == []
    assert gitml(["collect", "--forget", "aaaa"]) == 2


def test_a_run_that_goes_on_is_not_given_up_and_one_that_ended_is_with_all_it_left(far: Far) -> None:
    far.head.add(far.noted("a").job, "RUNNING")
    run = far.performed(1)
    assert len(far.kept()) == 1
    assert gitml(["collect", "--forget", "aaaa", run]) == 4
    assert far.notes() == ["a" * 16]
    assert (list(far.head.jobs), far.kept()) == (["gitml-" + "a" * 16], [])


@pytest.mark.parametrize("target", ["lost", "no target any more"])
def test_a_run_of_a_cluster_that_is_gone_is_given_up_without_asking_it(
    far: Far, target: str, capfd: pytest.CaptureFixture[str]
) -> None:
    far.noted("a", target=target)
    assert gitml(["collect", "--forget", "aaaa"]) == 0
    assert f"{target} was not asked" in capfd.readouterr().err
    assert far.notes() == []


@pytest.mark.parametrize("words", [["--forget"], ["--forget", "aaaa", "--wait"], ["--forget", "aaaa", "--on", "big"]])
def test_giving_up_names_its_runs(far: Far, words: list[str]) -> None:
    far.noted("a")
    assert gitml(["collect", *words]) == 2
    assert far.notes() == ["a" * 16]


def test_a_note_of_a_run_that_is_home_and_gone_there_goes_without_a_word(
    far: Far, capfd: pytest.CaptureFixture[str]
) -> None:
    run = far.performed(1)
    with far.project.workspace() as ws:
        (submission,) = submissions(ws)
    assert gitml(["collect", run]) == 0
    with far.project.workspace() as ws:
        note_submission(ws, submission)
    capfd.readouterr()
    assert gitml(["collect"]) == 0
    assert capfd.readouterr().err == "nothing is to be collected\n"
    assert far.notes() == []


def cut(error: BaseException) -> Read:
    """A reader to which something happens at the second piece of the second file."""
    read: list[str] = []

    def cut_off(path: str, position: int, size: int) -> bytes | None:
        read.append(path)
        if path != read[0] and position:
            raise error
        return read_file(path, position, size)

    return cut_off


@pytest.mark.parametrize("error", [RemoteError("cut"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_did_not_come_home_the_first_time_comes_when_the_run_is_named(far: Far, error: BaseException) -> None:
    run = far.performed(1)
    far.read = cut(error)
    gitml(["collect", run])
    assert not far.is_whole(run)
    assert os.listdir(far.project.repo.file(".git/gitml/objects/tmp")) == []
    far.read = read_file
    assert gitml(["collect", run]) == 0
    assert far.is_whole(run)
    assert (far.notes(), far.head.jobs, far.kept()) == ([], {}, [])


def test_a_run_that_is_half_home_is_shown_and_listed_as_one_that_is_here(
    far: Far, capfd: pytest.CaptureFixture[str]
) -> None:
    run = far.performed(1)
    far.read = cut(RemoteError("cut"))
    gitml(["collect", run])
    far.head.stop()
    capfd.readouterr()
    assert gitml(["show", run, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["status"] == "succeeded"
    assert gitml(["log", "--json"]) == 0
    assert [(one["run"], one["status"]) for one in json.loads(capfd.readouterr().out)] == [(run, "succeeded")]


def test_results_that_are_gone_or_spoilt_are_told_once_and_the_others_come(
    far: Far, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = far.performed(1), far.performed(2)
    removed = spoilt = None
    for place, _, names in os.walk(far.path / "cache/gitml/submitted"):
        for name in names:
            path = os.path.join(place, name)
            if os.path.getsize(path) == 1000000:
                os.unlink(path)
                removed = path
            elif os.path.getsize(path) == 2000002 and Path(path).read_bytes().endswith(b"2\n"):
                os.chmod(path, 0o644)
                Path(path).write_bytes(bytes(2000002))
                spoilt = path
    assert removed
    assert spoilt
    assert gitml(["collect", "--json"]) == 3
    shown = json.loads(capfd.readouterr().out)
    assert {one["run"]: (one["objects"], one["lost"]) for one in shown["collected"]} == {first: (1, 1), second: (0, 2)}
    assert {one["run"] for one in shown["failed"]} == {first, second}
    assert gitml(["collect"]) == 0
    assert (far.notes(), far.head.jobs) == ([], {})


def test_gc_waits_while_results_come_home(far: Far) -> None:
    run = far.performed(1)
    refused = []

    def read(path: str, position: int, size: int) -> bytes | None:
        with far.project.workspace() as ws, pytest.raises(BusyError):
            collect(ws, KeepPolicy(last=0), False)
        refused.append(position)
        return read_file(path, position, size)

    far.read = read
    assert gitml(["collect"]) == 0
    assert len(refused) == 6
    assert far.is_whole(run)


def test_waiting_lasts_until_the_run_has_ended_through_a_time_without_answers(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = ["running", RemoteError("it does not answer"), "running", "stopped"]

    def get(_: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(state=answer)

    monkeypatch.setattr(homecoming, "_SOON", 0.01)
    jobs: Any = SimpleNamespace(get=get)
    homecoming.wait_until_ended(jobs, far.noted("a"))
    assert answers == []
    monkeypatch.setattr(homecoming, "_PATIENCE", 0.05)
    answers += [RemoteError("it does not answer")] * 50
    with pytest.raises(RemoteError):
        homecoming.wait_until_ended(jobs, far.noted("a"))


def test_logs_are_followed_past_a_stream_that_breaks_off_until_the_run_has_ended(
    far: Far, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_PAUSE", 0.1)
    lines = [event_lines(JobLogText("first", "0-1", b"line %d\n" % n))[0] + "\n" for n in range(3)]
    job = far.head.add(far.noted("a").job, "RUNNING", lines[0] + lines[1])
    far.head.faults, far.head.cut_at = {"cut"}, len(lines[0]) + 7
    ended = event_lines(JobEnded(1, {"message": "it broke", "hint": None}))[0] + "\n"

    def end() -> None:
        job["output"] += lines[2] + ended
        time.sleep(0.5)
        job["status"] = "FAILED"

    threading.Timer(1.0, end).start()
    assert gitml(["logs", "aaaa", "-f"]) == 6
    assert job["status"] == "FAILED", "who looks then finds it ended"
    told = capfd.readouterr()
    assert told.out == "line 0\nline 1\nline 2\n"
    assert "it broke" in told.err


def test_cancelling_takes_no_longer_than_it_may_when_the_head_does_not_answer(
    far: Far, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel, "_LEAST", 0.5)
    far.head.add(far.noted("a").job, "RUNNING")
    far.head.faults = {"silent"}
    begun = time.monotonic()
    assert gitml(["cancel", "aaaa", "--timeout", "0"]) == 6
    assert "gave no answer in time" in capfd.readouterr().err
    assert time.monotonic() < begun + PATIENCE


def test_a_submitted_run_is_waited_for_where_it_is(far: Far, capfd: pytest.CaptureFixture[str]) -> None:
    run = far.performed(1)
    job = far.head.jobs[f"gitml-{run}"]
    job["status"] = "RUNNING"
    assert gitml(["wait", run[:8], "--timeout", "0.1s"]) == 4
    assert f"still going on after 0.1s: run {run[:8]}" in capfd.readouterr().err
    job["status"] = "SUCCEEDED"
    assert gitml(["wait", run[:8]]) == 0
    answer = capfd.readouterr()
    assert answer.out == f"run {run[:8]} p succeeded\n"
    assert f"its record is on big: gitml collect {run[:8]}" in answer.err
    assert gitml(["collect", "-q"]) == 0
    assert gitml(["wait", run[:8]]) == 0
    lost = far.noted("a", target="lost")
    assert gitml(["wait", lost.run]) == 6


def lying(far: Far, run: str, change: dict[str, Any]) -> list[str]:
    """What the job of `run` wrote, with a record that says something else."""
    record = next(one for one in job_events(far.head.jobs[f"gitml-{run}"]["output"].split("\n")) if is_run_json(one))
    said = json.loads(record.content) | change
    lines = [line for line in far.head.jobs[f"gitml-{run}"]["output"].split("\n") if "/run.json" not in line]
    return [*event_lines(JobRecordFile(record.path, json.dumps(said).encode())), *lines]


def is_run_json(saying: JobEvent) -> bool:
    return isinstance(saying, JobRecordFile) and saying.path.endswith("/run.json")


@pytest.mark.parametrize(
    "change", [{"pipeline": "../../x:p"}, {"commit": "HEAD"}, {"params": {"a b": 1}}, {"run": "f" * 16}]
)
def test_a_record_that_no_gitml_would_have_written_does_not_come_home(
    far: Far, capfd: pytest.CaptureFixture[str], change: dict[str, Any]
) -> None:
    run = far.performed(1)
    far.head.jobs[f"gitml-{run}"]["output"] = "\n".join(lying(far, run, change))
    assert gitml(["collect"]) == 3
    assert f"a record of run {run[:8]} that is refused" in capfd.readouterr().err
    with far.project.workspace() as ws:
        assert run_row(ws.index, run) is None


@pytest.mark.parametrize("path", ["hooks/x", "runs/../../x", "runs/2026/01/01/aa/aa00000000000000/run.json"])
def test_a_record_with_a_file_that_is_no_part_of_it_does_not_come_home(
    far: Far, capfd: pytest.CaptureFixture[str], path: str
) -> None:
    run = far.performed(1)
    far.head.jobs[f"gitml-{run}"]["output"] += "\n".join(event_lines(JobRecordFile(path, b"{}")))
    assert gitml(["collect"]) == 3
    assert "that is refused" in capfd.readouterr().err


def test_a_run_that_a_cluster_names_by_what_is_no_id_is_none(far: Far, capfd: pytest.CaptureFixture[str]) -> None:
    for run in ("../elsewhere", "\x1b[2J", "-f", "A" * 16):
        far.head.add(f"gitml-{run}", "SUCCEEDED")["metadata"] = {"run": run}
    assert gitml(["log", "--on", "big", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == []


def test_nothing_but_the_folder_of_a_run_is_removed_on_a_machine_of_the_cluster(far: Far) -> None:
    run = far.performed(1)
    (far.path / "precious/objects").mkdir(parents=True)
    lines = far.head.jobs[f"gitml-{run}"]["output"].split("\n")
    kept = event_lines(JobResults("here", str(far.path / "precious/objects"), ()))
    far.head.jobs[f"gitml-{run}"]["output"] = "\n".join([line for line in lines if '"Kept"' not in line] + kept)
    assert gitml(["collect"]) == 0
    assert (far.path / "precious/objects").is_dir()


def test_parts_of_what_never_becomes_whole_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "_WHOLE", 1 << 20)
    piece = "x" * 1000
    tracemalloc.start()
    try:
        lines = (f'{{"gitml": 1, "Part": {json.dumps([number, 10**9, piece])}}}' for number in range(5000))
        assert list(job_events(lines)) == []
        again = (f'{{"gitml": 1, "Part": {json.dumps([0, 10**9, piece])}}}' for _ in range(5000))
        assert list(job_events(again)) == []
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_long_line_is_passed_over_and_the_next_is_read() -> None:
    long = '{"gitml": 1, "LogText": "' + "x" * (5 << 20)
    deep = '{"gitml": 1, "LogText": ' + "[" * 100_000
    assert list(job_events([long, deep, *event_lines(JobEnded(0, None))])) == [JobEnded(0, None)]


def test_what_is_said_in_parts_is_whole_again() -> None:
    large = JobRecordFile("runs/x", b"y" * 2_000_000)
    assert list(job_events(event_lines(large))) == [large]


def test_a_record_that_no_run_has_is_refused(
    far: Far, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = far.performed(1)
    job = far.head.jobs[Submission(run, "big", "p", "0" * 40, 1000.0, "me").job]
    more = [line for number in range(5) for line in event_lines(JobRecordFile(f"runs/{number}", bytes(500_000)))]
    job["output"] += "".join(f"{line}\n" for line in more)
    monkeypatch.setattr(homecoming, "_RECORD", 2 << 20)
    assert gitml(["collect"]) != 0
    assert "that no run has" in capfd.readouterr().err
    assert far.notes() == [run]
