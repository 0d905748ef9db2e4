"""Runs in a process of their own, which goes on when the one that started it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitml.core.model.action import Scalar
from gitml.core.records.record import Run
from gitml.core.secrets.seals import is_seal
from gitml.store.index.runs import run_row
from gitml.workspace import Workspace

_PATIENCE = 60.0  # seconds for the run to begin; planning a huge pipeline takes a few


class DetachedRun(NamedTuple):
    """`code` None: the run goes on. Else how it ended already; `said` is what its process said on stderr."""

    run_id: str
    code: int | None
    said: bytes

    def was_refused(self, ws: Workspace) -> bool:
        """Whether it ended badly before it began, so that no run is recorded."""
        if not self.code:
            return False
        ws.catch_up()
        return run_row(ws.index, self.run_id) is None


def start_detached(
    ws: Workspace, before: Sequence[str], words: Sequence[str], cwd: str | None = None, verb: str = "run"
) -> DetachedRun:
    """Starts ``gitml BEFORE run WORDS`` (or `verb`), under a new id, and waits until the run goes on, or has ended."""
    from gitml.engine.run import new_run_id

    run_id = new_run_id()
    command = [sys.executable, "-m", "gitml", *before, verb, "--run-id", run_id, "-q", *words]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(ws.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        live = os.path.join(ws.live, run_id, "run.json")
        end = time.monotonic() + _PATIENCE
        while process.poll() is None and not os.path.exists(live) and time.monotonic() < end:
            time.sleep(0.01)
        code = process.poll()
        if code is None:
            threading.Thread(target=process.wait, daemon=True).start()  # no zombie, however long this process lives
        said.seek(0)
        return DetachedRun(run_id, code, said.read())


def run_arguments(
    pipeline: str,
    steps: Sequence[str] = (),
    rev: str | None = None,
    params: Mapping[str, Scalar] | None = None,
    options: Sequence[str] = (),
) -> list[str]:
    """What follows ``gitml run`` for a pipeline, some of its steps, a revision (None: the files as they are) and parameters."""
    words = [*options]
    if rev is not None:
        words += ["--at", rev]
    for name, value in (params or {}).items():
        if is_seal(value):
            continue  # a variable says it, or nothing
        words += ["-S", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    return [*words, "--", pipeline, *steps]


def rerun_arguments(run: Run) -> list[str]:
    """What follows ``gitml run`` to run what `run` ran with the files as they are now. ``gitml rerun`` runs it at its commit."""
    pipeline = run.path if "/" in run.path else run.pipeline
    filed = ["--experiment", run.experiment] if run.experiment != run.pipeline else []
    return run_arguments(pipeline, run.selected, None, run.params, filed)
