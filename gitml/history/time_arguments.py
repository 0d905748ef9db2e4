"""Points in time as people write them."""

from __future__ import annotations

import re

from gitml.errors import InputError

_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"(\d{1,6})\s*(s|m|h|d|w)(?:[a-z]*)(?:\s+ago)?\Z")


def parse_time(text: str, now: float) -> float:
    """``2026-07-01``, ``2026-07-01 12:30`` (local time unless it names a zone) or ``3d``, ``2 weeks ago``: seconds since 1970."""
    span = _SPAN.match(text.strip().lower())
    if span:
        return now - int(span[1]) * _SPANS[span[2]]
    from datetime import datetime

    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError):
        raise InputError(
            f"not a date: {text[:60]!r}", hint="write 2026-07-01, 2026-07-01T12:30, or 3d, 12h, 2w"
        ) from None
