"""RunBoard: the state of a run's steps, kept up to date by events; what every reporter prints from."""

from __future__ import annotations

from itertools import chain

from gitml.cli.text.terminal import safe
from gitml.core.model.events import (
    Event,
    RunFinished,
    RunStarted,
    StepFetches,
    StepFinished,
    StepOutput,
    StepPrepares,
    StepRetried,
    StepsKnown,
    StepStarted,
    StepWaits,
)
from gitml.core.records.record import Run, StepRun

WAITING, RUNNING, ELSEWHERE, FETCHING = "waiting", "running", "elsewhere", "fetching"
"""States of a step before it has an outcome; `elsewhere`: another gitml performs the same Action; `fetching`: its inputs are
downloaded from a remote store."""


def waiting_for(twin: str) -> str:
    """What a step waits for whose Action the step `twin`, or (empty) another gitml, performs."""
    return f"step {safe(twin)} does the same" if twin else "another gitml is performing it"


class StepRow:
    """One step: `state` is one of the above or its outcome, `since` when it began to run (seconds since 1970)."""

    __slots__ = ("attempt", "line", "name", "reason", "since", "state", "step")

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = WAITING
        self.reason = ""
        self.since = 0.0
        self.line = ""
        self.attempt = 1
        self.step: StepRun | None = None


class RunBoard:
    """All steps of one run, in the order of the plan, and how many have which outcome."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.rows: dict[str, StepRow] = {}
        self.active: dict[str, StepRow] = {}
        self.counts: dict[str, int] = {}
        self.saved = 0.0
        self.finished: list[StepRun] = []

    def take(self, event: Event, now: float) -> None:
        """Updates the state by `event`."""
        if isinstance(event, RunStarted):
            self.run = event.run
            self.rows = {name: StepRow(name) for name in event.steps}
        elif isinstance(event, StepsKnown):
            rows = {name: self.row(name) for name in event.steps}
            gone = [row for name, row in self.rows.items() if name not in rows and row.step is not None]
            for step in [row.step for row in gone if row.step is not None]:
                self.counts[step.outcome] -= 1
            self.rows = rows
        elif isinstance(event, StepStarted):
            row = self.row(event.name)
            row.state, row.reason, row.since, row.attempt = RUNNING, event.reason, now, event.number
            self.active[event.name] = row
        elif isinstance(event, StepWaits):
            row = self.row(event.name)
            row.state, row.since, row.reason = ELSEWHERE, now, waiting_for(event.twin)
            self.active[event.name] = row
        elif isinstance(event, StepFetches):
            row = self.row(event.name)
            row.state, row.since = FETCHING, now
            self.active[event.name] = row
        elif isinstance(event, StepPrepares):
            self.row(event.name).line = event.what
        elif isinstance(event, StepOutput):
            self.row(event.name).line = event.line
        elif isinstance(event, StepRetried):
            self.row(event.name).line = f"again after: {event.error}"
        elif isinstance(event, StepFinished):
            self._finish(event.step)
        elif isinstance(event, RunFinished):
            self.run = event.run

    def row(self, name: str) -> StepRow:
        """The row of a step; one that was not announced is added."""
        if name not in self.rows:
            self.rows[name] = StepRow(name)
        return self.rows[name]

    def _finish(self, step: StepRun) -> None:
        row = self.row(step.name)
        if row.step is not None:  # reused at first, and made again because its bytes could not be had
            self.counts[row.step.outcome] -= 1
        row.state, row.step = step.outcome, step
        row.reason = step.reason or row.reason
        self.active.pop(step.name, None)
        self.counts[step.outcome] = self.counts.get(step.outcome, 0) + 1
        self.finished.append(step)
        if step.outcome == "reused" and step.saved is not None:
            self.saved += step.saved.wall

    def chosen(self, room: int) -> tuple[list[StepRow], int]:
        """The `room` rows that matter most, in the order of the plan, and how many are left out.

        First what runs, then what failed, what finished last, and what comes next.
        """
        if len(self.rows) <= room:
            return list(self.rows.values()), 0
        wanted: dict[str, None] = dict.fromkeys(list(self.active)[:room])
        for step in reversed(self.finished):
            if step.outcome == "failed":
                wanted.setdefault(step.name)
        recent = [step.name for step in reversed(self.finished) if step.outcome in ("executed", "failed")]
        coming = (name for name, row in self.rows.items() if row.state == WAITING)
        spare = max(0, room - len(wanted))
        for name in recent[: spare // 2]:
            wanted.setdefault(name)
        for name in chain(coming, recent):
            if len(wanted) >= room:
                break
            wanted.setdefault(name)
        kept = set(list(wanted)[:room])
        return [row for name, row in self.rows.items() if name in kept], len(self.rows) - len(kept)
