"""How long tests wait.

What must come true is waited for long: a machine may stand still for seconds while others use it, and waiting costs nothing where
it comes true. That something is quick is a claim of `benchmarks/`; a test that bounds a time from above tells "at once" from
"after its grace" or "never", by a bound far from both.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 90.0  # seconds for what must come true


def at_once(seconds: float, action: Callable[[], None], tries: int = 3) -> None:
    """Does something that takes less than `seconds`, again when it took longer: a machine that stands still makes it late once."""
    for left in reversed(range(tries)):
        begun = time.monotonic()
        action()
        took = time.monotonic() - begun
        if took < seconds:
            return
        assert left, f"{took:.2f} s again, not {seconds:g}"
