"""Performing a run: locks, a journal and an executor around the scheduler, and the record at the end."""

from __future__ import annotations

import os

from gitml.core.model.protocols import Executor
from gitml.core.records.record import Run
from gitml.engine.execution.executor_kinds import Executors
from gitml.engine.execution.scheduler import Assignment, Scheduler
from gitml.engine.journal.journal import Journal
from gitml.engine.journal.recorder import Provenance, record_run
from gitml.engine.journal.recovery import recover
from gitml.engine.planning.planner import Planner
from gitml.errors import BusyError, RemoteError
from gitml.redaction import redacted, register_secret, secret_in_file
from gitml.store.local.locks import Locks


def perform(task: Assignment) -> tuple[Run, str]:
    """Performs what the plan does not reuse; gives the finished Run and its record's commit."""
    locks = task.ws.locks
    if not locks.lock(Locks.GC, timeout=600.0, shared=True):
        raise BusyError("gc has been running for ten minutes", hint="wait for it, or end it")
    slot = Locks.slot_for(f"run:{task.run.id}")
    try:
        recover(task.ws)
        locks.try_lock(slot)
        return _performed(task)
    finally:
        locks.unlock(slot)
        locks.unlock(Locks.GC)


def _performed(task: Assignment) -> tuple[Run, str]:
    ws = task.ws
    indices = {name: index for index, name in enumerate(task.plan.decisions)}
    journal = Journal(ws, task.run, indices)
    planner = task.planner

    def make(target: str) -> Executor:
        return planner.targets.executor(target, task.run.id, journal.folder)

    _hide_tokens(planner)
    executors = Executors(make)
    scheduler = Scheduler(task, executors, journal, indices)
    try:
        steps = scheduler.work()
        run = task.run._replace(status=scheduler.status(), ended=ws.now(), steps=tuple(steps))
        executors.dismiss()  # workers clear up while the record is written
        recorded = record_run(
            ws, run, Provenance(scheduler.attempts.actions, scheduler.attempts.environments), task.loaded.config
        )
    except RemoteError as error:
        planner.targets.abandon()
        # what was made is kept and recorded, so that the same command goes on from there
        run = task.run._replace(
            status="failed",
            ended=ws.now(),
            steps=tuple(scheduler.abort(error.message)),
            error=redacted(error.message),
        )
        record_run(ws, run, Provenance(scheduler.attempts.actions, scheduler.attempts.environments), task.loaded.config)
        journal.close()
        raise
    finally:
        executors.close()
        scheduler.release()
    journal.close()
    return run, recorded


def _hide_tokens(planner: Planner) -> None:
    """Has the tokens of clusters masked wherever steps write them: their files can be read by steps of this machine."""
    for path in planner.targets.secret_files():
        token = secret_in_file(os.path.expanduser(path))
        if token is not None:
            register_secret(token)
