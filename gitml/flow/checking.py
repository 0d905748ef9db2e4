"""`fsck`: everything that is kept is what its name says, or is named as a fault and mended where it can be."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping

from gitml.core.action import decode_action
from gitml.core.digest import Digest, digest_of, from_hex, parse_digest
from gitml.core.record import decode_run
from gitml.core.result import OutputRef
from gitml.core.steprows import rows_of
from gitml.errors import GitmlError, IntegrityError, MachineError
from gitml.flow.availability import Availability
from gitml.flow.faults import Fault as Fault
from gitml.flow.load import load_recorded
from gitml.flow.repairing import lock_faults, source_faults
from gitml.flow.request import RunRequest
from gitml.flow.run import run_pipeline
from gitml.flow.stop import StopSignal
from gitml.history.submissions import submitted_commit
from gitml.ledger.layout import folder_of, parse_path, steps_path
from gitml.ledger.pointers import parse_pointer
from gitml.ledger.runs import read_run, recorded_runs
from gitml.ledger.verifying import is_beside
from gitml.store import fsck
from gitml.store.locks import Locks
from gitml.workspace import Workspace


def check(ws: Workspace, *, deep: bool = False, repair: bool = False) -> Iterator[Fault]:
    """Every fault of Git, store, records and index; with `repair` mended on the way, by running again where bytes are lost."""
    yield from lock_faults(ws, repair)
    ws.locks.lock(Locks.GC, timeout=600.0, shared=True)
    try:
        yield from source_faults(ws, repair)
        yield from _refs(ws, repair)
        yield from _records(ws)
        yield from _origins(ws)
        yield from _index(ws, repair)
        lost: list[fsck.Fault] = []
        seen: set[str] = set()
        for fault in fsck.check_objects(ws.store, deep):
            if fault.kind == "touched":
                # A copy of the repository, as `cp -r` makes one: the content is right, and so is the object again.
                with contextlib.suppress(MachineError):  # nothing can be written here: no fault of the object either
                    ws.store.settle(parse_digest(fault.name))
                continue
            done = fsck.mend(ws.store, fault) if repair else None
            if fault.kind == "corrupt":
                seen.add(fault.name)
            if repair and fault.kind == "corrupt" and _is_digest(fault.name):
                lost.append(fault)
            else:
                yield Fault("store", fault.kind, fault.name, fault.what, done)
        for fault in _trees(ws):
            if fault.name not in seen:
                seen.add(fault.name)
                if repair:
                    lost.append(fault)
                else:
                    yield Fault("store", fault.kind, fault.name, fault.what)
    finally:
        ws.locks.unlock(Locks.GC)
    for fault in lost:
        yield Fault("store", fault.kind, fault.name, fault.what, _make_again(ws, parse_digest(fault.name)))


def _is_digest(name: str) -> bool:
    try:
        parse_digest(name)
    except ValueError:
        return False
    return True


def _trees(ws: Workspace) -> Iterator[fsck.Fault]:
    """Faults of Trees that known results name and whose listing is here; one that is gone as a whole was collected."""
    for digest, size in ws.index.output_trees().items():
        if ws.store.check(digest) != "missing":
            yield from fsck.check_tree(ws.store, digest, size)


def _records(ws: Workspace) -> Iterator[Fault]:
    """Records that contradict themselves; Git's own `fsck` sees to the objects that hold them."""
    files = [(path, oid) for _, path, oid in ws.records.since(None)]
    steps = {path: oid for path, oid in files if "/steps/" in path}
    contents = ws.objects.read_those_here([oid for _, oid in files])
    for (path, _), (_, content) in zip(files, contents, strict=True):
        problem = "its Git object is missing" if content is None else _problem_of_record(ws, path, content, steps)
        if problem:
            yield Fault("records", "record", path, problem)


def _refs(ws: Workspace, repair: bool) -> Iterator[Fault]:
    """Refs of gitml that name nothing; those of logs heal before this is asked, and tracking refs at the next fetch."""
    from gitml.repo.refhealing import broken, restore

    for ref in broken(ws.location, ws.objects, "refs/gitml"):
        done = None
        if repair:
            commit = submitted_commit(ws, ref)
            restore(ws.location, ws.objects, ref, commit)
            done = f"set to {commit[:12]} again" if commit else "taken away"
        yield Fault("refs", "ref", ref, "it names no object that is here", done)


