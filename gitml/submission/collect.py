"""Submitted runs as seen from here: their events and progress, and the collecting of their records and results."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from gitml.cluster.connect.cluster import Cluster
from gitml.cluster.content.file_transfer import RemoteFile, download, remove
from gitml.cluster.jobs import RUNNING, ClusterJob, JobClient
from gitml.core.model.digest import Digest, hex_of
from gitml.core.model.events import RunFinished, RunStarted, StepFinished, StepsKnown, StepStarted, numbered
from gitml.core.records.record import Run, StepRun, encode_run, step_as_json
from gitml.errors import BusyError, GitmlError, InputError, IntegrityError, RemoteError
from gitml.history.runs import RUNNING as STEP_RUNS
from gitml.history.runs import WAITING, StepProgress, finished_progress
from gitml.history.submissions import Submission, forget_submission, progress_folder, submissions
from gitml.records.index_sync import IndexedLog, sync
from gitml.records.validation import run_in
from gitml.store.index.runs import run_row
from gitml.store.local import disk
from gitml.store.local.object_writer import BlobWriter
from gitml.submission.event_stream import (
    JobEnded,
    JobEvent,
    JobLogText,
    JobRecordFile,
    JobResults,
    job_events,
    lines_of,
)
from gitml.submission.lookup import connected
from gitml.transfer.remotes import using_store
from gitml.workspace import Workspace

_SOON, _LATER = 0.3, 3.0  # seconds between two questions
_PATIENCE = 60.0
_ENDING = 30.0  # seconds that a job may go on after its last event
_RECORD = 128 << 20  # bytes of a record with its logs
_FOLDER = re.compile(r"/[0-9a-f]{16}\Z")  # the folder of a run on a cluster's machine


class CollectedRun(NamedTuple):
    """A run that was collected; of its objects `fetched` are here, `left` are still there for a reason, and `lost` are gone."""

    run: Run
    fetched: int
    left: int
    lost: int
    reason: str = ""


class StillRunningError(BusyError):
    """A submitted run has not ended."""


def follow(jobs: JobClient, submission: Submission) -> Iterator[JobEvent]:
    """The events of a run from the first on, until it ends. RemoteError when the cluster does not know the run, or is gone."""
    _job(jobs, submission)
    for event in job_events(jobs.follow(submission.job)):
        yield event
        if isinstance(event, JobEnded):  # the last; its job ends too then
            end = time.monotonic() + _ENDING
            while time.monotonic() < end and (job := jobs.get(submission.job)) is not None and job.state == RUNNING:
                time.sleep(_SOON)
            return


def past_events(jobs: JobClient, submission: Submission) -> Iterator[JobEvent]:
    """The events of a run so far."""
    _job(jobs, submission)
    return _events(jobs, submission)


def progress_of(jobs: JobClient, submission: Submission) -> tuple[Run, list[StepProgress]]:
    """The run as far as it has come, and how each of its steps stands."""
    job = _job(jobs, submission)
    run: Run | None = None
    steps: dict[str, StepProgress] = {}
    for event in _events(jobs, submission):
        if isinstance(event, RunFinished):
            return event.run, [finished_progress(step) for step in event.run.steps]
        if isinstance(event, RunStarted):
            run, steps = event.run, {name: StepProgress(name, WAITING) for name in event.steps}
        elif isinstance(event, StepsKnown):
            steps = {name: steps.get(name) or StepProgress(name, WAITING) for name in event.steps}
        elif isinstance(event, StepStarted):
            steps[event.name] = StepProgress(event.name, STEP_RUNS, event.reason, event.number)
        elif isinstance(event, StepFinished):
            steps[event.step.name] = finished_progress(event.step)
    if run is None:
        raise _not_begun(job, jobs, submission)
    stand = list(steps.values())
    return run._replace(steps=tuple([standing.step for standing in stand if standing.step is not None])), stand


def mirror(ws: Workspace, id: str) -> None:
    """Asks the cluster of the submitted run `id` how far it is, and keeps that in its `progress_folder`.

    RemoteError when the cluster can't be reached or does not know it, BusyError when it has not begun.
    """
    submission = next((one for one in submissions(ws) if one.run == id), None)
    if submission is None:
        raise InputError(f"run {id[:8]} was not submitted from here, or was collected", hint="gitml log --on TARGET")
    with connected(ws, submission.target) as (_, jobs):
        so_far = list(past_events(jobs, submission))
        if not any(isinstance(one, RunStarted) for one in so_far):
            progress_of(jobs, submission)  # raises the reason
    write_progress(progress_folder(ws, id), so_far, ws.now())


def write_progress(folder: str, events_so_far: Iterable[JobEvent], now: float) -> Run | None:
    """Writes events as the folder of a run in progress; returns the run so far, None when it has not started.

    There is no event with the time when an attempt started: `now` stands for those that are new to `folder`.
    """
    run: Run | None = None
    steps: dict[str, int] = {}
    events: list[str] = []
    ended: list[StepRun] = []
    logs: dict[str, bytearray] = {}
    known = _known_starts(folder)
    for event in events_so_far:
        if isinstance(event, RunStarted):
            run, steps = event.run, numbered(event.steps, {})
        elif isinstance(event, StepsKnown):
            steps = numbered(event.steps, steps)
        elif isinstance(event, StepStarted):
            at = known.get((event.name, event.number), now)
            line = {"started": event.name, "number": event.number, "reason": event.reason, "at": at}
            events.append(json.dumps(line))
        elif isinstance(event, StepFinished):
            ended.append(event.step)
            events.append(json.dumps(step_as_json(event.step)))
        elif isinstance(event, JobLogText):
            logs.setdefault(event.attempt, bytearray()).extend(event.content)
        elif isinstance(event, RunFinished):
            run = event.run
    if run is None:
        return None
    os.makedirs(os.path.join(folder, "logs"), exist_ok=True)
    for attempt, content in logs.items():
        _write_unless_there(os.path.join(folder, "logs", f"{os.path.basename(attempt)}.log"), bytes(content))
    _write_unless_there(os.path.join(folder, "events.jsonl"), "".join([f"{line}\n" for line in events]).encode())
    _write_unless_there(os.path.join(folder, "steps.json"), json.dumps(steps).encode())
    _write_unless_there(os.path.join(folder, "run.json"), encode_run(run._replace(steps=())))
    return run._replace(steps=tuple(ended))


def _known_starts(folder: str) -> dict[tuple[str, int], float]:
    """When attempts were first seen, by step and number."""
    try:
        with open(os.path.join(folder, "events.jsonl"), "rb") as file:
            events = [json.loads(line) for line in file]
    except (OSError, ValueError):
        return {}
    return {(event["started"], event["number"]): event["at"] for event in events if "started" in event}


def _write_unless_there(path: str, content: bytes) -> None:
    try:
        if os.stat(path).st_size == len(content) and path.endswith(".log"):
            return  # what it wrote was there before
    except FileNotFoundError:
        pass
    disk.write_whole(path, content)


def collect(ws: Workspace, cluster: Cluster, jobs: JobClient, submission: Submission) -> CollectedRun | None:
    """Puts the record of an ended run into the log of runs and its results into the Store, then clears up on the cluster.

    None when it was collected before and the cluster knows it no more. StillRunningError while it runs; RemoteError when it ended
    without a record, and then its note is gone too, for there is nothing to wait for. What can't be fetched stays there.
    """
    job = jobs.get(submission.job)
    ours = submission.run in [one.run for one in submissions(ws)]
    if job is None:
        if not ours or run_row(ws.index, submission.run) is None:
            raise _unknown(submission)
        forget_submission(ws, submission.run)
        return None
    _refuse_running(job, submission, "gitml logs {} -f follows it")
    files: dict[str, bytes] = {}
    size = 0
    kept: JobResults | None = None
    begun = False
    for event in _events(jobs, submission):
        if isinstance(event, JobRecordFile):
            files[event.path] = event.content
            size += len(event.path) + len(event.content)
            if size > _RECORD:
                what = f"the cluster sent a record of run {submission.run[:8]} that no run has: more than {_RECORD >> 20} MiB"
                raise IntegrityError(what, where=submission.target)
        elif isinstance(event, JobResults):
            kept = event
        elif isinstance(event, RunStarted):
            begun = True
    with using_store(ws):  # until it is all here no record keeps gc from it
        run = _record(ws, files, submission)
        if run is None:
            error = _not_begun(job, jobs, submission)
            if ours and begun:  # what its steps wrote may show why: the cluster keeps that
                forget_submission(ws, submission.run)
                error.hint = (
                    error.hint or f"gitml logs {submission.run[:8]} --on {submission.target} shows what it wrote"
                )
            elif ours:
                _clear_up(ws, cluster, jobs, submission, kept)
            raise error
        missing = [] if kept is None else [item for item in kept.objects if not ws.store.holds(*item)]
        lost, left, reason = 0, 0, ""
        if kept is not None and missing:
            try:
                lost = _fetch(ws, cluster, kept, missing)
            except RemoteError as error:  # this machine may not drive the cluster; the record is here all the same
                reason = error.message
                left = sum(1 for item in missing if not ws.store.holds(*item))
    if ours and not left:
        _clear_up(ws, cluster, jobs, submission, kept)
    return CollectedRun(run, len(missing) - left - lost, left, lost, reason)


def wait_until_ended(jobs: JobClient, submission: Submission, end: float | None = None) -> bool:
    """Waits until a run has ended, also through a minute in which its head does not answer; False where it goes on at `end`."""
    pause = _SOON
    answered = time.monotonic()
    while True:
        try:
            job = jobs.get(submission.job)
        except RemoteError:
            if time.monotonic() > answered + _PATIENCE:
                raise
        else:
            if job is None or job.state != RUNNING:
                return True
            answered = time.monotonic()
        if end is not None and time.monotonic() + pause > end:
            return False
        time.sleep(pause)
        pause = min(1.5 * pause, _LATER)


def remove_submission(ws: Workspace, cluster: Cluster, jobs: JobClient, submission: Submission) -> None:
    """Removes what the cluster has of a submitted run, and its note. StillRunningError while it runs."""
    job = jobs.get(submission.job)
    kept: JobResults | None = None
    if job is not None:
        _refuse_running(job, submission, "gitml cancel {} ends it")
        for event in _events(jobs, submission):
            kept = event if isinstance(event, JobResults) else kept
        _clear_up(ws, cluster, jobs, submission, kept)
    forget_submission(ws, submission.run)


def _clear_up(
    ws: Workspace, cluster: Cluster, jobs: JobClient, submission: Submission, kept: JobResults | None
) -> None:
    """Removes what is kept of a run on the cluster, and the note of it here once the cluster has no more of it."""
    if kept is not None and _FOLDER.search(
        os.path.dirname(kept.folder)
    ):  # nothing else of a machine, whatever a job writes
        with suppress(RemoteError):  # goes by itself after two weeks
            remove(cluster, kept.node, os.path.dirname(kept.folder))
    with suppress(RemoteError):  # by its note the next `gitml collect` does it
        jobs.forget(submission.job)
        forget_submission(ws, submission.run)


def _record(ws: Workspace, files: dict[str, bytes], submission: Submission) -> Run | None:
    """Appends the record unless it is there already; None when the run made none."""
    try:
        run = run_in(files)
    except ValueError as error:
        what = f"the cluster sent a record of run {submission.run[:8]} that is refused: {error}"
        raise IntegrityError(what, where=submission.target) from error
    if run is None:
        return None
    if run.id != submission.run:
        raise IntegrityError("the cluster sent the record of another run", where=submission.target)
    if run_row(ws.index, run.id) is None:
        if ws.objects.header(run.commit) is None:
            hint = "git fetch the commit, or fetch the run where it was submitted"
            raise InputError(f"commit {run.commit[:12]} of run {run.id[:8]} is not in this repository", hint=hint)
        message = f"{run.pipeline} {run.status}: {run.id[:8]}\n\n{run.message}".rstrip() + "\n"
        ws.records.append_missing(files, message, run.commit)
        sync(IndexedLog(ws.index, ws.records, ws.objects))
    return run


def _fetch(ws: Workspace, cluster: Cluster, kept: JobResults, missing: list[tuple[Digest, int]]) -> int:
    """Downloads objects into the Store, each verified; how many are gone, or are no longer what they were."""
    files = [
        RemoteFile(os.path.join(kept.folder, name[:2], name[2:]), size, partial(BlobWriter, ws.store, digest, size))
        for digest, size in missing
        for name in [hex_of(digest)]
    ]
    return download(cluster, kept.node, files)


def _job(jobs: JobClient, submission: Submission) -> ClusterJob:
    job = jobs.get(submission.job)
    if job is None:
        raise _unknown(submission)
    return job


def _refuse_running(job: ClusterJob, submission: Submission, hint: str) -> None:
    if job.state == RUNNING:
        short, where = submission.run[:8], f"target {submission.target}"
        raise StillRunningError(f"run {short} is still going on", where=where, hint=hint.format(short))


def _events(jobs: JobClient, submission: Submission) -> Iterator[JobEvent]:
    return job_events(lines_of(jobs.output(submission.job)))


def _unknown(submission: Submission) -> RemoteError:
    hint = f"its head was started again, or the run was fetched elsewhere; gitml collect --forget {submission.run[:8]}"
    return RemoteError(f"the cluster knows no run {submission.run[:8]}", where=f"target {submission.target}", hint=hint)


def _not_begun(job: ClusterJob, jobs: JobClient, submission: Submission) -> GitmlError:
    """Why there is nothing of a run."""
    output = jobs.output(submission.job)
    for event in job_events(lines_of(output)):
        if isinstance(event, JobEnded) and event.error is not None:
            where = f"run {submission.run[:8]} on {submission.target}"
            return RemoteError(str(event.error.get("message")), where=where, hint=event.error.get("hint"))
    if job.state == RUNNING:
        return BusyError(f"run {submission.run[:8]} has not begun yet", where=f"target {submission.target}")
    last = (output.strip().splitlines() or [job.message or "it said nothing"])[-1]
    message = f"run {submission.run[:8]} ended without a record ({job.state}): {last[:300]}"
    return RemoteError(message, where=f"target {submission.target}")
