"""Ray's jobs: whole programs submitted to a cluster, which runs them on its head without the machine that submitted them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from gitml.cluster.connect.cluster import Cluster
from gitml.errors import GitmlError, RemoteError, TrustError

_OVERRIDES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
STOP_SECONDS = 60
RUNNING, SUCCEEDED, FAILED, STOPPED = "running", "succeeded", "failed", "stopped"
_STATES = {"PENDING": RUNNING, "RUNNING": RUNNING, "SUCCEEDED": SUCCEEDED, "FAILED": FAILED, "STOPPED": STOPPED}
SILENCE = 15.0  # seconds without a word from the head after which it is asked whether there is one to come
_PATIENCE = 30.0  # seconds for an answer
_SLOWEST = 100_000  # bytes a second that a line takes at least
_LARGEST = 256 << 20  # bytes of an answer, such as all that a job wrote
_LINE = 4 << 20  # characters of a line; of longer ones nothing is kept
_PAUSE = 1.0


class UnconfirmedError(RemoteError):
    """Whether the cluster has taken a job is not known: it was handed over, and no answer came, or that something broke there."""

    answered = False


class ClusterJob(NamedTuple):
    """A job: its state, the metadata it was submitted with, when that was (seconds since 1970), and why it failed."""

    id: str
    state: str
    metadata: Mapping[str, str]
    submitted: float
    message: str = ""


class JobClient:
    """The jobs of one cluster. RemoteError when its dashboard, which takes them, can't be reached.

    `patience` is how many seconds it has for an answer.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.where = f"target {cluster.target.name}"
        self.patience = _PATIENCE
        self._posted = False
        address = self._address()
        with self._translated_errors(), _without(_OVERRIDES):
            import logging

            from ray.job_submission import JobSubmissionClient

            for chatty in (
                "dashboard.modules.dashboard_sdk",
                "dashboard.modules.job.sdk",
                "_private.runtime_env.packaging",
            ):
                logging.getLogger(f"ray.{chatty}").setLevel(logging.ERROR)
            jobs = self

            class Client(JobSubmissionClient):  # type: ignore[misc]
                """Ray's, which would wait for ever."""

                def _do_request(self, method: str, endpoint: str, *, data: bytes | None = None, **more: Any) -> Any:
                    if method == "POST" and endpoint == "/api/jobs/":
                        jobs._posted = True
                    seconds = jobs.patience if data is None else jobs.patience + len(data) / _SLOWEST
                    # a hook, since Ray reads the answer itself at once
                    hooks = {"response": lambda answer, *_, **__: _whole(answer, seconds)}
                    return super()._do_request(
                        method, endpoint, data=data, timeout=seconds, stream=True, hooks=hooks, **more
                    )

            self.client = Client(address, headers={"Accept-Encoding": "identity"})

    @property
    def most(self) -> int:
        """The bytes that a folder handed over must stay below."""
        from ray._private.runtime_env.packaging import GCS_STORAGE_MAX_SIZE

        return int(GCS_STORAGE_MAX_SIZE)

    def submit(self, id: str, folder: str, program: str, env: Mapping[str, str], metadata: Mapping[str, str]) -> None:
        """Runs the command line `program` in a copy of `folder`, named by its content, on the head.

        Ray takes the folder in one message and keeps it in the head's memory: it must be smaller than `most`.
        UnconfirmedError for any failure, or Ctrl-C, after which the cluster may have it.
        """
        # Every process of the job gets the signal; those of gitml that are not to heed it know Ctrl-C
        stop = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS), "RAY_JOB_STOP_SIGNAL": "SIGINT"}
        environment = {"working_dir": folder, "env_vars": {**stop, **env}}
        self._posted = False
        try:
            with self._translated_errors():
                self.client.submit_job(
                    entrypoint=program, runtime_env=environment, submission_id=id, metadata=dict(metadata)
                )
        except BaseException as error:
            status = _status(error.__cause__) if isinstance(error, GitmlError) else None
            if not self._posted or (status is not None and status < 500):
                raise
            message = error.message if isinstance(error, GitmlError) else "it was interrupted"
            unsure = UnconfirmedError(message, where=self.where)
            unsure.answered = status is not None
            raise unsure from error

    def list(self, prefix: str) -> list[ClusterJob]:
        """The jobs whose ids begin so, newest first."""
        with self._translated_errors():
            found = [
                _job(details) for details in self.client.list_jobs() if (details.submission_id or "").startswith(prefix)
            ]
        return sorted(found, key=lambda job: -job.submitted)

    def get(self, id: str) -> ClusterJob | None:
        """One job; None when the cluster knows none of that id."""
        return next((job for job in self.list(id) if job.id == id), None)

    def output(self, id: str) -> str:
        """All that a job has written so far."""
        with self._translated_errors():
            return str(self.client.get_job_logs(id))

    def follow(self, id: str) -> Iterator[str]:
        """What a job has written and writes, line by line without line ends, until it ends.

        What Ray sends may break off before, or never come: the head is asked then. RemoteError when it does not answer, or knows
        no such job.
        """
        received, rest, pause = 0, "", _PAUSE
        while True:
            at, before = 0, received
            for text in self._stream(id):  # which begins anew each time
                *whole, rest = (rest + text[max(received - at, 0) :]).split("\n")
                rest = rest[-_LINE:]
                at += len(text)
                received = max(received, at)
                yield from whole
            job = self.get(id)
            if job is None:
                raise RemoteError("the cluster no longer knows the run", where=self.where)
            text = self.output(id)
            *whole, rest = (rest + text[received:]).split("\n")
            received = max(received, len(text))
            yield from whole
            if job.state != RUNNING:
                break
            pause = _PAUSE if received > before else min(2 * pause, SILENCE)
            time.sleep(pause)
        if rest:
            yield rest

    def _stream(self, id: str) -> Iterator[str]:
        """What the head sends of what a job has written, as long as it sends. RemoteError when it is gone."""
        import asyncio

        loop = asyncio.new_event_loop()
        lines = self.client.tail_job_logs(id)
        coming: Any = None
        try:
            while True:
                coming = coming or asyncio.ensure_future(anext(lines), loop=loop)
                loop.run_until_complete(asyncio.wait({coming}, timeout=SILENCE))
                if not coming.done():
                    job = self.get(id)
                    if job is None or job.state != RUNNING:
                        return
                    continue
                arrived, coming = coming, None
                try:
                    text: str = arrived.result()
                except Exception:  # it ended or was cut off, which the next question shows
                    return
                yield text
        finally:
            if coming is not None:
                coming.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    loop.run_until_complete(coming)
            with suppress(Exception):
                loop.run_until_complete(lines.aclose())
            loop.close()

    def stop(self, id: str) -> None:
        """Asks a job to end, as Ctrl-C does; after STOP_SECONDS it is killed."""
        with self._translated_errors():
            self.client.stop_job(id)

    def forget(self, id: str) -> None:
        """Removes what the cluster knows of a job that has ended."""
        with self._translated_errors():
            self.client.delete_job(id)

    def _address(self) -> str:
        said = self.cluster.target.dashboard
        if said is not None:
            return f"http://{said}"
        if self.cluster.head is None:
            return f"ray://{self.cluster.address}"
        found = self.cluster.head.dashboard()
        if found is None:
            hint = "start the head with --include-dashboard=true, or name it: dashboard: HOST:PORT in gitml.yaml"
            raise RemoteError("the cluster has no dashboard, which takes submissions", where=self.where, hint=hint)
        return f"http://{found}"

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Ray's errors as ours."""
        try:
            yield
        except GitmlError:
            raise
        except Exception as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> GitmlError:
        said = " ".join(str(error).split())
        kind, status = type(error).__name__, _status(error)
        if status in (401, 403):
            return TrustError("the dashboard does not take the token", where=self.where)
        if status is None and kind.endswith("Timeout") and kind != "ConnectTimeout":
            hint = "see whether the head is well, then try again"
            return RemoteError("the dashboard of the cluster gave no answer in time", where=self.where, hint=hint)
        if status is None and (isinstance(error, OSError) or "onnect" in kind or "connect" in said):
            hint = (
                "start the head with --dashboard-host=0.0.0.0, or say in gitml.yaml where it is: dashboard: HOST:PORT"
            )
            return RemoteError("the dashboard of the cluster can't be reached", where=self.where, hint=hint)
        return RemoteError(f"the cluster refused: {said[:300]}", where=self.where)


