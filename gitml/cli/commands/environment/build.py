"""`gitml env build`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gitml.cli.commands.environment.show import environment_as_json
from gitml.cli.errors import DONE, FAILED
from gitml.cli.interrupts import InterruptHandler
from gitml.cli.pipeline_arguments import PipelineArguments, pipeline_arguments
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.format import duration, size
from gitml.cli.text.terminal import is_terminal, paint, safe

if TYPE_CHECKING:
    from gitml.analysis.environment_build import BuildOutcome
    from gitml.analysis.environments import PipelineEnvironment
    from gitml.core.model.stop_signal import StopSignal
    from gitml.execute.process import StopRequests

_COLOURS = {"built": "green", "there": "cyan", "failed": "red", "elsewhere": "yellow"}


@verb("build", json=True, reaches=ALWAYS)
@pipeline_arguments
def build(session: Session, wanted: PipelineArguments) -> int:
    """Build the environments of a pipeline's steps on this machine, those that are not built yet.

    One that fails keeps no other from being built; then the exit code is 1. Steps of clusters have theirs built there.
    """
    from gitml.analysis.environment_build import build_environments
    from gitml.execute.process import StoppedError

    loaded, steps = wanted.load(session)
    done: list[BuildOutcome] = []
    with InterruptHandler(quiet=session.quiet, message="stopping") as handler, _stop_requests(handler.stop) as stop:
        with _progress(session) as report:
            try:
                for outcome in build_environments(session.ws, loaded, steps, stop, report):
                    done.append(outcome)
                    report(None, "")
                    session.show(_line(outcome))
            except StoppedError:
                return handler.exit_code
    session.result([_as_json(outcome) for outcome in done])
    return FAILED if any(outcome.outcome == "failed" for outcome in done) else DONE