def _origins(ws: Workspace) -> Iterator[Fault]:
    """Steps that were reused from runs that no record tells of: their records were lost, or never sent."""
    recorded = {row.id for row in ws.index.runs(limit=None)}
    live = set(os.listdir(ws.live))
    named: dict[str, str] = {}
    for run in recorded_runs(ws.records, ws.objects):
        for step in run.steps:
            if step.origin is not None and step.origin not in recorded and step.origin not in live:
                named.setdefault(
                    step.origin, f"step {step.name} of run {run.id} was reused from it, and no record has it"
                )
    for origin, what in named.items():
        yield Fault("records", "origin", f"run {origin}", what)


def _problem_of_record(ws: Workspace, path: str, content: bytes, steps: Mapping[str, str]) -> str | None:
    file = parse_path(path)
    if file is None:
        is_pointer = parse_pointer(path) is not None and not content
        return None if is_pointer or is_beside(path) else "is no file of a record"
    stem = file.name.removesuffix(".json")
    try:
        if not file.folder:
            folder = folder_of(path)
            run = decode_run(content, lambda name: ws.objects.read(steps[steps_path(folder, name)]))
            return None if run.id == file.run else f"tells of run {run.id!r}"
        if file.folder == "reproductions":
            json.loads(content)
            return None
        if file.folder == "steps":
            rows_of(file.name.removesuffix(".jsonl"), content)
            return None
        if file.folder == "actions":
            decode_action(content)
        return None if digest_of(content) == from_hex(stem) else "holds other bytes than its name says"
    except KeyError as error:
        return f"lacks {error.args[0]}"
    except (ValueError, IntegrityError) as error:
        return str(error)


def _index(ws: Workspace, repair: bool) -> Iterator[Fault]:
    faults = ws.index.faults()
    known = {row.id for row in ws.index.runs(limit=None)}
    recorded = {path.split("/")[5] for _, path, _ in ws.records.since(None) if path.endswith("/run.json")}
    faults += [f"run {run} is recorded but not in the index" for run in sorted(recorded - known)[:20]]
    faults += [f"run {run} is in the index but not recorded" for run in sorted(known - recorded)[:20]]
    done = None
    if faults and repair:
        ws.rebuild_index()
        done = "rebuilt from the records"
    for what in faults:
        yield Fault("index", "index", os.path.join(ws.root, "index.db"), what, done)


def _holders(ws: Workspace, part: Digest) -> list[Digest]:
    """The directory outputs that hold `part`, as far as their listings can be read."""
    return [whole for whole in ws.index.output_trees() if part in _below(ws, whole)]


def _below(ws: Workspace, tree: Digest) -> set[Digest]:
    found: set[Digest] = set()
    todo = [tree]
    while todo:
        try:
            entries = ws.store.listing(todo.pop())
        except IntegrityError:
            continue
        for entry in entries:
            found.add(entry.digest)
            if entry.kind == "d":
                todo.append(entry.digest)
    return found


def _brought(ws: Workspace, digest: Digest) -> str | None:
    """Brings `digest`, itself or as a part of a directory; from where it came, None when from nowhere."""
    size = ws.index.output_sizes().get(digest)
    trees = ws.index.output_trees()
    wholes = [digest] if digest in trees else [] if size is not None else _holders(ws, digest)
    outputs = [OutputRef("", "directory", whole, trees[whole]) for whole in wholes]
    if size is not None:
        outputs.append(OutputRef("", "file", digest, size))
    if not outputs:
        return None
    from gitml.flow.downloading import bring

    brought = bring(ws, outputs, lambda _: None, StopSignal())
    if ws.store.check(digest) is not None:
        return None
    return "fetched from a remote store" if brought.here else "taken from a record"


def _make_again(ws: Workspace, digest: Digest) -> str | None:
    """Takes `digest` from a record or a remote store, or runs the step that made it again; what came of it, None: nothing."""
    if not ws.store.is_quarantined(digest):
        with contextlib.suppress(IntegrityError):  # a record that lies is a fault of its own
            Availability(ws).fetch_digest(digest, tree=False)
        if ws.store.check(digest) is None:
            return "taken from a record"
    where_from = _brought(ws, digest)
    if where_from:
        return where_from
    makers = ws.index.makers(digest) or [m for whole in _holders(ws, digest) for m in ws.index.makers(whole)]
    for maker in makers[:3]:
        try:
            original = read_run(ws.index, ws.objects, maker.run)
            loaded = load_recorded(ws, original, allow_disabled=True)
            request = RunRequest(wanted=(maker.step,), message=f"repairs {digest[:19]}", tags=("repair",))
            run = run_pipeline(ws, loaded, request, lambda _: None, StopSignal())
        except GitmlError:
            continue
        if ws.store.check(digest) is None:
            return f"made again by run {run.id[:8]}"
    return None
