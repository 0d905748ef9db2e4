"""Times as the log writes them, and what ``--as-of`` may say: a date, a time, or a revision."""

from __future__ import annotations

import re
import time

from gitml.errors import InputError

_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?)?\s*(Z|[+-]\d\d:?\d\d)?\Z", re.ASCII
)


def stamp(seconds: float) -> str:
    """``2026-01-31T12:00:00.000000Z`` for seconds since 1970."""
    return stamp_of(round(seconds * 1_000_000))


def stamp_of(microseconds: int) -> str:
    """The same for microseconds since 1970."""
    whole, rest = divmod(microseconds, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{rest:06}Z"


def microseconds(at: str) -> int:
    """Microseconds since 1970 of a stamp."""
    import calendar

    return calendar.timegm(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S")) * 1_000_000 + int(at[20:26])


def after(at: str) -> str:
    """The stamp a microsecond later."""
    return stamp_of(microseconds(at) + 1)


def parse_moment(text: str) -> str | None:
    """The stamp that a date or time means, None when `text` is neither. A bare date is its last moment; no zone means UTC."""
    match = _DATE.match(text.strip())
    if match is None:
        return None
    import datetime

    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        if hour is None:
            given = datetime.datetime(int(year), int(month), int(day), 23, 59, 59, 999_999)
        else:
            micro = int((fraction or "0").ljust(6, "0"))
            given = datetime.datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), micro)
        if zone and zone != "Z":
            minutes = int(zone[1:3]) * 60 + int(zone[-2:])
            given -= datetime.timedelta(minutes=minutes if zone[0] == "+" else -minutes)
    except (ValueError, OverflowError):
        raise InputError(f"no such date: {text[:40]!r}") from None
    return f"{given:%Y-%m-%dT%H:%M:%S}.{given.microsecond:06}Z"
