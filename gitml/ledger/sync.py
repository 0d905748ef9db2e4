"""Brings the index level with the log of runs: what other clones, other processes or an older index knew."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from gitml.core.action import decode_action, key_of_preimage
from gitml.core.digest import Digest, from_hex
from gitml.core.record import Run, decode_run
from gitml.core.result import ActionResult
from gitml.ledger.layout import RecordFile, parse_path
from gitml.ledger.pointers import parse_pointer, take_pointer
from gitml.repo.objects import Objects
from gitml.repo.recordlog import GitRecordLog
from gitml.store.index import Index

TIP = "tip"
MANY = 2000  # records that take about a second


class _New(NamedTuple):
    commit: str
    file: RecordFile
    oid: str


def sync(
    index: Index, records: GitRecordLog, objects: Objects, tell_of_many: Callable[[int], None] = lambda count: None
) -> int:
    """Takes in what the log has beyond the index; gives how many runs were new.

    A record that is bad, or that is not here, is left out: `fsck` names it. `tell_of_many` is told the number of records when
    they are so many that reading them takes a while.
    """
    tip = records.tip()
    known = index.meta(TIP)
    if tip is None or tip == known:
        return 0
    new = []
    pointers = []
    for commit, path, oid in records.since(known):
        file = parse_path(path)
        if file is not None:
            new.append(_New(commit, file, oid))
        elif (pointer := parse_pointer(path)) is not None:
            pointers.append(pointer)
    count = 0
    if (found := sum(1 for item in new if not item.file.folder)) >= MANY:
        tell_of_many(found)
    with index.batch():
        actions = _take_evidence(index, objects, [item for item in new if item.file.folder])
        runs = [item for item in new if not item.file.folder]
        for item, (_, content) in zip(runs, objects.read_those_here([item.oid for item in runs]), strict=True):
            if content is None:
                continue
            try:
                run = decode_run(content)
            except ValueError:
                continue
            if run.id == item.file.run:
                _take_run(index, run, item.commit, actions)
                count += 1
        for tree, manifest in pointers:
            take_pointer(index, tree, manifest)
        index.set_meta(TIP, tip)
    return count


def _take_evidence(index: Index, objects: Objects, items: list[_New]) -> dict[Digest, bytes]:
    """Inline contents by name alone; actions and environments read, and kept when they are what their name says."""
    read = []
    for item in items:
        if item.file.folder in ("outputs", "logs"):
            try:
                index.put_inline(from_hex(item.file.name), item.oid)
            except ValueError:
                continue
        elif item.file.folder in ("actions", "environments"):
            read.append(item)
    actions: dict[Digest, bytes] = {}
    for item, (_, content) in zip(read, objects.read_those_here([item.oid for item in read]), strict=True):
        if content is None:
            continue
        digest = key_of_preimage(content)
        if digest[7:] + ".json" != item.file.name:
            continue
        if item.file.folder == "environments":
            index.put_environment(digest, content)
            continue
        try:
            decode_action(content)
        except ValueError:
            continue
        actions[digest] = content
    return actions


def _take_run(index: Index, run: Run, commit: str, actions: dict[Digest, bytes]) -> None:
    index.put_run(run, commit)
    ended = run.ended or time.time()
    for step in run.steps:
        if step.outcome == "executed" and step.key is not None:
            result = ActionResult(step.outputs, step.metrics, step.cost, run.id, ended)
            index.put_result(step.key, result, actions.get(step.key), run.pipeline, step.name)
        elif step.outcome == "failed" and step.key in actions:
            index.put_action(step.key, actions[step.key])
