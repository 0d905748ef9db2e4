"""After a push to a bare repository: what of it is to be run, in a queue that one process at a time works off.

A job is a file in ``gitml/queue``, written before anyone is asked to work, and removed when its run is recorded. So nothing is
lost when the machine goes down: who works next begins with what was left.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import NamedTuple

from gitml import __version__, layout
from gitml.core.config.project import Config, matches
from gitml.core.model.events import Emit
from gitml.core.model.stop_signal import StopSignal
from gitml.core.records.record import Run
from gitml.engine.journal.recorder import record_run
from gitml.engine.journal.recovery import recover
from gitml.engine.planning.load import every_pipeline, load, read_config
from gitml.engine.planning.request import RunRequest
from gitml.engine.run import new_run_id, run_pipeline
from gitml.errors import GitmlError, Guard
from gitml.git.hooks.settings import ReceiveSettings
from gitml.git.objects.source import CommitSource
from gitml.git.revisions import user_ident
from gitml.hooks.pre_push import Update, tip_of
from gitml.store.index.runs import run_row
from gitml.store.local import disk
from gitml.store.local.locks import Locks
from gitml.workspace import Workspace

TAG = "push"
_PATIENCE = 60.0  # seconds
_SLOT = Locks.slot_for("queue of pushed commits")


class QueuedRun(NamedTuple):
    """One pipeline of a pushed commit, to be run under the id `run`."""

    run: str
    pipeline: str
    commit: str
    branch: str


class PushedRuns(NamedTuple):
    """The jobs of a push, and why something isn't one though it might be expected to be."""

    jobs: tuple[QueuedRun, ...]
    refused: tuple[str, ...]


def runs_of_push(ws: Workspace, updates: Sequence[Update], allowed: ReceiveSettings) -> PushedRuns:
    """A job for each pipeline that the owner allows, and the pushed commit asks for, on each branch that the owner allows."""
    jobs: dict[tuple[str, str], QueuedRun] = {}
    refused: list[str] = []
    for update in updates:
        commit, branch = tip_of(ws, update), update.branch
        if commit is None or branch is None or not matches(branch, allowed.branches):
            continue
        source = CommitSource(ws.objects, commit)
        try:
            hooks = read_config(ws, source).hooks
        except GitmlError as error:
            refused.append(f"{error.where}: {error.message}; nothing of {branch} is run")
            continue
        if "post-receive" in hooks.skip:
            continue
        for name in sorted(every_pipeline(source)):
            asked = hooks.on_push is None or matches(name, hooks.on_push)
            if asked and matches(name, allowed.pipelines):
                jobs.setdefault((commit, name), QueuedRun(new_run_id(), name, commit, branch))
    return PushedRuns(tuple(jobs.values()), tuple(refused))


def enqueue(ws: Workspace, jobs: Sequence[QueuedRun]) -> list[QueuedRun]:
    """Puts jobs into the queue, on the disk; one that is there already for the same commit is given in a new one's place."""
    waiting = {(job.commit, job.pipeline): job for job in queued(ws)}
    folder = _folder(ws)
    result = []
    with Guard(folder, "can't queue a run"):
        ws.sharing.make_folder(folder)
        for number, job in enumerate(jobs):
            known = waiting.get((job.commit, job.pipeline))
            if known is None:
                name = f"{time.time_ns():020d}-{number:04d}-{job.run}.json"
                disk.write_whole(os.path.join(folder, name), json.dumps(job._asdict()).encode(), durable=True)
                ws.sharing.open_up(os.path.join(folder, name))
            result.append(known or job)
    return result


def queued(ws: Workspace) -> list[QueuedRun]:
    """The jobs that wait or run, the first to be run first."""
    return [job for job, _ in _files(ws)]


def lock_queue(ws: Workspace) -> bool:
    """Whether this process is the one that works now; until it ends or `unlock_queue`."""
    return ws.locks.try_lock(_SLOT)


def unlock_queue(ws: Workspace) -> None:
    """Lets another process work."""
    ws.locks.unlock(_SLOT)


def run_next(ws: Workspace, emit: Emit, stop: StopSignal) -> bool:
    """Runs the first job of the queue to its record, whatever comes of it; False when none is left."""
    recover(ws)
    for job, path in _files(ws):
        _wait_for_recovery(ws, job)
        if run_row(ws.index, job.run) is None:
            _run_queued(ws, job, emit, stop)
        os.unlink(path)
        return True
    return False


def _wait_for_recovery(ws: Workspace, job: QueuedRun) -> None:
    """Returns once what a killed process left of this job is recorded: another gitml may be at it just now."""
    end = time.monotonic() + _PATIENCE
    while os.path.isdir(os.path.join(ws.live, job.run)) and time.monotonic() < end:
        time.sleep(0.1)
        recover(ws)


def _run_queued(ws: Workspace, job: QueuedRun, emit: Emit, stop: StopSignal) -> None:
    begun = ws.now()
    request = RunRequest(tags=(TAG,), message=f"pushed to {job.branch}", branch=job.branch)
    try:
        loaded = load(ws, job.pipeline, job.commit)
        run_pipeline(ws, loaded, request, emit, stop, job.run)
    except Exception as error:
        if run_row(ws.index, job.run) is None:
            record_run(ws, _failed_run(ws, job, begun, _error_text(error)), Config())


def _failed_run(ws: Workspace, job: QueuedRun, begun: float, why: str) -> Run:
    """The failed run of a job that could not even be planned: nobody waits at a terminal, so the record must say so."""
    return Run(
        id=job.run,
        pipeline=job.pipeline,
        path=f"pipelines/{job.pipeline}.yaml",
        experiment=job.pipeline,
        status="failed",
        commit=job.commit,
        started=begun,
        ended=ws.now(),
        by=user_ident(ws.location),
        host=os.uname().nodename,
        version=__version__,
        branch=job.branch,
        message=f"pushed to {job.branch}",
        tags=(TAG,),
        error=why,
    )


def _error_text(error: Exception) -> str:
    if not isinstance(error, GitmlError):
        return f"internal error: {type(error).__name__}: {error}"
    mistakes = [str(item) for item in getattr(error, "diagnostics", ())]
    where = f" ({error.where})" if error.where else ""
    return "; ".join(mistakes) or error.message + where + (f": {error.hint}" if error.hint else "")


def _files(ws: Workspace) -> list[tuple[QueuedRun, str]]:
    folder = _folder(ws)
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        path = os.path.join(folder, name)
        try:
            with open(path, "rb") as file:
                raw = json.loads(file.read())
            if raw.get("format", 1) == 1:  # what a newer gitml queued is its own to run
                found.append((QueuedRun(**{name: value for name, value in raw.items() if name != "format"}), path))
        except FileNotFoundError:
            continue  # done meanwhile
        except (ValueError, TypeError, AttributeError):
            os.replace(path, path + ".bad")
    return found


def _folder(ws: Workspace) -> str:
    return os.path.join(ws.root, layout.QUEUE)
