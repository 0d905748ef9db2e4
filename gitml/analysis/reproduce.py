"""`reproduce`: runs a recorded source again without any cached result, and compares what comes out byte by byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from gitml.analysis.difference_causes import cause_of_difference
from gitml.core.model.digest import Digest
from gitml.core.model.environment import description_or_none
from gitml.core.model.events import Emit, Note
from gitml.core.model.result import OutputRef
from gitml.core.model.stop_signal import StopSignal
from gitml.core.records.record import Run, StepRun
from gitml.core.secrets.seals import is_seal
from gitml.engine.planning.load import NO_PROMPT, Loaded, SecretPrompt, load_recorded
from gitml.engine.planning.request import RunRequest
from gitml.engine.run import run_pipeline
from gitml.errors import InputError, IntegrityError
from gitml.history.runs import LATEST, FoundRun, find_run
from gitml.records.layout import record_folder
from gitml.store.local.store import LocalStore
from gitml.transfer.availability import Availability
from gitml.workspace import Workspace

_OTHERWISE = "is not known to have the value of the run: its digest differs, as with another value or in another clone"
_CHUNK = 1 << 20
_HEAD = 32  # bytes by which the format of a file is known
TAG = "reproduction"  # of runs that reproduce another


class OutputDifference(NamedTuple):
    """One output, or one file of it, that came out otherwise; `what` says where first, in words."""

    step: str
    port: str
    path: str
    what: str


class Reproduction(NamedTuple):
    """A run and its repetition; `notes` name what else was not the same, such as the environment.

    `unmade` are the steps whose environment could not be made any more, and why: of these, and of what needs them, nothing is
    known. It says nothing against the run.
    """

    original: Run
    run: Run
    identical: bool
    differences: tuple[OutputDifference, ...]
    notes: tuple[str, ...]
    unmade: tuple[tuple[str, str], ...] = ()


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
    caches: bool = False,
    prompt: SecretPrompt = NO_PROMPT,
) -> Reproduction:
    """Runs what `original` recorded again, every step, and records the verdict beside it.

    Steps begin with empty caches, or with this machine's where `caches` is said.
    """
    loaded = load_recorded(ws, original, allow_disabled=allow_disabled, prompt=prompt)
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
        empty_caches=not caches,
    )
    run = run_pipeline(ws, loaded, request, emit, stop)
    if run.status == "cancelled":
        raise InputError("the reproduction was cancelled, so there is no verdict")
    differences, notes = _compared(ws, original, run)
    notes = [*_cache_notes(loaded, original, caches=caches), *notes]
    notes = [*(f"secret parameter {name} {_OTHERWISE}" for name in others), *notes]
    unmade = {step.name: step.error or "" for step in run.steps if step.attempts and step.attempts[-1].unprepared}
    if unmade:  # nor is there anything to compare of what comes after them
        unknown = {step.name for step in run.steps if step.outcome == "skipped"} | unmade.keys()
        differences = [difference for difference in differences if difference.step not in unknown]
    identical = not differences and not unmade and run.status == original.status
    verdict = {
        "run": run.id,
        "identical": identical,
        "differences": [difference._asdict() for difference in differences],
        "notes": notes,
        **({"unmade": unmade} if unmade else {}),
        "at": run.ended,
    }
    path = f"{record_folder(original.id, original.started)}/reproductions/{run.id}.json"
    content = json.dumps(verdict, sort_keys=True, indent=1).encode() + b"\n"
    word = "identical" if identical else "could not be made again" if unmade and not differences else "differs"
    ws.records.append({path: content}, f"{original.id[:8]} {word}\n", None)
    return Reproduction(original, run, identical, tuple(differences), tuple(notes), tuple(unmade.items()))


def _cache_notes(loaded: Loaded, original: Run, *, caches: bool) -> list[str]:
    """What the steps that may use caches began with."""
    graph = loaded.graph
    names = graph.select(original.selected) if original.selected else list(graph.steps)
    used = dict.fromkeys(cache.name for name in names for cache in graph.steps[name].settings.caches)
    if not used:
        return []
    if caches:
        return [f"steps had the caches of this machine: {', '.join(used)}"]
    return [f"steps began with empty caches ({', '.join(used)}); --caches gives them those of this machine"]


def _compared(ws: Workspace, original: Run, run: Run) -> tuple[list[OutputDifference], list[str]]:
    available = Availability(ws)
    differences: list[OutputDifference] = []
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
            differences.append(OutputDifference(before.name, "", "", what))
            continue
        if before.key != after.key and not differences:
            notes.append(f"step {before.name} had another environment or other inputs: {_why(ws, before, after)}")
        new = {output.name: output for output in after.outputs}
        for old in before.outputs:
            found = _output_differences(ws.store, available, old, new.get(old.name))
            differences += (OutputDifference(before.name, old.name, path, what) for path, what in found)
        had = {output.name for output in before.outputs}  # one that is optional may be made this time alone
        differences += [OutputDifference(before.name, name, "", "is new") for name in new if name not in had]
    return differences, notes


def _why(ws: Workspace, before: StepRun, after: StepRun) -> str:
    from gitml.core.planner.explain import changes_between, summary_of

    one, two = (ws.index.action(step.key) if step.key is not None else None for step in (before, after))
    if one is None or two is None:
        return "what it was is not recorded"
    descriptions: dict[str, Any] = {
        d: text for d in (one.environment, two.environment) if (text := description_or_none(ws.index.environment(d)))
    }
    descriptions |= {m: called for m in (one.module, two.module) if m and (called := ws.index.module(m))}
    changes = changes_between(one, two, descriptions)
    return summary_of(changes) if changes else "nothing that can be named"


def _output_differences(
    store: LocalStore, available: Availability, one: OutputRef, two: OutputRef | None
) -> Iterator[tuple[str, str]]:
    """(file, or ``""`` for the output itself; how it differs and where first, in words) of each that is not the same bytes."""
    if two is None:
        yield "", "is no output any more"
    elif one.digest == two.digest and one.executable == two.executable:
        return
    elif one.is_tree != two.is_tree:
        yield "", f"{one.kind} became {two.kind}"
    elif not available.has(one) or not _fetched(available, one):
        which = f"{one.digest[7:19]} became {two.digest[7:19]}"
        yield "", f"other bytes ({which}; the first {available.absence()})"
    elif one.is_tree:
        yield from _trees(store, one.digest, two.digest, "")
    else:
        yield "", _files(store, one.digest, two.digest)


def _fetched(available: Availability, output: OutputRef) -> bool:
    """Puts an output into the Store, from wherever it is; whether it is there now."""
    if not available.fetch_inline([output]):
        return True
    from gitml.transfer.download import fetch_outputs

    return not fetch_outputs(available.ws, [output], lambda _: None, StopSignal()).lost


def _trees(store: LocalStore, one: Digest, two: Digest, prefix: str) -> Iterator[tuple[str, str]]:
    before = {entry.name: entry for entry in store.listing(one)}
    after = {entry.name: entry for entry in store.listing(two)}
    for name in sorted({*before, *after}):
        path = prefix + name.decode("utf-8", "surrogateescape")
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            yield path, "is new" if old is None else "is missing"
        elif old.kind != new.kind:
            yield path, f"kind {old.kind} became {new.kind}"
        elif old != new and old.kind == "d":
            yield from _trees(store, old.digest, new.digest, path + "/")
        elif old != new:
            yield path, _files(store, old.digest, new.digest)


def _files(store: LocalStore, one: Digest, two: Digest) -> str:
    """Where two different files first differ, by byte and, in text, by line; and what differs there, as far as it shows."""
    if one == two:
        return "only the executable bit differs"
    offset, line, text, head = 0, 1, True, b""
    try:
        with store.open(one) as first, store.open(two) as second:
            while True:
                a, b = first.read(_CHUNK), second.read(_CHUNK)
                head = head or a[:_HEAD]
                text = text and b"\0" not in a
                if a != b:
                    shared = next(
                        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
                    )
                    line += a[:shared].count(b"\n")
                    place = f"byte {offset + shared:,}" + (f", line {line:,}" if text else "")
                    cause = cause_of_difference(head, a, b, shared, offset)
                    return f"differs first at {place}" + (f": {cause}" if cause is not None else "")
                if not a:
                    raise IntegrityError(
                        "two stored objects of different names hold the same bytes", where=f"{one} {two}"
                    )
                offset += len(a)
                line += a.count(b"\n")
    except IntegrityError as error:
        return f"can't be compared: {error.message}"
