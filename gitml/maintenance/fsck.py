"""`fsck`: everything that is kept is what its name says, or is reported as a fault and repaired where it can be."""

from __future__ import annotations

import calendar
import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from itertools import groupby, islice, tee

from gitml import layout
from gitml.core.model.action import decode_action
from gitml.core.model.digest import Digest, digest_of, from_hex, parse_digest
from gitml.core.model.result import OutputRef
from gitml.core.model.stop_signal import StopSignal
from gitml.core.records.record import Run, decode_run
from gitml.core.records.step_rows import rows_of
from gitml.engine.journal.recovery import recover
from gitml.engine.planning.load import load_recorded
from gitml.engine.planning.request import RunRequest
from gitml.engine.run import run_pipeline
from gitml.errors import GitmlError, IntegrityError, MachineError, TrustError
from gitml.git.integrity.repairs import announce
from gitml.git.objects.reader import Header
from gitml.history.submissions import submitted_commit
from gitml.maintenance.git_repairs import Fault as Fault
from gitml.maintenance.git_repairs import lock_faults, pack_faults, packed_ref_faults, source_faults
from gitml.records.layout import LARGEST, folder_of, parse_path, record_folder, steps_path
from gitml.records.lfs_pointers import parse_pointer
from gitml.records.runs import read_run
from gitml.records.validation import is_extension
from gitml.store.index.artifacts import makers_of
from gitml.store.index.results import every_output, every_result, output_trees, unrecorded_runs
from gitml.store.index.runs import all_runs, count_runs, has_run, run_ids_between
from gitml.store.local import fsck
from gitml.transfer.availability import Availability
from gitml.transfer.remotes import using_store
from gitml.workspace import Workspace


def check(ws: Workspace, *, deep: bool = False, repair: bool = False) -> Iterator[Fault]:
    """Every fault of Git, store, records and index; with `repair` repaired on the way, by running again where bytes are lost."""
    yield from lock_faults(ws, repair)
    with using_store(ws):
        for damaged in packed_ref_faults(ws, repair):
            yield damaged
            if damaged.mended is None:
                return  # Git can read no ref: all else would be called missing
        yield from pack_faults(ws, deep=deep, repair=repair)
        yield from source_faults(ws, repair)
        yield from _refs(ws, repair)
        yield from _unrecorded_runs(ws)
        listed = _Listed(ws)
        yield from _records(ws, listed)
        for origin, what in listed.lost.items():
            if origin not in listed.bad:  # which is named already
                yield Fault("records", "origin", f"run {origin}", what)
        yield from _index(ws, listed, repair)
        lost: list[fsck.StoreFault] = []
        seen: set[str] = set()
        for fault in fsck.check_objects(ws.store, deep):
            if fault.kind == "touched":
                # A copy of the repository, as `cp -r` makes one: the content is right, and so is the object again.
                with contextlib.suppress(MachineError):  # nothing can be written here: no fault of the object either
                    ws.store.verify(parse_digest(fault.name))
                continue
            done = fsck.repair_object(ws.store, fault) if repair else None
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
    for fault in lost:
        yield Fault("store", fault.kind, fault.name, fault.what, _make_again(ws, parse_digest(fault.name)))


def _unrecorded_runs(ws: Workspace) -> Iterator[Fault]:
    """Runs whose gitml was killed are recorded now that Git's objects were seen to; a fault is what keeps them from it."""
    if ws.frozen:
        return
    try:
        recover(ws)
    except GitmlError as error:
        yield Fault("records", "run", error.where or ws.live, f"a killed run can't be recorded: {error.message}")


def _is_digest(name: str) -> bool:
    try:
        parse_digest(name)
    except ValueError:
        return False
    return True


def _trees(ws: Workspace) -> Iterator[fsck.StoreFault]:
    """Faults of Trees that known results name and whose listing is here; one that is gone as a whole was collected."""
    for output in every_output(ws.index):
        if output.is_tree and ws.store.check(output.digest) != "missing":
            yield from fsck.check_tree(ws.store, output.digest, output.size)


