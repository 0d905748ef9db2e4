"""What was fetched becomes part of the log of runs: the union of both sides, so that no record is lost and none conflicts."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gitml.errors import BusyError, IntegrityError
from gitml.git.log.record_log import GitRecordLog
from gitml.git.log.transport import fetch_missing_blobs
from gitml.records.index_sync import IndexedLog, added_files, index_records, sync
from gitml.records.layout import TIP, TOLD
from gitml.records.validation import RejectedRecord, ValidRecord, validate_records
from gitml.store.index.results import forget_records

_TRIES = 50


class MergeResult(NamedTuple):
    """What came of taking in the log behind a tracking ref: how many runs were new, and what was refused."""

    ref: str
    runs: int
    refused: tuple[RejectedRecord, ...] = ()


class _LogMovedError(Exception):
    """Another process moved the log meanwhile."""


def merge_log(log: IndexedLog, ref: str, theirs: str) -> MergeResult:
    """Takes every sound record that `theirs`, fetched into `ref`, has beyond the log into the log and the index.

    What the log has stays as it is.
    """
    for tries in range(_TRIES):
        try:
            with log.indexed.batch():
                return _merge_once(log, ref, theirs)
        except _LogMovedError:
            time.sleep(0.01 * (1 + tries) * (0.5 + os.urandom(1)[0] / 256))
    raise BusyError("others keep adding to the log of runs", where=ref, hint="try again")


def recover_lost(log: IndexedLog, ref: str, ahead: str) -> int | None:
    """Puts the records up to `ahead`, which the index knows, into a log that was set back behind it; how many runs.

    None where they can't be read any more: then the index is rebuilt from the log.
    """
    try:
        united = merge_log(log, ref, ahead)
    except IntegrityError:
        united = None
    if united is not None and not united.refused:
        return united.runs
    rebuild_from_log(log)
    return None


def rebuild_from_log(log: IndexedLog) -> None:
    """Has the index know what the log has and nothing else."""
    with log.indexed.batch():
        forget_records(log.indexed, *TOLD)
        sync(log)


def _merge_once(log: IndexedLog, ref: str, theirs: str) -> MergeResult:
    sync(log)
    index, records, objects, on_many_records = log
    ours = index.meta(TIP)
    if ours == theirs:
        return MergeResult(ref, 0)
    header = objects.header(theirs)
    if header is None or header.kind != "commit":
        return MergeResult(ref, 0, (RejectedRecord(ref, "is no log of records"),))
    fetch_missing_blobs(objects.location, ours, theirs)
    difference = records.difference(ours, theirs)
    new = added_files(difference, on_many_records)
    refused: list[RejectedRecord] = []
    files: dict[str, str] = {}
    runs = 0
    is_known = lambda folder: ours is not None and objects.header(f"{ours}:{folder}/run.json") is not None  # noqa: E731
    for record in index_records(index, theirs, _accepted(validate_records(objects, new, is_known), refused)):
        files.update((file.path, file.oid) for file in record.files)
        runs += record.run is not None
    refused += [RejectedRecord(path, "the record here has something else there") for path in difference.other]
    if not files:
        return MergeResult(ref, 0, tuple(refused))
    whole = not refused and not difference.lacking
    if whole and (ours is None or records.is_ahead_of(ours, theirs, 2 * len(files) + 64)):
        tip = theirs
    else:
        tip = records.merge(ours, theirs, files, f"join {runs} runs\n")
    if not records.move(ours, tip):
        raise _LogMovedError
    index.set_meta(TIP, tip)
    return MergeResult(ref, runs, tuple(refused))


def _accepted(verdicts: Iterable[ValidRecord | RejectedRecord], refused: list[RejectedRecord]) -> Iterator[ValidRecord]:
    for verdict in verdicts:
        if isinstance(verdict, RejectedRecord):
            refused.append(verdict)
        else:
            yield verdict


def merge_for_push(records: GitRecordLog, theirs: str) -> str | None:
    """The record to send to a remote whose log, already taken in, ends at `theirs`; None when it has all that the log has."""
    for tries in range(_TRIES):
        ours = records.tip()
        if ours is None or ours == theirs:
            return None
        difference = records.difference(ours, theirs)
        for _ in difference.added():
            pass
        if not difference.lacking:
            return None
        if records.is_ahead_of(theirs, ours, 2 * difference.lacking + 64):
            return ours
        joined = records.merge(ours, theirs, {}, "join\n")
        if records.move(ours, joined):
            return joined
        time.sleep(0.01 * (1 + tries))
    raise BusyError("others keep adding to the log of runs", hint="try again")
