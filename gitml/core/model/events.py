"""The events of a run and of transfers. The engine emits them; only user interfaces turn them into text."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gitml.core.records.record import Run, StepRun


class RunStarted(NamedTuple):
    """Before the first step. `run` has the status ``running`` and no steps; `steps` are the names to come, in order."""

    run: Run
    steps: tuple[str, ...]


class StepsKnown(NamedTuple):
    """A list that a step made says which combinations there are: `steps` are the names of all steps now, in order.

    Those that stood for combinations are not among them.
    """

    steps: tuple[str, ...]


class StepWaits(NamedTuple):
    """The same Action is being performed, and this step waits for the result: by the step `twin` of this run, or (empty) by
    another gitml."""

    name: str
    twin: str = ""


class StepFetches(NamedTuple):
    """Inputs of `size` bytes are fetched from a remote store before the step can start."""

    name: str
    size: int


class StepStarted(NamedTuple):
    """An attempt begins; `number` counts from 1."""

    name: str
    reason: str
    number: int


class StepPrepares(NamedTuple):
    """Something that takes long is made before the step's process can start: `what`, in words."""

    name: str
    what: str


class StepOutput(NamedTuple):
    """The last line a running step wrote, safe for a terminal."""

    name: str
    line: str


class StepRetried(NamedTuple):
    """An attempt failed and another will follow."""

    name: str
    error: str


class StepFinished(NamedTuple):
    """A step's outcome."""

    step: StepRun


class Note(NamedTuple):
    """Something a person should know; `level` is note or warning."""

    level: str
    text: str


class Transferring(NamedTuple):
    """How far an ``upload`` or ``download`` is, reported a few times a second.

    `done` of `total` bytes and `items` of `of` objects are moved; `rate` is in bytes a second; `left` in seconds, None when
    it is not known yet.
    """

    direction: str
    remote: str
    done: int
    total: int
    items: int
    of: int
    rate: float
    left: float | None


class RunFinished(NamedTuple):
    """After the record was written; `recorded` is its commit."""

    run: Run
    recorded: str


Event = (
    RunStarted
    | StepsKnown
    | StepWaits
    | StepFetches
    | StepStarted
    | StepPrepares
    | StepOutput
    | StepRetried
    | StepFinished
    | Note
    | Transferring
    | RunFinished
)


def numbered(steps: Sequence[str], before: Mapping[str, int]) -> dict[str, int]:
    """The steps of a run with the number that each has in its folder: those that had one keep it, the rest count on."""
    following = itertools.count(max(before.values(), default=-1) + 1)
    return {name: before[name] if name in before else next(following) for name in steps}


Emit = Callable[[Event], None]
"""What an engine or a transfer calls with each of its events."""