class _Listed:
    """The runs that the log has, compared with the index a day at a time: of a million the ids alone would be large."""

    def __init__(self, ws: Workspace) -> None:
        self.index = ws.index
        self.day = ""
        self.ids: set[str] = set()
        self.known = 0  # runs that both have
        self.unknown: list[str] = []  # some that the index lacks
        self.lost: dict[
            str, str
        ] = {}  # runs that no record tells of, and what names them: their records were lost, or never sent
        self.bad: set[str] = set()  # runs whose record can't be read
        self._live = set(os.listdir(ws.live))
        self._is_known = lru_cache(10_000)(partial(has_run, ws.index))

    def note(self, folder: str) -> None:
        """A record's folder, in the order of the log."""
        day, _, id = folder[len("runs/") :].rsplit("/", 2)
        if day != self.day:
            self.end()
            self.day = day
        self.ids.add(id)

    def note_origins(self, run: Run) -> None:
        """What a run that was recorded reused."""
        for step in run.steps:
            origin = step.origin
            if origin is not None and not self._is_known(origin) and origin not in self._live:
                self.lost.setdefault(
                    origin, f"step {step.name} of run {run.id} was reused from it, and no record has it"
                )

    def end(self) -> None:
        """No more of this day comes."""
        if self.ids:
            there: set[str] = set()
            with contextlib.suppress(ValueError, OverflowError):  # a path that no run has
                year, month, day = map(int, self.day.split("/"))
                begin = calendar.timegm((year, month, day, 0, 0, 0))
                there = run_ids_between(self.index, begin, begin + 86400)
            self.known += len(self.ids & there)
            self.unknown += sorted(self.ids - there)[: 20 - len(self.unknown)]
        self.ids.clear()


def _records(ws: Workspace, listed: _Listed) -> Iterator[Fault]:
    """Records that contradict themselves; Git's own `fsck` sees to the objects that hold them."""
    tip = ws.records.tip()
    if tip is None:
        return
    asked, given = tee(ws.records.difference(None, tip).added())
    contents = ws.objects.read_within((item.oid for item in asked), LARGEST)
    files = zip(given, contents, strict=True)
    for folder, group in groupby(files, lambda file: folder_of(file[0].path)):
        steps: dict[str, str] = {}
        run: bytes | None = None
        for item, (header, content) in group:
            problem = _problem_of_file(item.path, header, content)
            if problem:
                listed.bad.add(folder[-16:])
                yield Fault("records", "record", item.path, problem)
            elif item.path == f"{folder}/run.json" and parse_path(item.path) is not None:
                run = content
                listed.note(folder)
            elif "/steps/" in item.path:
                steps[item.path] = item.oid
        if run is not None:
            try:
                listed.note_origins(_run_of(ws, folder, run, steps))
            except (ValueError, IntegrityError) as error:
                listed.bad.add(folder[-16:])
                yield Fault("records", "record", f"{folder}/run.json", str(error))
    listed.end()


def _refs(ws: Workspace, repair: bool) -> Iterator[Fault]:
    """Refs of gitml that name nothing; those of logs heal before this is asked, and tracking refs at the next fetch."""
    from gitml.git.integrity.ref_recovery import broken_refs, restore_ref

    for ref in broken_refs(ws.location, ws.objects, layout.REFS):
        done = None
        if repair:
            commit = submitted_commit(ws, ref)
            restore_ref(ws.location, ws.objects, ref, commit)
            done = f"set to {commit[:12]} again" if commit else "taken away"
        yield Fault("refs", "ref", ref, "it names no object that is here", done)


