"""The command that takes out what a step left that failed or was cancelled."""

from __future__ import annotations

import shlex

from gitml.cli.text.terminal import safe
from gitml.core.records.record import DAYS_PARTIAL_STAYS, Run, StepRun


def how_to_have(run: Run, step: StepRun) -> str:
    """``what it made stays 14 days: gitml checkout 1a2b3c4d:train.model --failed``, for one port or for all of them."""
    ports = list(step.partial())
    what = f"{run.id[:8]}:{step.name}" + (f".{ports[0]}" if len(ports) == 1 else "")
    return f"what it made stays {DAYS_PARTIAL_STAYS} days: gitml checkout {safe(shlex.quote(what))} --failed"
