"""What was fetched becomes part of the log of runs: the union of both sides, so that no record is lost and none conflicts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gitml.errors import BusyError
from gitml.ledger.verifying import Refused, verified
from gitml.repo.objects import Objects
from gitml.repo.recordlog import GitRecordLog

_TRIES = 50


class United(NamedTuple):
    """What came of taking in the log behind a tracking ref: how many runs were new, and what was refused."""

    ref: str
    runs: int
    refused: tuple[Refused, ...] = ()


def unite(records: GitRecordLog, objects: Objects, ref: str, theirs: str) -> United:
    """Takes in every sound record that `theirs`, fetched into `ref`, has beyond the log. What the log has stays as it is."""
    for tries in range(_TRIES):
        ours = records.tip()
        if ours == theirs:
            return United(ref, 0)
        header = objects.header(theirs)
        if header is None or header.kind != "commit":
            return United(ref, 0, (Refused(ref, "is no log of records"),))
        difference = records.difference(ours, theirs)
        files: dict[str, str] = {}
        refused: list[Refused] = []
        runs = 0
        for verdict in verified(objects, difference.added(), _known_to(objects, ours)):
            if isinstance(verdict, Refused):
                refused.append(verdict)
            else:
                files.update((file.path, file.oid) for file in verdict.files)
                runs += verdict.run is not None
        refused += [Refused(path, "the record here has something else there") for path in difference.other]
        if not files:
            return United(ref, 0, tuple(refused))
        whole = not refused and not difference.lacking
        if whole and (ours is None or records.follows(ours, theirs, 2 * len(files) + 64)):
            new = theirs
        else:
            new = records.join(ours, theirs, files, f"join {runs} runs\n")
        if records.move(ours, new):
            return United(ref, runs, tuple(refused))
        time.sleep(0.01 * (1 + tries) * (0.5 + os.urandom(1)[0] / 256))
    raise BusyError("others keep adding to the log of runs", where=ref, hint="try again")


def unite_all(records: GitRecordLog, objects: Objects, fetched: Mapping[str, str]) -> tuple[United, ...]:
    """`unite` for each tracking ref and its tip."""
    return tuple([unite(records, objects, ref, theirs) for ref, theirs in sorted(fetched.items())])


def tie(records: GitRecordLog, theirs: str) -> str | None:
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
        if records.follows(theirs, ours, 2 * difference.lacking + 64):
            return ours
        joined = records.join(ours, theirs, {}, "join\n")
        if records.move(ours, joined):
            return joined
        time.sleep(0.01 * (1 + tries))
    raise BusyError("others keep adding to the log of runs", hint="try again")


def _known_to(objects: Objects, ours: str | None) -> Callable[[str], bool]:
    return lambda folder: ours is not None and objects.header(f"{ours}:{folder}/run.json") is not None
