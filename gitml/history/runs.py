"""Finding runs, recorded or in progress, by the beginning of an id or by a revision; and how far each step of one is."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from typing import NamedTuple

from gitml.core.records.record import Run, StepRun, decode_run, step_from_json
from gitml.errors import InputError
from gitml.git.revisions import UnknownRevisionError, resolve_commit
from gitml.history.submissions import progress_folder, submissions
from gitml.records import runs as ledger
from gitml.store.index.runs import newest_runs, run_ids_with_prefix, run_row
from gitml.workspace import Workspace

LATEST = "latest"
_BACK = re.compile(rf"{LATEST}(?:~([0-9]{{1,6}}))?\Z")
_HEX = frozenset("0123456789abcdef")


def is_run_prefix(text: str) -> bool:
    """Whether `text` can be the beginning of a run id."""
    return 4 <= len(text) <= 16 and _HEX.issuperset(text)


class LiveRun(NamedTuple):
    """A run in progress: what it finished so far, its live folder, and the process that runs it (None: that one is gone)."""

    run: Run
    folder: str
    pid: int | None


class FoundRun(NamedTuple):
    """A Run, and its Live when it has not ended."""

    run: Run
    live: LiveRun | None = None


def find_run(ws: Workspace, text: str) -> FoundRun:
    """The run whose id begins with `text`; ``latest`` is the newest, ``latest~2`` the one two before it.

    InputError when there is none, or several.
    """
    return get_run(ws, run_id(ws, text))


def run_id(ws: Workspace, text: str) -> str:
    """The whole id of the run that `text` names, as for `find_run`; also of a submitted one of which no progress is known."""
    counted = _BACK.match(text)
    if counted:
        return _newest(ws, int(counted[1] or 0))
    if not is_run_prefix(text):
        raise InputError(
            f"not a run: {text[:80]!r}", hint="give the first 4 or more of the 16 hex digits that `gitml log` shows"
        )
    ids = [*(id for id in live_ids(ws) if id.startswith(text))]
    ids += [id for id in run_ids_with_prefix(ws.index, text, 6) if id not in ids]
    ids += [one.run for one in submissions(ws) if one.run.startswith(text) and one.run not in ids]
    if not ids:
        raise InputError(f"no run {text!r}", hint="`gitml log` lists the runs")
    if len(ids) > 1:
        apart = max(8, len(os.path.commonprefix(ids)) + 4)  # noqa: RUF071 - of strings, as wanted
        shown = ", ".join(id[:apart] for id in ids[:5]) + (" …" if len(ids) > 5 else "")
        raise InputError(f"several runs begin with {text!r}: {shown}", hint="give more digits")
    return ids[0]


def get_run(ws: Workspace, id: str) -> FoundRun:
    """The run with this whole id; a submitted one as its last known progress was.

    InputError when there is none, or no progress of a submitted one is known.
    """
    live = _live(ws, id)
    if live is not None:
        return FoundRun(live.run, live)
    if run_row(ws.index, id) is None:
        there = next((one for one in submissions(ws) if one.run == id), None)
        last_known = _in_progress(progress_folder(ws, id)) if there is not None else None
        if last_known is not None:
            return FoundRun(last_known.run, last_known)
        if there is not None:
            hint = f"gitml logs {id[:8]} -f follows it, gitml collect {id[:8]} downloads it"
            raise InputError(f"run {id[:8]} was handed to {there.target} and is not here yet", hint=hint)
    return FoundRun(read_run(ws, id))


def read_run(ws: Workspace, id: str) -> Run:
    """The recorded run with this whole id. InputError when there is none, IntegrityError when its record is bad."""
    return ledger.read_run(ws.index, ws.objects, id)


def names_run(ws: Workspace, text: str) -> bool:
    """Whether `text` counts back from the newest run (``latest``, ``latest~2``), or a run's id begins with it."""
    if _BACK.match(text):
        return True
    return is_run_prefix(text) and (bool(run_ids_with_prefix(ws.index, text, 1)) or text in live_ids(ws))


