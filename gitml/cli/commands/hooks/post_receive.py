"""gitml's part of post-receive: what was pushed is queued, and a process of its own works the queue off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gitml import layout
from gitml.cli.commands.hooks.output import print_line, read_stdin
from gitml.cli.errors import DONE, TERMINATED
from gitml.cli.session import Session
from gitml.cli.text.terminal import safe
from gitml.consent.kinds import RUN

if TYPE_CHECKING:
    from gitml.workspace import Workspace


def post_receive(session: Session, _: tuple[str, ...], __: str | None) -> int:
    from gitml.git.hooks.settings import read_receive_settings
    from gitml.hooks.pre_push import updates_received
    from gitml.hooks.receive_queue import enqueue, queued, runs_of_push

    ws = session.ws
    allowed = read_receive_settings(ws.location)
    updates = updates_received(read_stdin("post-receive"))
    if not allowed.branches or not updates:
        return DONE
    wanted = runs_of_push(ws, updates, allowed)
    for refused in wanted.refused:
        print_line(safe(refused))
    before = len(queued(ws))
    jobs = enqueue(ws, wanted.jobs)
    if jobs:
        _start_working(ws.location.git_dir, ws.root)
    if session.json:
        session.show_json([job._asdict() for job in jobs])
        return DONE
    for job in jobs:
        behind = f", behind {before}" if before else ""
        print_line(f"run {job.run[:8]} of {safe(job.pipeline)} at {job.commit[:8]}{behind} (gitml log shows it there)")
    return DONE


def _start_working(folder: str, root: str) -> None:
    """Starts a process of its own session that works the queue off; its errors go to a file."""
    from gitml.git.command import without_repository

    safely = ["-P"] if sys.flags.safe_path else []
    command = [sys.executable, *safely, "-m", "gitml", "hooks", "run", "post-receive", "--work-off"]
    environ = without_repository(os.environ)
    environ.pop(layout.HOOKS_VARIABLE, None)
    with open(os.path.join(root, "queue", "errors.log"), "ab") as errors:
        subprocess.Popen(
            command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
            start_new_session=True,
        )  # fmt: skip


def _opened(environ: Mapping[str, str]) -> Workspace:
    """The repository that was pushed to. Its owner decided which pushed commits may run when the hook was installed."""
    from gitml.workspace import open_workspace

    ws = open_workspace(os.getcwd(), environ)
    ws.consent.allow_once(RUN)
    return ws


def work_off() -> int:
    """Works until the queue is empty or another process does."""
    from gitml.cli.interrupts import InterruptHandler
    from gitml.hooks.receive_queue import lock_queue, queued, run_next, unlock_queue

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # `gitml cancel` means one run, never the queue
    environ = dict(os.environ)  # as it is before a run joins a cluster; see Workspace
    while True:
        ws = _opened(environ)
        if not lock_queue(ws):
            return DONE
        try:
            going = True
            while going:
                with InterruptHandler(quiet=True) as handler:
                    try:
                        going = run_next(ws, lambda _: None, handler.stop)
                    finally:
                        ws.close()
                if handler.stop.level and handler.exit_code == TERMINATED:
                    return TERMINATED
                ws = _opened(environ)  # the environment is inspected again for each run
        finally:
            unlock_queue(ws)
        if not queued(ws):
            return DONE
