"""What the records of a log name, read a record at a time and forgotten again: as much memory for a million runs as for one."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.model.digest import Digest, parse_digest
from gitml.core.records.record import NewerFormatError, check_format
from gitml.core.records.step_rows import rows_of, tables_from_json
from gitml.errors import IntegrityError
from gitml.git.log.record_log import GitRecordLog
from gitml.git.objects.reader import Objects
from gitml.records.runs import RecordHead, heads

_REMEMBERED = 50_000  # files of rows, which many records share, that need not be read again


class RunHead(NamedTuple):
    """What of a recorded run decides whether its outputs are kept."""

    id: str
    pipeline: str
    started: float
    commit: str
    base: str | None
    tags: tuple[str, ...]


class ReferencedContent(NamedTuple):
    """A content that the record of `run` names, and what it is there: ``step.port`` or ``the log of step``."""

    run: RunHead
    what: str
    digest: Digest


Wants = Callable[[RunHead], Sequence[str] | None]
"""Which contents of a run are asked for: those of outputs that match patterns ``step.port``; None: all, and its logs."""


def referenced_contents(
    records: GitRecordLog, objects: Objects, wants: Wants, *, once: bool = False
) -> Iterator[ReferencedContent]:
    """All that recorded runs name of what is wanted. A record that can't be read names nothing: `fsck` names it.

    With `once` rows that several runs share are given for one of them only. IntegrityError for a record that a newer gitml wrote:
    what it names is unknown.
    """
    tip = records.tip()
    if tip is None:
        return
    seen: set[str] = set()
    for head, content in heads(records, objects, None, tip):
        try:
            raw = json.loads(content or b"")
            check_format(raw["format"])
            run = _run(raw)
            patterns = wants(run)
            if patterns is None or patterns:
                whole = once and patterns is None
                rows = _rows(objects, head, raw["steps"], seen if whole else set())
                yield from _of_rows(run, rows, patterns)
        except NewerFormatError as error:
            raise IntegrityError(
                f"what run {head.folder[-16:-8]} names are not known: {error}",
                where=head.folder,
                hint="use the newer gitml; nothing was deleted",
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        if len(seen) > _REMEMBERED:
            seen.clear()


def _run(raw: Mapping[str, Any]) -> RunHead:
    return RunHead(
        str(raw["run"]),
        str(raw["pipeline"]),
        float(raw["started"]),
        str(raw["commit"]),
        raw["base"],
        tuple([str(tag) for tag in raw["tags"]]),
    )


def _rows(objects: Objects, head: RecordHead, steps: Any, seen: set[str]) -> Iterator[Mapping[str, Any]]:
    """The steps of a record, or the parts of them that its files of rows hold; those files that are `seen` are left out."""
    if isinstance(steps, list):
        yield from steps
        return
    tables = tables_from_json(steps)
    for name, count in (*tables.rows, *tables.changes):
        if name in seen:
            continue
        found = objects.find(head.steps[name])
        if found is None:
            continue
        yield from rows_of(name, found[1], count)
        seen.add(name)


def _of_rows(
    run: RunHead, rows: Iterable[Mapping[str, Any]], patterns: Sequence[str] | None
) -> Iterator[ReferencedContent]:
    for row in rows:
        step = row["name"]
        for port, output in row.get("outputs", {}).items():
            what = f"{step}.{port}"
            if patterns is None or any(fnmatch.fnmatchcase(what, pattern) for pattern in patterns):
                yield ReferencedContent(run, what, parse_digest(output["digest"]))
        for attempt in row.get("attempts", ()) if patterns is None else ():
            log = attempt.get("log")
            if log:
                yield ReferencedContent(run, f"the log of {step}", parse_digest(log["digest"]))
