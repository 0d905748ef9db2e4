"""Points in time as words for people, in local time."""

from __future__ import annotations

import re
import time

from gitml.errors import InputError


def moment(at: float) -> str:
    """Local date and time to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def ago(at: float, now: float) -> str:
    """``12s ago``, ``3m ago``, ``5h ago``, ``2d ago``; the date when longer."""
    past = max(0, int(now - at))
    for unit, most in (("s", 60), ("m", 3600), ("h", 86400), ("d", 30 * 86400)):
        if past < most:
            return f"{past // _SPANS[unit]}{unit} ago"
    return time.strftime("%Y-%m-%d", time.localtime(at))


_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = r"(\d{1,6})\s*(s|m|h|d|w)(?:[a-z]*)(?:\s+ago)?\Z"


def parse_time(text: str, now: float) -> float:
    """``2026-07-01``, ``2026-07-01 12:30`` (local time unless it names a zone) or ``3d``, ``2 weeks ago``: seconds since 1970."""
    span = re.match(_SPAN, text.strip().lower())
    if span:
        return now - int(span[1]) * _SPANS[span[2]]
    from datetime import datetime

    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError):
        raise InputError(
            f"not a date: {text[:60]!r}", hint="write 2026-07-01, 2026-07-01T12:30, or 3d, 12h, 2w"
        ) from None
