"""Runs of very many steps as they are recorded, made up without performing them."""

from __future__ import annotations

from collections.abc import Collection

from gitml.core.model.digest import digest_of
from gitml.core.model.result import Cost, OutputRef
from gitml.core.records.record import Attempt, Run, StepRun

FIRST = "a" * 16


def step_names(count: int) -> list[str]:
    """As a matrix names its steps."""
    return [f"train[{number}]" for number in range(count)]


def cold(commit: str, names: Collection[str], id: str = FIRST, started: float = 1_790_000_000.25) -> Run:
    """A run that performed every step."""
    steps = [_executed(name, number, started) for number, name in enumerate(names)]
    return _run(commit, id, started, tuple(steps))


def again(before: Run, id: str, changed: Collection[str] = ()) -> Run:
    """A later run of the same steps that reused all but the changed ones."""
    started = before.ended + 60
    steps = []
    for number, step in enumerate(before.steps):
        if step.name in changed:
            steps.append(_executed(step.name, number, started))
        else:
            origin = step.origin or before.id
            steps.append(
                StepRun(
                    *(step.name, "reused", f"same as in run {origin[:8]}", 0.0, step.key, step.outputs, step.metrics),
                    saved=step.saved or step.cost,
                    origin=origin,
                )
            )
    return _run(before.commit, id, started, tuple(steps))


def _executed(name: str, number: int, started: float) -> StepRun:
    content = digest_of(f"{name} {started}".encode())
    cost = Cost(0.25 + number, 0.125, 4096 * number)
    attempt = Attempt(f"{number}-1", "done", started + number, cost, 0)
    return StepRun(
        *(name, "executed", "never run before", 0.25 + number, digest_of(name.encode())),
        outputs=(OutputRef("o", "file", content, number), OutputRef("m", "metrics", content, 7)),
        metrics={"loss": number / 7, "acc": 0.5},
        attempts=(attempt,),
        cost=cost,
    )


def _run(commit: str, id: str, started: float, steps: tuple[StepRun, ...]) -> Run:
    return Run(
        *(id, "p", "pipelines/p.yaml", "p", "succeeded", commit, started, started + 30, "me <me@here>", "here", "0"),
        params={"seed": 7},
        steps=steps,
    )
