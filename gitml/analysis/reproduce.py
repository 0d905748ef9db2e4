"""`reproduce`: runs a recorded source again without any cached result, and compares what comes out byte by byte."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from gitml.analysis.output_comparison import compare_outputs
from gitml.core.model.environment import description_or_none
from gitml.core.model.events import Note
from gitml.core.model.stop_signal import StopSignal
from gitml.core.records.record import Run, StepRun
from gitml.core.secrets.seals import is_seal
from gitml.engine.planning.load import NOBODY, Asking, load_recorded
from gitml.engine.planning.request import Emit, RunRequest
from gitml.engine.run import run_pipeline
from gitml.errors import InputError
from gitml.history.runs import LATEST, FoundRun, find_run
from gitml.records.layout import record_folder
from gitml.transfer.availability import Availability
from gitml.workspace import Workspace

_OTHERWISE = "is not known to have the value of the run: its digest differs, as with another value or in another clone"
TAG = "reproduction"  # of runs that reproduce another


class Difference(NamedTuple):
    """One output, or one file of it, that came out otherwise; `what` says where first, in words."""

    step: str
    port: str
    path: str
    what: str


class Reproduction(NamedTuple):
    """A run and its repetition; `notes` tell what else was not the same, such as the environment."""

    original: Run
    run: Run
    identical: bool
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def find_original(ws: Workspace, text: str) -> FoundRun:
    """The run that is to be reproduced, as `find_run` finds it; ``latest`` is no run that itself reproduces another.

    One that was cut off in the middle is recorded as what it is, a run that failed, and can show nothing.
    """
    first = found = find_run(ws, text)
    back = 0
    while text == LATEST and TAG in found.run.tags:
        back += 1
        try:
            found = find_run(ws, f"{LATEST}~{back}")
        except InputError:
            return first
    return found


def reproduce(
    ws: Workspace,
    original: Run,
    emit: Emit,
    stop: StopSignal,
    *,
    allow_disabled: bool = False,
    asking: Asking = NOBODY,
) -> Reproduction:
    """Runs what `original` recorded again, every step, and records the verdict beside it."""
    loaded = load_recorded(ws, original, allow_disabled=allow_disabled, asking=asking)
    others = [name for name, value in loaded.graph.params.items() if is_seal(value) and value != original.params[name]]
    for name in others:
        emit(Note("warning", f"secret parameter {name} {_OTHERWISE}"))
    request = RunRequest(
        wanted=original.selected,
        reuse=False,
        experiment=original.experiment,
        message=f"reproduces {original.id[:8]}",
        tags=(TAG,),
        allow_disabled=allow_disabled,
    )
    run = run_pipeline(ws, loaded, request, emit, stop)
    if run.status == "cancelled":
        raise InputError("the reproduction was cancelled, so there is no verdict")
    differences, notes = _compared(ws, original, run)
    notes = [*(f"secret parameter {name} {_OTHERWISE}" for name in others), *notes]
    identical = not differences and run.status == original.status
    verdict = {
        "run": run.id,
        "identical": identical,
        "differences": [difference._asdict() for difference in differences],
        "notes": notes,
        "at": run.ended,
    }
    path = f"{record_folder(original.id, original.started)}/reproductions/{run.id}.json"
    content = json.dumps(verdict, sort_keys=True, indent=1).encode() + b"\n"
    ws.records.append({path: content}, f"{original.id[:8]} {'identical' if identical else 'differs'}\n", None)
    return Reproduction(original, run, identical, tuple(differences), tuple(notes))


def _compared(ws: Workspace, original: Run, run: Run) -> tuple[list[Difference], list[str]]:
    available = Availability(ws)
    differences: list[Difference] = []
    notes: list[str] = []
    for before in original.steps:
        after = run.step(before.name)
        if before.outcome not in ("executed", "reused"):
            continue
        if after is None or after.outcome != "executed":
            what = (
                "is not in the pipeline any more"
                if after is None
                else f"{after.outcome}: {after.error or after.reason}"
            )
            differences.append(Difference(before.name, "", "", what))
            continue
        if before.key != after.key and not differences:
            notes.append(f"step {before.name} had another environment or other inputs: {_why(ws, before, after)}")
        differences += _step_differences(ws, available, before, after)
    return differences, notes


def _step_differences(ws: Workspace, available: Availability, before: StepRun, after: StepRun) -> list[Difference]:
    new = {output.name: output for output in after.outputs}
    found = []
    for old in before.outputs:
        if old.name not in new:
            found.append(Difference(before.name, old.name, "", "is no output any more"))
            continue
        for difference in compare_outputs(ws.store, available, old, new[old.name]):
            found.append(Difference(before.name, old.name, difference.path, difference.what))
    return found


def _why(ws: Workspace, before: StepRun, after: StepRun) -> str:
    from gitml.core.planner.explain import changes_between, summary_of

    if before.key is None or after.key is None:
        return "what it was is not recorded"
    one, two = ws.index.action(before.key), ws.index.action(after.key)
    if one is None or two is None:
        return "what it was is not recorded"
    descriptions: dict[str, Any] = {
        d: told for d in (one.environment, two.environment) if (told := description_or_none(ws.index.environment(d)))
    }
    descriptions |= {m: called for m in (one.module, two.module) if m and (called := ws.index.module(m))}
    changes = changes_between(one, two, descriptions)
    return summary_of(changes) if changes else "nothing that can be named"
