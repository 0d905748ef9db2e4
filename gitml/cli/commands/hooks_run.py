"""`gitml hooks run`: gitml's part of a hook, as the installed scripts and other tools call it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from gitml.cli.errors import DONE, FAILED, TERMINATED
from gitml.cli.session import Session, verb
from gitml.cli.terminal import is_terminal, paint, safe
from gitml.cli.words import count
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.flow.hooks.standing import Standing

_PATIENCE = 2.0  # seconds that a person waits for the line after a checkout
_WORDS = {"run": "to run", "unknown": "after those", "blocked": "blocked"}
_NAMED = 4  # pipelines in one line


@verb("run", json=True)
@click.argument("name")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.option("--work-off", is_flag=True, hidden=True)
def run(session: Session, name: str, args: tuple[str, ...], work_off: bool) -> int:
    """Do gitml's part of the hook NAME, with the arguments and the standard input that Git gives it.

    Exits with 1 to refuse a commit or a push. For scripts and tools that call hooks themselves.
    """
    if name not in _PARTS:
        from gitml.core.diagnostics import nearest

        raise InputError(f"gitml has no part in a hook {name[:60]!r}{nearest(name, _PARTS)}")
    if os.environ.get("GITML_HOOKS") == "0":
        return DONE
    index = _leave_the_hook()
    if work_off:
        return _work_off()
    return _PARTS[name](session, args, index)


def _leave_the_hook() -> str | None:
    """Makes this process's environment that of an ordinary gitml; the index that Git made for the commit, if it told one.

    Where the repository is stays told. Pushes from here call no hook.
    """
    environ = os.environ
    index = environ.pop("GIT_INDEX_FILE", None)
    for name in ("GIT_PREFIX", "GIT_QUARANTINE_PATH", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"):
        environ.pop(name, None)
    own = environ.get("GIT_EXEC_PATH")
    if own:  # git put its own programs first; steps must find what they find elsewhere
        environ["PATH"] = os.pathsep.join(
            [folder for folder in environ.get("PATH", "").split(os.pathsep) if folder != own]
        )
    environ["GITML_HOOKS"] = "0"
    return os.path.abspath(index) if index else None


def _pre_commit(session: Session, _: tuple[str, ...], index: str | None) -> int:
    from gitml.flow.hooks.committing import check_commit

    verdict = check_commit(session.ws, index)
    if session.json:
        mistakes = [diagnostic._asdict() for diagnostic in verdict.mistakes]
        session.show_json({"mistakes": mistakes, "warnings": list(verdict.warnings)})
        return FAILED if mistakes else DONE
    for warning in verdict.warnings:
        session.warn(safe(warning))
    for diagnostic in verdict.mistakes:
        _say(safe(str(diagnostic)))
    if verdict.mistakes:
        _say(
            f"{count(len(verdict.mistakes), 'mistake')} in what is staged (git commit --no-verify leaves this check out)"
        )
    return FAILED if verdict.mistakes else DONE


def _post_checkout(session: Session, args: tuple[str, ...], _: str | None) -> int:
    given = (*args, "", "", "")
    old, new = given[0], given[1]
    kind = given[2] or os.environ.get("PRE_COMMIT_CHECKOUT_TYPE", "1")
    if kind != "1" or (old and old == new):
        return DONE
    return _stand(session, "post-checkout")


def _post_merge(session: Session, _: tuple[str, ...], __: str | None) -> int:
    return _stand(session, "post-merge")


def _stand(session: Session, hook: str) -> int:
    from gitml.flow.hooks.standing import standings
    from gitml.repo.hookplace import in_the_middle

    ws = session.ws
    wanted = session.json or is_terminal(sys.stderr) or "PRE_COMMIT" in os.environ
    if not wanted or session.quiet or in_the_middle(ws.location):
        return DONE
    found: list[Standing] = []
    late = False
    try:
        with _limited(_PATIENCE):
            for standing in standings(ws, "HEAD", hook):
                found.append(standing)
    except _OutOfTimeError:
        late = True
    if session.json:
        session.show_json([{**item._asdict(), "others": dict(item.others)} for item in found])
        return DONE
    told = [_standing(item) for item in found[:_NAMED]]
    if len(found) > _NAMED:
        told.append(f"and {count(len(found) - _NAMED, 'pipeline')} more")
    if late:
        told.append(f"{'more ' if found else ''}after more than {_PATIENCE:g} s: gitml status")
    if told:
        _say(" · ".join(told) if (sys.stderr.encoding or "").lower().startswith("utf") else "; ".join(told))
    return DONE


def _standing(standing: Standing) -> str:
    name = paint(safe(standing.pipeline), "bold", sys.stderr)
    if standing.wrong:
        return f"{name} can't be planned"
    if not standing.others:
        return f"{name} all {standing.cached:,} cached" if standing.cached else f"{name} no steps"
    others = [f"{number:,} {_WORDS[kind]}" for kind, number in standing.others]
    return f"{name} " + ", ".join([f"{standing.cached:,} cached", *others])


def _pre_push(session: Session, args: tuple[str, ...], _: str | None) -> int:
    from gitml.flow.hooks.gate import unproven
    from gitml.flow.hooks.pushed import updates_of_framework, updates_to_send

    remote = args[0] if args else os.environ.get("PRE_COMMIT_REMOTE_NAME", "origin")
    updates = updates_of_framework(session.ws, os.environ)
    if updates is None:
        updates = updates_to_send(sys.stdin.buffer.read())
    if not updates:
        return DONE
    found = list(unproven(session.ws, updates, remote))
    if session.json:
        session.show_json([{**item._asdict(), "command": item.command} for item in found])
    for item in found if not session.json else ():
        step = f", step {safe(item.step)}" if item.step else ""
        _say(f"{item.commit[:12]} has not run: {safe(item.pipeline)}{step} ({safe(item.reason)}): {safe(item.command)}")
    if found:
        _say("this project's gate refuses commits that have not run (git push --no-verify leaves it out)")
        return FAILED
    return DONE


def _post_receive(session: Session, _: tuple[str, ...], __: str | None) -> int:
    from gitml.flow.hooks.pushed import updates_received
    from gitml.flow.hooks.received import enqueue, jobs_of, queued
    from gitml.repo.hooksettings import read_allowed

    ws = session.ws
    allowed = read_allowed(ws.location)
    updates = updates_received(sys.stdin.buffer.read())
    if not allowed.branches or not updates:
        return DONE
    wanted = jobs_of(ws, updates, allowed)
    for refused in wanted.refused:
        _say(safe(refused))
    before = len(queued(ws))
    jobs = enqueue(ws, wanted.jobs)
    if jobs:
        _start_working(ws.location.git_dir, ws.root)
    if session.json:
        session.show_json([job._asdict() for job in jobs])
        return DONE
    for job in jobs:
        behind = f", behind {before}" if before else ""
        _say(f"run {job.run[:8]} of {safe(job.pipeline)} at {job.commit[:8]}{behind} (gitml log shows it there)")
    return DONE


_Part = Callable[[Session, tuple[str, ...], "str | None"], int]
_PARTS: dict[str, _Part] = {
    "pre-commit": _pre_commit,
    "post-checkout": _post_checkout,
    "post-merge": _post_merge,
    "pre-push": _pre_push,
    "post-receive": _post_receive,
}


def _start_working(folder: str, root: str) -> None:
    """Starts a process of its own session that works the queue off; its errors go to a file."""
    import subprocess

    from gitml.repo.git import without_repository

    safely = ["-P"] if sys.flags.safe_path else []
    command = [sys.executable, *safely, "-m", "gitml", "hooks", "run", "post-receive", "--work-off"]
    environ = without_repository(os.environ)
    environ.pop("GITML_HOOKS", None)
    with open(os.path.join(root, "queue", "errors.log"), "ab") as errors:
        subprocess.Popen(
            command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
            start_new_session=True,
        )  # fmt: skip


def _work_off() -> int:
    """Works until the queue is empty or another process does."""
    from gitml.cli.stopping import Stopping
    from gitml.flow.hooks.received import end_turn, perform_next, queued, take_turn
    from gitml.workspace import open_workspace

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # `gitml cancel` means one run, never the queue
    while True:
        ws = open_workspace(os.getcwd(), os.environ)
        if not take_turn(ws):
            return DONE
        try:
            going = True
            while going:
                with Stopping(quiet=True) as stopping:
                    try:
                        going = perform_next(ws, lambda _: None, stopping.stop)
                    finally:
                        ws.close()
                if stopping.stop.level and stopping.exit_code == TERMINATED:
                    return TERMINATED
                ws = open_workspace(os.getcwd(), os.environ)  # what is installed here is looked at anew for each run
        finally:
            end_turn(ws)
        if not queued(ws):
            return DONE


class _OutOfTimeError(Exception):
    """The time for something nobody asked for is over."""


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Ends what is in the ``with`` after so many seconds, with _OutOfTimeError."""

    def over(_: int, __: FrameType | None) -> Any:
        raise _OutOfTimeError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _say(line: str) -> None:
    """A line for whoever called Git; it is safe for a terminal already."""
    sys.stderr.write(f"{paint('gitml:', 'bold', sys.stderr)} {line}\n")
    sys.stderr.flush()
