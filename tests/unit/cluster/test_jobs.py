"""What a Ray head is asked of its jobs has an answer or an error in time, whatever becomes of the head and of the way there."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from gitml.cluster import jobs as module
from gitml.cluster.connect.cluster import Cluster
from gitml.cluster.jobs import JobClient, UnconfirmedError
from gitml.core.config.project import RayTarget
from gitml.errors import RemoteError, TrustError
from tests.kit.cluster.jobs_server import JobsHead
from tests.kit.patience import PATIENCE
from tests.kit.servers.hostile_server import Connection, Request, answer, hostile_server

pytestmark = pytest.mark.slow  # Ray is imported


@pytest.fixture
def head() -> Iterator[JobsHead]:
    with JobsHead() as head:
        yield head


@pytest.fixture
def jobs(head: JobsHead, monkeypatch: pytest.MonkeyPatch) -> JobClient:
    monkeypatch.setattr(module, "SILENCE", 0.3)
    monkeypatch.setattr(module, "_PAUSE", 0.1)
    return JobClient(head.cluster())


def later(seconds: float, job: dict[str, str], more: str = "", status: str = "RUNNING") -> None:
    """What happens to a job after a while."""

    def happen() -> None:
        job["output"] += more
        job["status"] = status

    threading.Timer(seconds, happen).start()


def test_what_a_job_writes_is_followed_to_its_end(head: JobsHead, jobs: JobClient) -> None:
    job = head.add("j", "RUNNING", "first\nsec")
    later(0.5, job, "ond\n\nlast", "SUCCEEDED")
    assert list(jobs.follow("j")) == ["first", "second", "", "last"]


def test_a_stream_that_breaks_off_is_not_the_end_of_the_job_and_nothing_is_told_twice(
    head: JobsHead, jobs: JobClient
) -> None:
    lines = [f"line {n}" for n in range(3000)]
    job = head.add("j", "RUNNING", "\n".join(lines[:2000]) + "\n")
    head.faults, head.cut_at = {"cut"}, 4567
    later(1.0, job, "\n".join(lines[2000:]), "SUCCEEDED")
    assert list(jobs.follow("j")) == lines
    assert head.streams > 1


def test_after_a_stream_that_broke_off_the_next_goes_on_where_it_was(head: JobsHead, jobs: JobClient) -> None:
    job = head.add("j", "RUNNING", "first\nsecond\n")
    head.faults, head.cut_at = {"cut"}, 8
    told = jobs.follow("j")
    assert [next(told), next(told)] == ["first", "second"]
    head.faults = set()
    later(0.5, job, "third\n", "FAILED")
    assert list(told) == ["third"]


def test_a_stream_that_falls_silent_holds_nobody_once_the_job_has_ended(head: JobsHead, jobs: JobClient) -> None:
    job = head.add("j", "RUNNING", "")
    head.faults = {"still"}
    later(0.8, job, "said\nin silence", "SUCCEEDED")
    assert list(jobs.follow("j")) == ["said", "in silence"]


def test_who_follows_is_told_that_the_head_is_gone(head: JobsHead, jobs: JobClient) -> None:
    head.add("j", "RUNNING", "first\n")
    told = jobs.follow("j")
    assert next(told) == "first"
    head.stop()
    with pytest.raises(RemoteError, match="can't be reached"):
        next(told)


def test_who_follows_is_told_that_the_head_answers_no_more(head: JobsHead, jobs: JobClient) -> None:
    head.add("j", "RUNNING", "first\n")
    jobs.patience = 0.5
    told = jobs.follow("j")
    assert next(told) == "first"
    head.faults = {"still", "silent"}
    begun = time.monotonic()
    with pytest.raises(RemoteError, match="gave no answer in time"):
        next(told)
    assert time.monotonic() < begun + PATIENCE


def test_who_follows_is_told_that_the_head_forgot_the_job(head: JobsHead, jobs: JobClient) -> None:
    head.add("j", "RUNNING", "first\n")
    head.faults, head.cut_at = {"cut"}, 6
    told = jobs.follow("j")
    assert next(told) == "first"
    del head.jobs["j"]
    with pytest.raises(RemoteError, match="no longer knows"):
        next(told)


def test_following_can_be_ended_in_the_middle(head: JobsHead, jobs: JobClient) -> None:
    head.add("j", "RUNNING", "first\n")
    head.faults = {"cut"}
    head.cut_at = 6
    told = jobs.follow("j")
    next(told)
    told.close()  # type: ignore[attr-defined]


def submit(jobs: JobClient, folder: Path) -> None:
    folder.mkdir()
    (folder / "file").write_text("x")
    jobs.submit("j", str(folder), "true", {}, {})


def test_a_submission_without_an_answer_is_told_as_such(head: JobsHead, jobs: JobClient, tmp_path: Path) -> None:
    head.faults = {"cut after"}
    with pytest.raises(UnconfirmedError):
        submit(jobs, tmp_path / "cut")
    head.faults, jobs.patience = {"silent"}, 0.5
    with pytest.raises(UnconfirmedError):
        submit(jobs, tmp_path / "silent")


def test_a_submission_that_broke_there_may_be_there_all_the_same(
    head: JobsHead, jobs: JobClient, tmp_path: Path
) -> None:
    head.faults = {"break"}
    with pytest.raises(UnconfirmedError, match="status code 500: no space left") as broken:
        submit(jobs, tmp_path / "broken")
    assert broken.value.answered


def test_a_submission_that_is_refused_or_never_left_is_not_there(
    head: JobsHead, jobs: JobClient, tmp_path: Path
) -> None:
    head.faults = {"refuse"}
    with pytest.raises(RemoteError, match="status code 400: a bad id") as refused:
        submit(jobs, tmp_path / "refused")
    assert not isinstance(refused.value, UnconfirmedError)
    head.stop()
    with pytest.raises(RemoteError, match="can't be reached") as lost:
        submit(jobs, tmp_path / "lost")
    assert not isinstance(lost.value, UnconfirmedError)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Request failed with status code 404: Job gitml-3f401c10d4e5b6a7 does not exist.", RemoteError),
        ("Request failed with status code 500: can't connect to 10.0.0.1:40123", RemoteError),
        ("Request failed with status code 403: no.", TrustError),
        ("401 Client Error: Unauthorized for url: http://10.0.0.1", TrustError),
    ],
)
def test_only_a_refused_token_is_told_as_one(jobs: JobClient, said: str, kind: type[Exception]) -> None:
    error = jobs._error(RuntimeError(said))
    assert type(error) is kind
    assert kind is TrustError or "the cluster refused: " in str(error)


@pytest.mark.parametrize("kind", ["endless", "drips", "packed"])
def test_an_answer_that_has_no_end_is_given_up(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray import __version__

    version = {"version": "4", "ray_version": __version__, "ray_commit": "", "session_name": ""}

    def behave(request: Request, connection: Connection) -> None:
        if request.path == "/api/version":
            connection.send(answer(200, json.dumps(version).encode(), {"Content-Type": "application/json"}))
        elif kind == "packed":
            connection.send(answer(200, gzip.compress(b"[" + b" " * (64 << 20)), {"Content-Encoding": "gzip"}))
        else:
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
            (connection.endlessly if kind == "endless" else connection.drip)(b" " * 65536)

    monkeypatch.setattr(module, "_LARGEST", 8 << 20)
    monkeypatch.setattr(module, "_PATIENCE", 1.0)
    with hostile_server(behave) as server:
        target = RayTarget("big", "127.0.0.1:1", dashboard=f"127.0.0.1:{server.port}")
        jobs = JobClient(cast(Cluster, SimpleNamespace(target=target, where="target big")))
        jobs.patience = 1.0
        begun = time.monotonic()
        with pytest.raises(RemoteError):
            jobs.list("")
        assert time.monotonic() - begun < PATIENCE / 3


def test_a_line_without_an_end_is_not_kept(head: JobsHead, jobs: JobClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LINE", 1000)
    head.add("j", "SUCCEEDED", "x" * 100_000 + "end\nlast")
    first, last = jobs.follow("j")
    assert first.endswith("end")
    assert len(first) < 30_000
    assert last == "last"