def _whole(answer: Any, seconds: float) -> Any:
    """An answer of `requests` with all its content, which must not be endless, nor drip."""
    content = bytearray()
    end = time.monotonic() + max(seconds, _PATIENCE)
    while piece := answer.raw.read1(1 << 20, decode_content=False):  # which a packed answer would be many times of
        content += piece
        if len(content) > _LARGEST:
            answer.close()
            raise ValueError(f"an answer of more than {_LARGEST >> 20} MiB")
        if time.monotonic() > end + len(content) / _SLOWEST:
            answer.close()
            raise TimeoutError("the answer comes too slowly")
    answer._content, answer._content_consumed = bytes(content), True
    return answer


def _status(error: BaseException | None) -> int | None:
    """The HTTP status in an error of Ray's; None for one without an answer."""
    if type(error).__name__ == "AuthenticationError":
        return 401
    said = re.search(r"status code (\d{3})\b|^(\d{3}) (?:Client|Server) Error\b", str(error))
    return int(said[1] or said[2]) if said else None


def _job(details: Any) -> ClusterJob:
    state = _STATES.get(str(details.status.value), str(details.status.value).lower())
    return ClusterJob(
        details.submission_id, state, details.metadata or {}, (details.start_time or 0) / 1000, details.message or ""
    )


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """Ray prefers these variables to its arguments."""
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
