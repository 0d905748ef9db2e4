"""Why two executions of a step gave different bytes, as far as the place shows where they first differ.

Only kinds of causes are named, never what stands there: verdicts are recorded, and outputs may be nobody else's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_AROUND = 48  # bytes before and behind a difference that are looked at
_TIME = re.compile(rb"\d{4}-\d\d-\d\d(?:[ T_]\d\d[:-]?\d\d(?:[:-]?\d\d(?:[.,]\d+)?)?)?|\d\d:\d\d:\d\d(?:[.,]\d+)?")
_DURATION = re.compile(rb"\d+(?:\.\d+)? ?(?:[mnu]?s|sec|seconds)\b")
_UUID = re.compile(rb"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_ADDRESS = re.compile(rb"0x[0-9a-f]{6,16}")
_ROUNDING = 1e-6  # of a number: a difference below it comes of rounding
_GZIP_TIME = range(4, 8)  # bytes of a gzip file that hold when it was written
_ZIP_ENTRY = b"PK\x03\x04"
_ZIP_TIME = range(10, 14)  # bytes behind the beginning of an entry that hold its time
_FORMATS = (
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x89HDF\r\n", "an HDF5 file, which may keep times: track_times=False"),
    (b"\x1f\x8b", "a gzip file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"PAR1", "a Parquet file"),
)

USUAL_CAUSES = (
    "usual causes: random numbers without a seed; a time or a duration that is written, as in models, databases and archives;"
    " generated names; threads that add numbers in another order"
)
"""What to look for where a step gives other bytes each time."""


def cause_of_difference(head: bytes, one: bytes, two: bytes, at: int, offset: int) -> str | None:
    """What differs, in words; None where the place does not show it.

    `one` and `two` are parts of the files that begin at byte `offset` of both and first differ at `at`; `head` is how the first
    file begins.
    """
    found = _metadata(head, one, at, offset) or _in_text(one, two, at)
    format = next((name for begin, name in _FORMATS if head.startswith(begin)), None)
    parts = [found, None if format is None else f"in {format}"]
    return ", ".join(part for part in parts if part is not None) or None


def _metadata(head: bytes, one: bytes, at: int, offset: int) -> str | None:
    if head.startswith(b"\x1f\x8b") and offset + at in _GZIP_TIME:
        return "the time of writing: compress with mtime=0, gzip -n"
    entry = one.rfind(_ZIP_ENTRY, 0, at)
    if entry >= 0 and at - entry in _ZIP_TIME:
        return "the time of an entry"
    return None


def _in_text(one: bytes, two: bytes, at: int) -> str | None:
    """What stands on both sides at a place, by its form."""
    kinds: tuple[tuple[re.Pattern[bytes], Callable[[bytes, bytes], str | None]], ...] = (
        (_UUID, lambda before, after: "an id that is generated"),
        (_TIME, lambda before, after: "a time"),
        (_DURATION, lambda before, after: "a duration"),
        (_ADDRESS, lambda before, after: "the address of an object in memory"),
        (_NUMBER, _rounded),
    )
    for pattern, cause in kinds:
        before, after = _match_at(pattern, one, at), _match_at(pattern, two, at)
        if before is not None and after is not None and (found := cause(before, after)) is not None:
            return found
    return None


def _match_at(pattern: re.Pattern[bytes], content: bytes, at: int) -> bytes | None:
    """What a pattern matches over the byte at `at`."""
    start = max(0, at - _AROUND)
    for match in pattern.finditer(content, start, at + _AROUND):
        if match.start() <= at < max(match.end(), match.start() + 1) or match.end() == at:
            return match[0]
    return None


def _rounded(before: bytes, after: bytes) -> str | None:
    try:
        one, two = float(before), float(after)
    except ValueError:
        return None
    if before == after or not (b"." in before or b"." in after) or abs(one - two) > _ROUNDING * max(abs(one), abs(two)):
        return None
    return "the last digits of a number, as by threads that add in another order"
