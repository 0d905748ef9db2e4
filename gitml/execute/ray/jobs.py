"""Ray's jobs: whole programs handed to a cluster, which runs them on its head while whoever handed them over may leave."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from gitml.errors import GitmlError, RemoteError, TrustError
from gitml.execute.ray.cluster import Cluster

_OVERRIDES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
STOP_SECONDS = 60
RUNNING, SUCCEEDED, FAILED, STOPPED = "running", "succeeded", "failed", "stopped"
_STATES = {"PENDING": RUNNING, "RUNNING": RUNNING, "SUCCEEDED": SUCCEEDED, "FAILED": FAILED, "STOPPED": STOPPED}


class Job(NamedTuple):
    """A job: how it is, what it was said to be, when it was handed over (seconds since 1970), and why it failed."""

    id: str
    state: str
    metadata: Mapping[str, str]
    submitted: float
    message: str = ""


class Jobs:
    """The jobs of one cluster. RemoteError when its dashboard, which takes them, can't be reached."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.where = f"target {cluster.target.name}"
        address = self._address()
        with self._told(), _without(_OVERRIDES):
            import logging

            from ray.job_submission import JobSubmissionClient

            for chatty in (
                "dashboard.modules.dashboard_sdk",
                "dashboard.modules.job.sdk",
                "_private.runtime_env.packaging",
            ):
                logging.getLogger(f"ray.{chatty}").setLevel(logging.ERROR)
            self.client = JobSubmissionClient(address)

    @property
    def most(self) -> int:
        """The bytes that a folder handed over must stay below."""
        from ray._private.runtime_env.packaging import GCS_STORAGE_MAX_SIZE

        return int(GCS_STORAGE_MAX_SIZE)

    def submit(self, id: str, folder: str, program: str, env: Mapping[str, str], metadata: Mapping[str, str]) -> None:
        """Runs the command line `program` in a copy of `folder`, named by its content, on the head.

        Ray takes the folder in one message and keeps it in the head's memory: it must be smaller than `most`.
        """
        # Every process of the job gets the signal; those of gitml that are not to heed it know Ctrl-C
        stop = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS), "RAY_JOB_STOP_SIGNAL": "SIGINT"}
        environment = {"working_dir": folder, "env_vars": {**stop, **env}}
        with self._told():
            self.client.submit_job(
                entrypoint=program, runtime_env=environment, submission_id=id, metadata=dict(metadata)
            )

    def list(self, prefix: str) -> list[Job]:
        """The jobs whose ids begin so, newest first."""
        with self._told():
            found = [_job(told) for told in self.client.list_jobs() if (told.submission_id or "").startswith(prefix)]
        return sorted(found, key=lambda job: -job.submitted)

    def get(self, id: str) -> Job | None:
        """One job; None when the cluster knows none of that id."""
        return next((job for job in self.list(id) if job.id == id), None)

    def output(self, id: str) -> str:
        """All that a job has written so far."""
        with self._told():
            return str(self.client.get_job_logs(id))

    def follow(self, id: str) -> Iterator[str]:
        """What a job has written and writes, line by line without line ends, until it ends."""
        import asyncio

        loop = asyncio.new_event_loop()
        lines = self.client.tail_job_logs(id)
        rest = ""
        try:
            while True:
                with self._told():
                    try:
                        rest += loop.run_until_complete(anext(lines))
                    except StopAsyncIteration:
                        break
                *whole, rest = rest.split("\n")
                yield from whole
        finally:
            loop.run_until_complete(lines.aclose())
            loop.close()
        if rest:
            yield rest

    def stop(self, id: str) -> None:
        """Asks a job to end, as Ctrl-C does; after STOP_SECONDS it is killed."""
        with self._told():
            self.client.stop_job(id)

    def forget(self, id: str) -> None:
        """Removes what the cluster knows of a job that has ended."""
        with self._told():
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
    def _told(self) -> Iterator[None]:
        """Ray's errors as ours."""
        try:
            yield
        except GitmlError:
            raise
        except Exception as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> GitmlError:
        said = " ".join(str(error).split())
        if any(sign in said for sign in ("401", "403", "Unauthorized", "Forbidden")):
            return TrustError("the dashboard does not take the token", where=self.where)
        if isinstance(error, ConnectionError) or "onnect" in type(error).__name__ or "connect" in said:
            hint = (
                "start the head with --dashboard-host=0.0.0.0, or say in gitml.yaml where it is: dashboard: HOST:PORT"
            )
            return RemoteError("the dashboard of the cluster can't be reached", where=self.where, hint=hint)
        return RemoteError(f"the cluster refused: {said[:300]}", where=self.where)


def _job(told: Any) -> Job:
    state = _STATES.get(str(told.status.value), str(told.status.value).lower())
    return Job(told.submission_id, state, told.metadata or {}, (told.start_time or 0) / 1000, told.message or "")


@contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    """Ray prefers these variables to what it is told."""
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
