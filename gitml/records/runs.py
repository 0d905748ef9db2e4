"""Reading recorded runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby, tee
from typing import NamedTuple

from gitml.core.records.record import Run, decode_run
from gitml.errors import InputError, IntegrityError
from gitml.git.log.diff import AddedFile
from gitml.git.log.record_log import GitRecordLog
from gitml.git.objects.reader import Objects
from gitml.records.layout import folder_of, parse_path, record_folder, steps_path
from gitml.store.index.index import Index
from gitml.store.index.runs import run_row


def read_run(index: Index, objects: Objects, run_id: str) -> Run:
    """The recorded run with this whole id. InputError when there is none, IntegrityError when its record is bad."""
    row = run_row(index, run_id)
    if row is None:
        raise InputError(f"no run {run_id[:32]!r}", hint="gitml log lists runs")
    folder = record_folder(row.id, row.started)
    path = f"{folder}/run.json"
    found = objects.find(f"{row.record}:{path}")
    if found is None:
        raise IntegrityError(f"the record of run {run_id[:8]} is gone", where=f"{row.record}:{path}", hint="gitml fsck")
    rows = _reader(objects, lambda name: f"{row.record}:{steps_path(folder, name)}")
    try:
        run = decode_run(found[1], rows)
    except ValueError as error:
        raise IntegrityError(
            f"the record of run {run_id[:8]} is bad: {error}", where=path, hint="gitml fsck"
        ) from error
    if run.id != run_id:
        raise IntegrityError(f"the record of run {run_id[:8]} names another run", where=path, hint="gitml fsck")
    return run


class RecordHead(NamedTuple):
    """A record as the log lists it: its folder, the blob of its ``run.json``, and those of its step rows by name."""

    folder: str
    oid: str
    steps: Mapping[str, str]


def heads(
    records: GitRecordLog, objects: Objects, known: str | None, tip: str
) -> Iterator[tuple[RecordHead, bytes | None]]:
    """The records that `tip` has and `known` lacks, with their ``run.json``: None where it isn't here."""
    asked, given = tee(_heads(records.difference(known, tip).added()))
    contents = objects.read_those_here(head.oid for head in asked)
    for head, (_, content) in zip(given, contents, strict=True):
        yield head, content


def _heads(files: Iterable[AddedFile]) -> Iterator[RecordHead]:
    """The records among files that come in order of path; those without a ``run.json`` are none."""
    for folder, group in groupby(files, lambda item: folder_of(item.path)):
        oid = ""
        steps: dict[str, str] = {}
        for item in group:
            file = parse_path(item.path)
            if file is not None and not file.folder:
                oid = item.oid
            elif file is not None and file.folder == "steps":
                steps[file.name.removesuffix(".jsonl")] = item.oid
        if oid:
            yield RecordHead(folder, oid, steps)


def recorded_runs(records: GitRecordLog, objects: Objects, known: str | None = None) -> Iterator[Run]:
    """Every recorded run that can be read, by the day of its start; with `known` those that this record commit lacks."""
    tip = records.tip()
    if tip is None or tip == known:
        return
    if known is not None and objects.header(known) is None:
        known = None
    for head, content in heads(records, objects, known, tip):
        try:
            yield decode_run(content or b"", _reader(objects, head.steps.__getitem__))
        except ValueError:
            continue  # `fsck` names it


def _reader(objects: Objects, blob_of: Callable[[str], str]) -> Callable[[str], bytes]:
    """Reads step rows by their name, from the blob that `blob_of` says."""

    def read(name: str) -> bytes:
        found = objects.find(blob_of(name))
        if found is None:
            raise ValueError(f"steps/{name}.jsonl is gone")
        return found[1]

    return read
