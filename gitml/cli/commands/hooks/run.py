"""`gitml hooks run`: gitml's part of a hook, as the installed scripts and other tools call it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from gitml import layout
from gitml.cli.errors import DONE, FAILED, TERMINATED, translate
from gitml.cli.session import Session, verb
from gitml.cli.text.format import count
from gitml.cli.text.terminal import is_terminal, paint, safe
from gitml.consent.kinds import RUN
from gitml.errors import GitmlError, InputError

if TYPE_CHECKING:
    from gitml.hooks.checkout_report import PipelineStatus
    from gitml.hooks.pre_push import Update
    from gitml.workspace import Workspace

_PATIENCE = 2.0  # seconds that a person waits for the line after a checkout
_AGAIN = 0.25  # seconds: longer than it takes to clear up after what was ended
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
        from gitml.core.language.diagnostics import nearest

        raise InputError(f"gitml has no part in a hook {name[:60]!r}{nearest(name, _PARTS)}")
    if os.environ.get(layout.HOOKS_VARIABLE) == "0":
        return DONE
    index = _leave_the_hook()
    if work_off:
        return _work_off()
    return _PARTS[name](session, args, index)


def _print(*lines: str) -> None:
    """Prints lines for the user of Git; they are safe for a terminal already."""
    for line in lines:
        sys.stderr.write(f"{paint('gitml:', 'bold', sys.stderr)} {line}\n")
    sys.stderr.flush()


def _read_stdin(hook: str) -> bytes:
    """What Git writes to the hook's stdin; InputError at a terminal, where nothing would come."""
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError(f"{hook} reads what Git writes to its standard input", hint=f"see `git help hooks`, {hook}")
    return sys.stdin.buffer.read()


def _leave_the_hook() -> str | None:
    """Makes this process's environment that of an ordinary gitml; the index that Git made for the commit, if there is one.

    The variables that locate the repository stay. Pushes from here call no hook.
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
    environ[layout.HOOKS_VARIABLE] = "0"
    return os.path.abspath(index) if index else None


def _pre_commit(session: Session, _: tuple[str, ...], index: str | None) -> int:
    from gitml.hooks.pre_commit import check_commit

    verdict = check_commit(session.ws, index)
    if session.json:
        mistakes = [diagnostic._asdict() for diagnostic in verdict.mistakes]
        session.show_json({"mistakes": mistakes, "warnings": list(verdict.warnings)})
        return FAILED if mistakes else DONE
    session.warn(*map(safe, verdict.warnings))
    _print(*[safe(str(diagnostic)) for diagnostic in verdict.mistakes])
    if verdict.mistakes:
        _print(
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


def _stand(session: Session, hook: str) -> int:
    from gitml.git.hooks.settings import is_mid_operation
    from gitml.hooks.checkout_report import pipeline_statuses

    ws = session.ws
    wanted = session.json or is_terminal(sys.stderr) or "PRE_COMMIT" in os.environ
    if not wanted or session.quiet or is_mid_operation(ws.location):
        return DONE
    found: list[PipelineStatus] = []
    late = False
    try:
        with _limited(_PATIENCE):
            for standing in pipeline_statuses(ws, "HEAD", hook):
                found.append(standing)
    except _OutOfTimeError:
        late = True
    if session.json:
        session.show_json([{**item._asdict(), "others": dict(item.others)} for item in found])
        return DONE
    phrase = [_standing(item) for item in found[:_NAMED]]
    if len(found) > _NAMED:
        phrase.append(f"and {count(len(found) - _NAMED, 'pipeline')} more")
    if late:
        phrase.append(f"{'more ' if found else ''}after more than {_PATIENCE:g} s: gitml status")
    if phrase:
        _print(" · ".join(phrase) if (sys.stderr.encoding or "").lower().startswith("utf") else "; ".join(phrase))
    return DONE


def _standing(standing: PipelineStatus) -> str:
    name = paint(safe(standing.pipeline), "bold", sys.stderr)
    if standing.wrong:
        return f"{name} can't be planned"
    if not standing.others:
        return f"{name} all {standing.cached:,} cached" if standing.cached else f"{name} no steps"
    others = [f"{number:,} {_WORDS[kind]}" for kind, number in standing.others]
    return f"{name} " + ", ".join([f"{standing.cached:,} cached", *others])


class _OutOfTimeError(BaseException):
    """The time for something nobody asked for is over. Not an Exception, so that no `except Exception` catches it."""


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Ends what is in the ``with`` after so many seconds, with _OutOfTimeError.

    It is raised wherever the program is, and is lost where exceptions are: in a finalizer or a callback. So it is raised again.
    """
    limited = True

    def over(_: int, __: FrameType | None) -> Any:
        if limited:
            raise _OutOfTimeError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        limited = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _pre_push(session: Session, args: tuple[str, ...], _: str | None) -> int:
    """The gate, and what goes along."""
    from gitml.hooks.pre_push import gated_branches, unrun_pipelines, updates_of_framework, updates_to_send

    remote = args[0] if args else os.environ.get("PRE_COMMIT_REMOTE_NAME", "origin")
    updates = updates_of_framework(session.ws, os.environ)
    if updates is None:
        updates = updates_to_send(_read_stdin("pre-push"))
    if not updates:
        return DONE
    found = list(unrun_pipelines(session.ws, updates, remote))
    if session.json:
        session.show_json([{**item._asdict(), "command": item.command} for item in found])
    for item in found if not session.json else ():
        step = f", step {safe(item.step)}" if item.step else ""
        _print(
            f"{item.commit[:12]} has not run: {safe(item.pipeline)}{step} ({safe(item.reason)}): {safe(item.command)}"
        )
    if found:
        _print("this project's gate refuses commits that have not run (git push --no-verify leaves it out)")
        return FAILED
    if session.json or _is_dry_run(os.environ):
        return DONE
    try:
        _send_along(session, updates, remote)
    except GitmlError as error:
        phrase = translate(error)
        where = f" ({phrase.where})" if phrase.where else ""
        _print(safe(f"the runs of these commits don't go along: {phrase.message}{where}"))
        if any(gated_branches(session.ws, updates)):
            _print("this project's gate refuses commits without them (git push --no-verify leaves it out)")
            return FAILED
        _print("gitml push sends them later")
    return DONE


