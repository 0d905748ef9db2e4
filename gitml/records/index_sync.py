"""Updates the index from the log of runs: what other clones, other processes or an older index knew."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import NamedTuple

from gitml.git.log.diff import AddedFile, LogDiff
from gitml.git.log.record_log import GitRecordLog
from gitml.git.objects.reader import Objects
from gitml.records.layout import NEWER, TIP, TOLD
from gitml.records.lfs_pointers import parse_pointer, take_pointer
from gitml.records.validation import ValidRecord, read_records
from gitml.store.index.index import Index
from gitml.store.index.results import forget_records
from gitml.store.index.runs import RecordedRun, put_runs

MANY = 2000  # records that take a moment to read
_CHUNK = 500  # records that are put into the index at once

CountListener = Callable[[int], None]


class IndexedLog(NamedTuple):
    """The log of runs and the index that is kept level with it.

    `on_many_records` gets the number of records when they are so many that reading them takes a while.
    """

    indexed: Index
    records: GitRecordLog
    objects: Objects
    on_many_records: CountListener = lambda count: None


class Synced(NamedTuple):
    """How many runs were new to the index; the record that it knew last, where that has others before it that the log lacks."""

    runs: int
    ahead: str | None = None


def sync(log: IndexedLog) -> Synced:
    """Takes in what the log has beyond the index, which forgets all of a log that is not here any more.

    A record that is bad, or that is not here, is left out: `fsck` names it.
    """
    index, records, objects, on_many_records = log
    with index.batch():
        tip = records.tip()
        known = index.meta(TIP)
        if tip == known:
            return Synced(0)
        if known is not None and objects.header(known) is None:
            if tip is None and not records.is_gone():
                return Synced(0)  # Git lost what the ref names: it may come back, from a copy
            forget_records(index, *TOLD)
            known = None
        if tip is None:
            return Synced(0)
        difference = records.difference(known, tip)
        new = added_files(difference, on_many_records)
        newer: list[str] = []
        count = sum(1 for item in index_records(index, tip, read_records(objects, new, newer)) if item.run is not None)
        if newer:
            index.set_meta(NEWER, str(len(newer) + int(index.meta(NEWER) or 0)))
        index.set_meta(TIP, tip)
    return Synced(count, known if difference.lacking else None)


def added_files(difference: LogDiff, on_many_records: CountListener) -> Iterator[AddedFile]:
    """The files that the other log adds; `on_many_records` gets the number of records, when they are many, before the first."""
    files = difference.added()
    first = list(islice(files, MANY))
    if len(first) == MANY:
        runs = sum(item.path.endswith("/run.json") for item in difference.again().added())
        if runs >= MANY:
            on_many_records(runs)
    return chain(first, files)


def index_records(index: Index, commit: str, accepted: Iterable[ValidRecord]) -> Iterator[ValidRecord]:
    """Puts records, which the log has at `commit`, into the index as they pass."""
    chunk: list[ValidRecord] = []
    steps = 0
    collects = gc.isenabled()
    gc.disable()  # a fifth of the time would go into looking for circles, and records have none
    try:
        for item in accepted:
            chunk.append(item)
            steps += len(item.run.steps) if item.run is not None else 0
            if len(chunk) >= _CHUNK or steps >= 10 * _CHUNK:
                _index_chunk(index, commit, chunk)
                chunk.clear()
                steps = 0
            yield item
        _index_chunk(index, commit, chunk)
    finally:
        if collects:
            gc.enable()


def _index_chunk(index: Index, commit: str, chunk: list[ValidRecord]) -> None:
    index.put_contents(
        [item for one in chunk for item in one.inline],
        {digest: content for one in chunk for digest, content in one.environments.items()},
    )
    put_runs(index, [RecordedRun(one.run, commit, one.actions) for one in chunk if one.run is not None])
    for path in [file.path for one in chunk for file in one.files if "/trees/" in file.path]:
        pointer = parse_pointer(path)
        if pointer is not None:
            take_pointer(index, *pointer)
