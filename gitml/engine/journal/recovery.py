"""Runs whose gitml was killed: what they finished is recorded from the journal they left, and their folders are removed."""

from __future__ import annotations

import json
import os
from contextlib import suppress

from gitml.core.config.project import Config
from gitml.core.records.record import Run, StepRun, decode_run, step_from_json
from gitml.engine.journal.journal import remove_folder
from gitml.engine.journal.recorder import record_run
from gitml.errors import IntegrityError
from gitml.execute.sandbox.removal import remove_tree
from gitml.platform.current import platform
from gitml.records.layout import record_folder
from gitml.store.index.runs import RecordedRun, put_runs
from gitml.store.local.locks import Locks
from gitml.workspace import Workspace

ENDED = "gitml was ended before the run was"


def recover(ws: Workspace) -> list[Run]:
    """Records every run left unfinished by a process that is gone; gives those Runs."""
    try:
        names = os.listdir(ws.live)
    except FileNotFoundError:
        return []
    from gitml.execute.sandbox.location import clear_root, sandbox_roots

    recovered = []
    for name in names:
        folder = os.path.join(ws.live, name)
        if name.endswith(".done"):
            with suppress(OSError):  # another user's, or read-only: its owner's next command removes it
                remove_tree(folder)
            continue
        slot = Locks.slot_for(f"run:{name}")
        if not ws.locks.try_lock(slot):
            continue
        try:
            platform.end_strays(folder)
            clear_root(sandbox_roots(folder, ws.environ))
            run = _unfinished(folder, ws.now())
            if run is not None and _record(ws, run):
                recovered.append(run)
            with suppress(OSError):  # recorded it is; what another user's step left there only that user can remove
                remove_folder(folder)
        finally:
            ws.locks.unlock(slot)
    return recovered


def _record(ws: Workspace, run: Run) -> bool:
    """Records the run unless it is recorded already; whether that was to be done."""
    if _is_recorded(ws, run):
        return False
    try:
        commit = record_run(ws, run, Config())
        # A power cut takes from the index what the journal still has: what finished steps gave.
        put_runs(ws.index, [RecordedRun(run, commit, {})])
    except IntegrityError:
        # git goes on when gitml is killed: it may have written the record between the look and this
        if not _is_recorded(ws, run):
            raise
        return False
    return True


def _is_recorded(ws: Workspace, run: Run) -> bool:
    """Whether the process was killed between writing the record and removing the folder."""
    return ws.records.has(f"{record_folder(run.id, run.started)}/run.json")


def _unfinished(folder: str, now: float) -> Run | None:
    """The Run of a journal; None when the process was killed before anything was in it."""
    try:
        with open(os.path.join(folder, "run.json"), "rb") as file:
            run = decode_run(file.read())
        with open(os.path.join(folder, "steps.json"), "rb") as file:
            names = list(json.loads(file.read()))
    except (OSError, ValueError):
        return None
    done = {step.name: step for step in finished_steps(folder)}
    steps = tuple(done.get(name) or StepRun(name, "cancelled", ENDED, 0.0) for name in names)
    return run._replace(status="failed", ended=_last_change(folder, now), steps=steps, error=ENDED)


def finished_steps(folder: str) -> list[StepRun]:
    """The steps that are finished by the journal of a live folder; a line cut short by a crash is left out."""
    try:
        with open(os.path.join(folder, "events.jsonl"), "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        return []
    steps = []
    for line in lines[:-1]:
        try:
            steps.append(step_from_json(json.loads(line)))
        except ValueError:
            continue
    return steps


def _last_change(folder: str, now: float) -> float:
    try:
        return os.stat(os.path.join(folder, "events.jsonl")).st_mtime
    except OSError:
        return now
