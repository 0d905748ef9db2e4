"""How long tests wait.

What must come true is waited for long: a machine may stand still for seconds while others use it, and waiting costs nothing where
it comes true. That something is quick is a claim of `benchmarks/`; a test that bounds a time from above tells "at once" from
"after its grace" or "never", by a bound far from both. Where work is meant and no waiting, the time of the processor is
bounded, which others on the machine can't use up.
"""

from __future__ import annotations

import os
from collections.abc import Callable

PATIENCE = 90.0  # seconds for what must come true


def worked() -> float:
    """Seconds of processor time that this process and those of its children that have ended took so far."""
    return sum(os.times()[:4])


def in_little_work(seconds: float, action: Callable[[], None]) -> None:
    """Does something for which processors work less than `seconds`, its child processes included."""
    begun = worked()
    action()
    took = worked() - begun
    assert took < seconds, f"{took:.2f} s of work, not {seconds:g}"