def run_or_rev(ws: Workspace, text: str, pipeline: str | None = None) -> Run:
    """The run that `text` names by its id, or else the newest run of the commit it names; InputError when it was never run."""
    if names_run(ws, text):
        return find_run(ws, text).run
    try:
        commit = resolve_commit(ws.objects, ws.location, text)
    except UnknownRevisionError as error:
        hint = error.hint or "give a run id that `gitml log` shows, or a Git revision"
        raise InputError(f"neither a run nor a revision: {text[:80]!r}", hint=hint) from None
    rows = newest_runs(ws.index, commit=commit, pipeline=pipeline, limit=1)
    if not rows:
        of = f" of pipeline {pipeline!r}" if pipeline else ""
        hint = f"gitml run {pipeline or ''} --at {text}".replace("  ", " ")
        raise InputError(f"no run{of} at {text} ({commit[:12]})", hint=hint)
    return read_run(ws, rows[0].id)


def live_ids(ws: Workspace) -> list[str]:
    """The ids of the runs in progress."""
    try:
        return sorted(name for name in os.listdir(ws.live) if len(name) == 16 and is_run_prefix(name))
    except FileNotFoundError:
        return []


def live_runs(ws: Workspace) -> list[LiveRun]:
    """The runs in progress, oldest first."""
    found = [live for id in live_ids(ws) if (live := _live(ws, id)) is not None]
    return sorted(found, key=lambda live: live.run.started)


def holder_of(ws: Workspace, id: str) -> int | None:
    """The process that performs the run, None when none does."""
    return ws.locks.holder(ws.locks.slot_for(f"run:{id}"))


def _live(ws: Workspace, id: str) -> LiveRun | None:
    found = _in_progress(os.path.join(ws.live, id))
    return None if found is None else found._replace(pid=holder_of(ws, id))


def _in_progress(folder: str) -> LiveRun | None:
    """The run in progress that a folder has, of any process."""
    try:
        with open(os.path.join(folder, "run.json"), "rb") as file:
            run = decode_run(file.read())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    steps = []
    for line in _journal_lines(folder):
        with suppress(ValueError, KeyError, TypeError):  # another event
            steps.append(step_from_json(json.loads(line)))
    return LiveRun(run._replace(steps=tuple(steps)), folder, None)


def _journal_lines(folder: str) -> list[bytes]:
    """The whole lines of the journal of a run in progress; a line still being written is left out."""
    try:
        with open(os.path.join(folder, "events.jsonl"), "rb") as file:
            return file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return []


def _newest(ws: Workspace, back: int) -> str:
    begun = {one.run.id: one.run.started for one in live_runs(ws)}
    begun |= {row.id: row.started for row in newest_runs(ws.index, limit=back + 1)}
    newest = sorted(begun, key=lambda id: begun[id], reverse=True)
    if back >= len(newest):
        if not newest:
            raise InputError("nothing has run here yet", hint="gitml run")
        raise InputError(f"no run {LATEST}~{back}: there are {len(newest)}", hint="`gitml log` lists the runs")
    return newest[back]


WAITING, RUNNING = "waiting", "running"


class StepProgress(NamedTuple):
    """A step of a run. `state` is its outcome, ``running`` or ``waiting``; `since` when the attempt `number` began, in
    seconds since 1970; `step` None until it has ended."""

    name: str
    state: str
    reason: str = ""
    number: int = 0
    since: float | None = None
    step: StepRun | None = None


def finished_progress(step: StepRun) -> StepProgress:
    """How a step stands that has ended."""
    return StepProgress(step.name, step.outcome, step.reason, len(step.attempts), None, step)


def run_progress(found: FoundRun) -> list[StepProgress]:
    """Every step of a run in the order of its plan."""
    done = {step.name: finished_progress(step) for step in found.run.steps}
    if found.live is None:
        return list(done.values())
    begun = _begun(found.live.folder)
    return [
        done.get(name) or begun.get(name) or StepProgress(name, WAITING)
        for name in step_numbers(found.live.folder) or done
    ]


def step_numbers(folder: str) -> dict[str, int]:
    """The steps of a run in progress by name, in the order of its plan, with the number that each has in its folder."""
    try:
        with open(os.path.join(folder, "steps.json"), "rb") as file:
            numbers = json.load(file)
    except (OSError, ValueError):
        return {}
    return numbers if isinstance(numbers, dict) else {}


def _begun(folder: str) -> dict[str, StepProgress]:
    """The last attempt of each step that was begun."""
    begun = {}
    for line in _journal_lines(folder):
        if not line.startswith(b'{"started"'):
            continue
        with suppress(ValueError, KeyError, TypeError):
            event = json.loads(line)
            begun[event["started"]] = StepProgress(
                str(event["started"]), RUNNING, str(event["reason"]), int(event["number"]), float(event["at"])
            )
    return begun
