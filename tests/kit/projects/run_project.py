"""A process that runs the pipeline of a repository: ``python -m tests.kit.projects.run_project PATH [POINT]``.

With POINT, such as ``gitml.engine.journal.recorder.put_run``, it kills itself right after the first call of that function; with
``before:`` in front, right before. Prints the outcome of each step as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any


def main(path: str, point: str = "") -> None:
    """Runs the pipeline of the work tree at `path`."""
    if point:
        kill_at(point)
    from gitml.core.model.stop_signal import StopSignal
    from gitml.engine.planning.load import load
    from gitml.engine.planning.request import RunRequest
    from gitml.engine.run import run_pipeline
    from gitml.workspace import open_workspace

    ws = open_workspace(path, os.environ)
    run = run_pipeline(ws, load(ws, None, None), RunRequest(), lambda _: None, StopSignal())
    print(json.dumps({step.name: [step.outcome, step.reason] for step in run.steps}), flush=True)
    ws.close()


def kill_at(point: str) -> None:
    """Has this process killed at the function of that name."""
    before = point.startswith("before:")
    *path, name = point.removeprefix("before:").split(".")
    owner: Any = None
    for cut in range(len(path), 0, -1):
        try:
            owner = importlib.import_module(".".join(path[:cut]))
        except ImportError:
            continue
        for part in path[cut:]:
            owner = getattr(owner, part)
        break
    real: Callable[..., Any] = getattr(owner, name)

    def deadly(*args: Any, **kwargs: Any) -> None:
        if not before:
            real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, deadly)


if __name__ == "__main__":
    main(*sys.argv[1:])
