"""Where a run's record lies in the log's tree, and what each file beside it is."""

from __future__ import annotations

import time
from typing import NamedTuple

RUN = "run.json"
_HEX = frozenset("0123456789abcdef")


class Part(NamedTuple):
    """A file of a record: of which run, in which folder (empty for ``run.json`` itself), and its hex name."""

    run: str
    folder: str
    name: str


def record_folder(run: str, started: float) -> str:
    """The folder of the record of a run that started at `started` (seconds since 1970)."""
    day = time.strftime("%Y/%m/%d", time.gmtime(started))
    return f"runs/{day}/{run[:2]}/{run}"


def part_of(path: str) -> Part | None:
    """What the file at `path` of the log is; None for what this version does not know."""
    names = path.split("/")
    if len(names) < 7 or names[0] != "runs":
        return None
    run, rest = names[5], names[6:]
    if not is_run_id(run):
        return None
    if rest == [RUN]:
        return Part(run, "", RUN)
    if len(rest) == 2:
        name = rest[1].removesuffix(".json")
        if len(name) == 64 and _HEX.issuperset(name):
            return Part(run, rest[0], name)
    return None


def is_run_id(text: str) -> bool:
    """Whether `text` is a whole run id."""
    return len(text) == 16 and _HEX.issuperset(text)


def is_run_prefix(text: str) -> bool:
    """Whether `text` can be the beginning of a run id."""
    return 4 <= len(text) <= 16 and _HEX.issuperset(text)