def _send_along(session: Session, updates: Sequence[Update], remote: str) -> None:
    """Uploads artifacts and then pushes the records that name them, as the project's settings ask; prints what was sent."""
    from gitml.hooks.pre_push import has_all_records, has_remote_store, kinds_to_push, runs_to_push

    ws = session.ws
    along = kinds_to_push(ws, updates, remote)
    if "artifacts" in along and has_remote_store(ws):
        from gitml.cli.transfers import push_artifacts, upload_lines
        from gitml.transfer.run_selector import RunSelection

        runs = runs_to_push(ws, updates, remote)
        if runs is None or runs:
            session.reach()
            ws.consent.ask = None  # Git's push is under way: consent that was not given before is not asked for now
            sent = push_artifacts(session, RunSelection(runs or ()), trusting=True)
            _print(*upload_lines([one for one in sent if one.sent or one.refused]))
    if "records" in along and not has_all_records(ws, remote):
        from gitml.cli.commands.share.records import sharing_line
        from gitml.transfer.records import push

        moved = push(ws, remote)
        if moved.runs_sent or moved.events_sent or moved.runs_received or moved.events_received:
            _print(sharing_line(moved))
        if moved.runs_sent:
            from gitml.cli.transfers import unshared_lines
            from gitml.transfer.upload import unshared_artifacts

            _print(*unshared_lines(session, unshared_artifacts(ws)))
        _print(*[safe(f"a record is refused: {item.why} ({item.path})") for item in moved.refused])
        _print(*[safe(f"your {item.event} of {item.module} is withdrawn: {item.why}") for item in moved.withdrawn])


def _is_dry_run(environ: Mapping[str, str]) -> bool:
    """Whether the calling push is ``git push --dry-run``, which Git does not pass to its hook."""
    try:
        with open(f"/proc/{int(environ[layout.PUSHED_BY_VARIABLE])}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except (KeyError, ValueError, OSError):
        return False
    for word in words[1 : words.index(b"--") if b"--" in words else None]:
        if len(word) > 3 and b"--dry-run".startswith(word):
            return True
        if word[:1] == b"-" and word[1:2] != b"-" and b"n" in word.partition(b"o")[0]:
            return True
    return False


def _post_receive(session: Session, _: tuple[str, ...], __: str | None) -> int:
    """What was pushed is queued, and a process of its own works the queue off."""
    from gitml.git.hooks.settings import read_receive_settings
    from gitml.hooks.pre_push import updates_received
    from gitml.hooks.receive_queue import enqueue, queued, runs_of_push

    ws = session.ws
    allowed = read_receive_settings(ws.location)
    updates = updates_received(_read_stdin("post-receive"))
    if not allowed.branches or not updates:
        return DONE
    wanted = runs_of_push(ws, updates, allowed)
    _print(*map(safe, wanted.refused))
    before = len(queued(ws))
    jobs = enqueue(ws, wanted.jobs)
    if jobs:
        _start_working(ws.location.git_dir, ws.root)
    if session.json:
        session.show_json([job._asdict() for job in jobs])
        return DONE
    for job in jobs:
        behind = f", behind {before}" if before else ""
        _print(f"run {job.run[:8]} of {safe(job.pipeline)} at {job.commit[:8]}{behind} (gitml log shows it there)")
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


def _work_off() -> int:
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


_PARTS: dict[str, Callable[[Session, tuple[str, ...], str | None], int]] = {
    "pre-commit": _pre_commit,
    "post-checkout": _post_checkout,
    "post-merge": lambda session, _, __: _stand(session, "post-merge"),
    "pre-push": _pre_push,
    "post-receive": _post_receive,
}
