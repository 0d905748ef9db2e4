"""Where a run's record lies in the log's tree: ``runs/<yyyy>/<mm>/<dd>/<first two of the id>/<id>/``.

Beside ``run.json`` are ``actions/<hex>.json`` (pre-images of performed Actions), ``environments/<hex>.json`` (descriptions),
``outputs/<hex>`` and ``logs/<hex>`` (small contents by their sha256), ``steps/<hex>.jsonl`` (the rows of many steps), and later
``reproductions/<run id>.json``.
"""

from __future__ import annotations

import time
from typing import NamedTuple

FOLDERS = ("actions", "environments", "outputs", "logs", "reproductions", "steps")
LARGEST = 64 << 20
"""Bytes of one file of a record; none larger is written, sent or taken in."""
LARGEST_DESCRIPTION = 512 << 20
"""Bytes of all files of a record that are not outputs or logs; a record with more is not taken in."""
TIP, FETCHED, NEWER = "tip2", "fetched2", "newer2"
"""What the index calls the record commit, and the commits of other logs, that it has taken in, and how many records of a newer
gitml it passed over. Named by the newest format of records that is read: what an older gitml passed over in the same index is
taken in after all."""
TOLD = (TIP, FETCHED, NEWER)


class RecordFile(NamedTuple):
    """A file of a run's record: `folder` is one of FOLDERS, or empty for ``run.json``."""

    run: str
    folder: str
    name: str


def record_folder(run: str, started: float) -> str:
    """The folder of a run that started at `started` (seconds since 1970, UTC decides the day)."""
    return f"runs/{time.strftime('%Y/%m/%d', time.gmtime(started))}/{run[:2]}/{run}"


def parse_path(path: str) -> RecordFile | None:
    """What a path of the log is; None when it is no file of a record."""
    parts = path.split("/")
    if parts[0] != "runs" or len(parts) not in (7, 8) or not parts[5].startswith(parts[4]):
        return None
    if len(parts) == 7:
        return RecordFile(parts[5], "", parts[6]) if parts[6] == "run.json" else None
    return RecordFile(parts[5], parts[6], parts[7]) if parts[6] in FOLDERS else None


def steps_path(folder: str, name: str) -> str:
    """Where the step rows called `name` lie in a record's folder."""
    return f"{folder}/steps/{name}.jsonl"


def folder_of(path: str) -> str:
    """The record's folder of a path of the log."""
    return "/".join(path.split("/", 6)[:6])