def _problem_of_file(path: str, header: Header | None, content: bytes) -> str | None:
    if header is None:
        return "its Git object is missing"
    if header.size > LARGEST:
        return f"is larger than {LARGEST >> 20} MiB: no clone takes it in"
    file = parse_path(path)
    if file is None:
        is_pointer = parse_pointer(path) is not None and not content
        return None if is_pointer or is_extension(path) else "is no file of a record"
    try:
        if not file.folder:
            return None  # read with its rows
        if file.folder == "reproductions":
            json.loads(content)
            return None
        if file.folder == "steps":
            rows_of(file.name.removesuffix(".jsonl"), content)
            return None
        if file.folder == "actions":
            decode_action(content)
        stem = file.name.removesuffix(".json")
        return None if digest_of(content) == from_hex(stem) else "holds other bytes than its name says"
    except (ValueError, RecursionError) as error:
        return str(error)


def _run_of(ws: Workspace, folder: str, content: bytes, steps: Mapping[str, str]) -> Run:
    """The run of a record; ValueError or IntegrityError saying what is wrong with it."""

    def read(name: str) -> bytes:
        path = steps_path(folder, name)
        if path not in steps:
            raise ValueError(f"lacks steps/{name}.jsonl")
        return ws.objects.read(steps[path])

    run = decode_run(content, read)
    if run.id != folder[-16:]:
        raise ValueError(f"names run {run.id!r}")
    return run


def _index(ws: Workspace, listed: _Listed, repair: bool) -> Iterator[Fault]:
    faults = ws.index.faults()
    faults += [f"run {run} is recorded but not in the index" for run in listed.unknown]
    if count_runs(ws.index) != listed.known:
        faults += [f"run {run} is in the index but not recorded" for run in islice(_unrecorded(ws), 20)]
    if not listed.unknown:
        faults += [
            f"the index has results of run {run}, and no record has it" for run in islice(_without_record(ws), 20)
        ]
    done = None
    if faults and repair:
        ws.rebuild_index()
        done = "rebuilt from the records"
    for what in faults:
        yield Fault("index", "index", os.path.join(ws.root, layout.INDEX), what, done)


def _unrecorded(ws: Workspace) -> Iterator[str]:
    """The runs that the index has and the log has not."""
    tip = ws.records.tip()
    for run, started in all_runs(ws.index):
        if tip is None or ws.objects.header(f"{tip}:{record_folder(run, started)}/run.json") is None:
            yield run


def _without_record(ws: Workspace) -> Iterator[str]:
    """The runs that known results are of and that are neither in the index nor going on."""
    seen = unrecorded_runs(ws.index)
    for result in every_result(ws.index):
        if result.run not in seen:
            seen.add(result.run)
            if not has_run(ws.index, result.run):
                yield result.run


def _holders(ws: Workspace, part: Digest) -> list[Digest]:
    """The directory outputs that hold `part`, as far as their listings can be read."""
    return [whole for whole in output_trees(ws.index) if part in _below(ws, whole)]


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


def _fetched(ws: Workspace, digest: Digest) -> str | None:
    """Fetches `digest`, itself or as a part of a directory; from where it came, None when from nowhere."""
    files = (output for output in every_output(ws.index) if not output.is_tree)
    size = next((output.size for output in files if output.digest == digest), None)
    trees = output_trees(ws.index)
    wholes = [digest] if digest in trees else [] if size is not None else _holders(ws, digest)
    outputs = [OutputRef("", "directory", whole, trees[whole]) for whole in wholes]
    if size is not None:
        outputs.append(OutputRef("", "file", digest, size))
    if not outputs:
        return None
    from gitml.transfer.download import fetch_outputs

    try:
        brought = fetch_outputs(ws, outputs, lambda _: None, StopSignal())
    except TrustError as error:
        announce(f"{error.message}: {error.hint}")
        return None
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
    where_from = _fetched(ws, digest)
    if where_from:
        return where_from
    makers = makers_of(ws.index, digest) or [m for whole in _holders(ws, digest) for m in makers_of(ws.index, whole)]
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
