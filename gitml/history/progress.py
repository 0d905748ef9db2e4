"""How far a run is: its steps as they stand, of a run in progress from its journal."""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from gitml.core.records.record import StepRun
from gitml.history.runs import FoundRun

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
        done.get(name) or begun.get(name) or StepProgress(name, WAITING) for name in _names(found.live.folder) or done
    ]


def _names(folder: str) -> list[str]:
    try:
        with open(os.path.join(folder, "steps.json"), "rb") as file:
            names = json.load(file)
    except (OSError, ValueError):
        return []
    return list(names) if isinstance(names, dict) else []


def _begun(folder: str) -> dict[str, StepProgress]:
    """The last attempt of each step that was begun."""
    try:
        with open(os.path.join(folder, "events.jsonl"), "rb") as file:
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return {}
    begun = {}
    for line in lines:
        if not line.startswith(b'{"started"'):
            continue
        try:
            event = json.loads(line)
            begun[event["started"]] = StepProgress(
                str(event["started"]), RUNNING, str(event["reason"]), int(event["number"]), float(event["at"])
            )
        except (ValueError, KeyError, TypeError):
            continue
    return begun
