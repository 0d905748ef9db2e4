"""Reading recorded runs."""

from __future__ import annotations

from collections.abc import Iterator

from gitml.core.record import Run, decode_run
from gitml.errors import InputError, IntegrityError
from gitml.ledger.layout import parse_path, record_folder
from gitml.repo.objects import Objects
from gitml.repo.recordlog import GitRecordLog
from gitml.store.index import Index


def read_run(index: Index, objects: Objects, run_id: str) -> Run:
    """The recorded run with this whole id. InputError when there is none, IntegrityError when its record is bad."""
    row = index.run_row(run_id)
    if row is None:
        raise InputError(f"no run {run_id[:32]!r}", hint="gitml log lists runs")
    path = f"{record_folder(row.id, row.started)}/run.json"
    found = objects.find(f"{row.record}:{path}")
    if found is None:
        raise IntegrityError(f"the record of run {run_id[:8]} is gone", where=f"{row.record}:{path}", hint="gitml fsck")
    try:
        run = decode_run(found[1])
    except ValueError as error:
        raise IntegrityError(
            f"the record of run {run_id[:8]} is bad: {error}", where=path, hint="gitml fsck"
        ) from error
    if run.id != run_id:
        raise IntegrityError(f"the record of run {run_id[:8]} tells of another run", where=path, hint="gitml fsck")
    return run


def recorded_runs(records: GitRecordLog, objects: Objects) -> Iterator[Run]:
    """Every recorded run that can be read, oldest first."""
    oids = []
    for _, path, oid in records.since(None):
        file = parse_path(path)
        if file is not None and not file.folder:
            oids.append(oid)
    for _, content in objects.read_those_here(oids):
        if content is None:
            continue  # `fsck` names it
        try:
            yield decode_run(content)
        except ValueError:
            continue  # `fsck` names it
