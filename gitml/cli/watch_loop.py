"""`gitml run --watch`: what changed is run, again and again, until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gitml.cli.errors import INTERRUPTED, TERMINATED, translate, write_error
from gitml.cli.pipeline_arguments import SelectedSteps
from gitml.cli.session import Session
from gitml.cli.text.format import count
from gitml.cli.text.terminal import safe
from gitml.errors import GitmlError, TrustError

if TYPE_CHECKING:
    from gitml.core.planner.plan import Plan
    from gitml.engine.planning.request import RunRequest
    from gitml.engine.watch import Stamps, WatchedFiles

_GRAIN = 20_000_000  # ns: what clocks of file systems may lag behind
_NAMED = 3  # changed files in a line


def watch(
    session: Session,
    request: RunRequest,
    load: Callable[[], SelectedSteps],
    perform: Callable[[SelectedSteps, RunRequest], int],
    show_reused: Callable[[SelectedSteps, Plan], None],
) -> int:
    """Runs what `load` gives by `perform`, waits for changes of the files it uses, and does so again; the exit code at the end.

    Where all is reused nothing is run or recorded, and `show_reused` is called. A mistake is shown, and the next change awaited.
    What is forced is so once.
    """
    from gitml.engine.watch import changed, wait_for_change

    quietly = False
    announced = False
    try:
        while True:
            begun = time.time_ns() - _GRAIN
            watched, before, code = _cycle(session, request, load, perform, show_reused, quietly=quietly)
            if code in (INTERRUPTED, TERMINATED):
                return code
            request = request._replace(force=False, reuse=True)
            names = changed(before, watched.stamps(), begun)
            if names:
                word = "changed meanwhile; again"
            else:
                if not announced:
                    session.remark(f"waiting for changes of {count(len(watched.paths), 'path')}; Ctrl-C ends it")
                    announced = True
                names = wait_for_change(watched, before)
                word = "changed"
            quietly = all(name.endswith("/") for name in names)  # a new or removed file that may be nobody's
            if not quietly:
                session.remark(f"{_shown(names)} {word}")
                announced = False
            session.reopen()
    except KeyboardInterrupt:
        return INTERRUPTED


def _cycle(
    session: Session,
    request: RunRequest,
    load: Callable[[], SelectedSteps],
    perform: Callable[[SelectedSteps, RunRequest], int],
    show_reused: Callable[[SelectedSteps, Plan], None],
    *,
    quietly: bool,
) -> tuple[WatchedFiles, Stamps, int]:
    """One of them: the files to watch, how they were before anything ran, and the exit code."""
    from gitml.engine.planning.planner import make_plan, policy_for
    from gitml.engine.planning.projects import project_here
    from gitml.engine.watch import files_of, settings_of

    watched = settings_of(session.ws, project_here(session.ws, session.ws.worktree()))
    before = watched.stamps()
    try:
        selection = load()
        loaded, wanted = selection
        watched = files_of(session.ws, loaded, wanted)
        before = watched.stamps()
        policy = policy_for(loaded, wanted, force=request.force, reuse=request.reuse)
        plan = make_plan(session.ws, loaded, wanted, policy, request.on)
        if plan.runs_something():
            return watched, before, perform(selection, request)
        show_reused(selection, plan)
        if not quietly:
            session.remark(f"nothing to run: {count(len(plan.decisions), 'step')} reused")
    except TrustError:
        raise
    except GitmlError as error:
        write_error(translate(error), as_json=session.json)
    return watched, before, 0


def _shown(names: list[str]) -> str:
    files = [name for name in names if not name.endswith("/")] or names
    more = f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else ""
    return ", ".join(safe(name) for name in files[:_NAMED]) + more
