"""Bringing the index level with the log of runs. Whatever a bad record holds, the others are taken in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from gitml.core.action import key_of_preimage
from gitml.core.digest import Digest, digest_of, from_hex
from gitml.core.record import Run, StepRun, decode_run
from gitml.core.result import ActionResult
from gitml.errors import GitmlError
from gitml.history.layout import Part, part_of
from gitml.store.index import Index

TIP = "tip"
"""The index's note of the record commit up to which it knows all."""

_BATCH = 1000  # records a transaction: others can write in between


class Log(Protocol):
    """What is asked of the log of runs."""

    def tip(self) -> str | None:
        """The newest record commit."""

    def since(self, known: str | None) -> Iterator[tuple[str, str, str]]:
        """(record commit, path, blob oid) of what was added after `known`, a record's files together."""

    def read(self, oid: str) -> bytes:
        """A blob."""


class Synced(NamedTuple):
    """How many runs were taken in, and what could not be, in words."""

    runs: int = 0
    faults: tuple[str, ...] = ()


class _Record(NamedTuple):
    """The files of one record, by blob oid."""

    id: str
    commit: str
    run: str | None
    actions: dict[str, str]
    environments: dict[str, str]
    inline: dict[str, str]


def sync(index: Index, records: Log) -> Synced:
    """Takes in what the log gained since the index last looked; nothing to do costs one look at the ref."""
    tip = records.tip()
    known = index.meta(TIP)
    if tip is None or tip == known:
        return Synced()
    taken = _Intake(index, records)
    batch: list[_Record] = []
    for record in _grouped(records.since(known)):
        batch.append(record)
        if len(batch) == _BATCH:
            taken.take(batch)
            batch = []
    with index.batch():
        taken.take(batch)
        # Only now, and as it was before we looked: what came since is looked at again, which does no harm.
        index.set_meta(TIP, tip)
    return Synced(taken.runs, tuple(taken.faults))


def _grouped(files: Iterator[tuple[str, str, str]]) -> Iterator[_Record]:
    """Records from files; the files of a record come together, or else as several records, of which one has the run."""
    current: _Record | None = None
    for commit, path, oid in files:
        part = part_of(path)
        if part is None:
            continue
        if current is None or current.id != part.run or current.commit != commit:
            if current is not None:
                yield current
            current = _Record(part.run, commit, None, {}, {}, {})
        current = _with(current, part, oid)
    if current is not None:
        yield current


def _with(record: _Record, part: Part, oid: str) -> _Record:
    if part.folder == "":
        return record._replace(run=oid)
    kept = {
        "actions": record.actions,
        "environments": record.environments,
        "outputs": record.inline,
        "logs": record.inline,
    }.get(part.folder)
    if kept is not None:
        kept[part.name] = oid
    return record


class _Intake:
    def __init__(self, index: Index, records: Log) -> None:
        self.index = index
        self.records = records
        self.runs = 0
        self.faults: list[str] = []
        self.seen: set[str] = set()  # environments, of which there are few and each is named often

    def take(self, batch: list[_Record]) -> None:
        """Takes in some records in one transaction."""
        with self.index.batch():
            for record in batch:
                try:
                    self.record(record)
                except (ValueError, GitmlError) as error:
                    self.faults.append(f"run {record.id[:8]}: {error}")

    def record(self, record: _Record) -> None:
        for name, oid in record.inline.items():
            self.index.put_inline(from_hex(name), oid)
        for name, oid in record.environments.items():
            if name not in self.seen:
                self.seen.add(name)
                self.environment(record, from_hex(name), oid)
        actions = {from_hex(name): oid for name, oid in record.actions.items()}
        if record.run is None:
            return
        run = decode_run(self.records.read(record.run))
        if run.id != record.id:
            raise ValueError(f"its record is that of run {run.id[:16]!r}")
        for step in run.steps:
            if step.key is not None and step.outcome in ("executed", "failed"):
                self.step(run, step, step.key, actions.get(step.key))
        self.index.put_run(run, record.commit)
        self.runs += 1

    def environment(self, record: _Record, digest: Digest, oid: str) -> None:
        if self.index.environment(digest) is not None:
            return
        description = self.records.read(oid)
        if digest_of(description) != digest:
            self.faults.append(f"run {record.id[:8]}: environment {digest[:19]} has other content than its name")
            return
        self.index.put_environment(digest, description)

    def step(self, run: Run, step: StepRun, key: Digest, oid: str | None) -> None:
        preimage = None
        if oid is not None:
            preimage = self.records.read(oid)
            if key_of_preimage(preimage) != key:
                self.faults.append(f"run {run.id[:8]}: the action of step {step.name!r} has other content than its key")
                return
        if step.outcome == "executed":
            result = ActionResult(step.outputs, step.metrics, step.cost, run.id, _ended(run, step))
            self.index.put_result(key, result, preimage, run.pipeline, step.name)
        elif preimage is not None:
            self.index.put_action(key, preimage)


def _ended(run: Run, step: StepRun) -> float:
    if not step.attempts:
        return run.ended
    last = step.attempts[-1]
    return min(run.ended, last.started + last.cost.wall)
