"""Points in time as words for people, in local time."""

from __future__ import annotations

import time


def moment(at: float) -> str:
    """Local date and time to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def ago(at: float, now: float) -> str:
    """``12s ago``, ``3m ago``, ``5h ago``, ``2d ago``; the date when longer."""
    past = max(0, int(now - at))
    if past < 60:
        return f"{past}s ago"
    if past < 3600:
        return f"{past // 60}m ago"
    if past < 86400:
        return f"{past // 3600}h ago"
    if past < 30 * 86400:
        return f"{past // 86400}d ago"
    return time.strftime("%Y-%m-%d", time.localtime(at))
