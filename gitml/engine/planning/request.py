"""The request of a run, shared by the planner and the scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gitml.core.planner.plan import Decision
from gitml.core.records.record import StepRun


class Origin(NamedTuple):
    """Whose run it is and what it is of, when it was handed over by another machine: fields of Run."""

    by: str
    dirty: bool
    base: str | None
    branch: str | None


class RunRequest(NamedTuple):
    """What is asked of a run beyond the pipeline and its parameters.

    `jobs` None means as many as the machine has CPUs; `on` is the target of every step, None: what the pipeline says.
    `branch` is that of a commit which is run because it was pushed; of the work tree the one that is checked out counts.
    `origin` is what a commit that another machine handed over was there, `caches` what its repository's caches are called; None:
    as this one's. With `empty_caches` each step begins with empty ones.
    """

    wanted: Sequence[str] = ()
    force: bool = False
    reuse: bool = True
    keep_going: bool = False
    jobs: int | None = None
    experiment: str | None = None
    tags: tuple[str, ...] = ()
    message: str = ""
    allow_disabled: bool = False
    on: str | None = None
    branch: str | None = None
    origin: Origin | None = None
    caches: str | None = None
    empty_caches: bool = False


def reused_step(name: str, decision: Decision) -> StepRun:
    """The StepRun of a step whose known result serves."""
    result = decision.result
    assert result is not None
    return StepRun(
        name=name,
        outcome="reused",
        reason=decision.reason,
        seconds=0.0,
        key=decision.key,
        outputs=result.outputs,
        metrics=result.metrics,
        saved=result.cost,
        origin=result.run,
        guarantees=result.guarantees,
        labels=result.labels,
    )
