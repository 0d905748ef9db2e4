"""A submitted run as it goes on, kept here in the form of a run in progress, so that whoever looks at it sees either alike."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

from gitml.core.model.events import RunFinished, RunStarted, StepFinished, StepStarted
from gitml.core.records.record import Run, StepRun, encode_run, step_as_json
from gitml.errors import InputError
from gitml.history.submissions import progress_folder, submissions
from gitml.store.local import disk
from gitml.submission.collect import past_events, progress_of
from gitml.submission.event_stream import JobEvent, JobLogText
from gitml.submission.lookup import connected
from gitml.workspace import Workspace


def mirror(ws: Workspace, id: str) -> None:
    """Asks the cluster of the submitted run `id` how far it is, and keeps that in its `progress_folder`.

    RemoteError when the cluster can't be reached or does not know it, BusyError when it has not begun.
    """
    submission = next((one for one in submissions(ws) if one.run == id), None)
    if submission is None:
        raise InputError(f"run {id[:8]} was not submitted from here, or is home", hint="gitml log --on TARGET")
    with connected(ws, submission.target) as (_, jobs):
        told = list(past_events(jobs, submission))
        if not any(isinstance(one, RunStarted) for one in told):
            progress_of(jobs, submission)  # says why there is nothing
    write_progress(progress_folder(ws, id), told, ws.now())


def write_progress(folder: str, told: Iterable[JobEvent], now: float) -> Run | None:
    """Writes what a run has said as the folder of a run in progress; the run as it stands, None when it said nothing of itself.

    A run does not say when its attempts begin: `now` stands for those that are new to `folder`.
    """
    run: Run | None = None
    steps: dict[str, int] = {}
    events: list[str] = []
    ended: list[StepRun] = []
    logs: dict[str, bytearray] = {}
    known = _begun(folder)
    for saying in told:
        if isinstance(saying, RunStarted):
            run, steps = saying.run, {name: number for number, name in enumerate(saying.steps)}
        elif isinstance(saying, StepStarted):
            at = known.get((saying.name, saying.number), now)
            event = {"started": saying.name, "number": saying.number, "reason": saying.reason, "at": at}
            events.append(json.dumps(event))
        elif isinstance(saying, StepFinished):
            ended.append(saying.step)
            events.append(json.dumps(step_as_json(saying.step)))
        elif isinstance(saying, JobLogText):
            logs.setdefault(saying.attempt, bytearray()).extend(saying.content)
        elif isinstance(saying, RunFinished):
            run = saying.run
    if run is None:
        return None
    os.makedirs(os.path.join(folder, "logs"), exist_ok=True)
    for attempt, content in logs.items():
        _write(os.path.join(folder, "logs", f"{os.path.basename(attempt)}.log"), bytes(content))
    _write(os.path.join(folder, "events.jsonl"), "".join([f"{event}\n" for event in events]).encode())
    _write(os.path.join(folder, "steps.json"), json.dumps(steps).encode())
    _write(os.path.join(folder, "run.json"), encode_run(run._replace(steps=())))
    return run._replace(steps=tuple(ended))


def _begun(folder: str) -> dict[tuple[str, int], float]:
    """When attempts were first seen."""
    try:
        with open(os.path.join(folder, "events.jsonl"), "rb") as file:
            events = [json.loads(line) for line in file]
    except (OSError, ValueError):
        return {}
    return {(event["started"], event["number"]): event["at"] for event in events if "started" in event}


def _write(path: str, content: bytes) -> None:
    try:
        if os.stat(path).st_size == len(content) and path.endswith(".log"):
            return  # what it wrote was there before
    except FileNotFoundError:
        pass
    disk.write_whole(path, content)
