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

from gitml import layout
from gitml.cli.commands.hooks.output import print_line
from gitml.cli.errors import DONE, FAILED
from gitml.cli.session import Session, verb
from gitml.cli.text.format import count
from gitml.cli.text.terminal import is_terminal, paint, safe
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.hooks.checkout_report import PipelineStatus

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
        from gitml.cli.commands.hooks.post_receive import work_off as work

        return work()
    return _PARTS[name](session, args, index)


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
    for warning in verdict.warnings:
        session.warn(safe(warning))
    for diagnostic in verdict.mistakes:
        print_line(safe(str(diagnostic)))
    if verdict.mistakes:
        print_line(
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
        print_line(" · ".join(phrase) if (sys.stderr.encoding or "").lower().startswith("utf") else "; ".join(phrase))
    return DONE


def _standing(standing: PipelineStatus) -> str:
    name = paint(safe(standing.pipeline), "bold", sys.stderr)
    if standing.wrong:
        return f"{name} can't be planned"
    if not standing.others:
        return f"{name} all {standing.cached:,} cached" if standing.cached else f"{name} no steps"
    others = [f"{number:,} {_WORDS[kind]}" for kind, number in standing.others]
    return f"{name} " + ", ".join([f"{standing.cached:,} cached", *others])


_Part = Callable[[Session, tuple[str, ...], "str | None"], int]


def _later(module: str, function: str) -> _Part:
    """A part that is imported when it is needed."""

    def part(session: Session, args: tuple[str, ...], index: str | None) -> int:
        from importlib import import_module

        code: int = getattr(import_module(f"gitml.cli.commands.hooks.{module}"), function)(session, args, index)
        return code

    return part


_PARTS: dict[str, _Part] = {
    "pre-commit": _pre_commit,
    "post-checkout": _post_checkout,
    "post-merge": _post_merge,
    "pre-push": _later("pre_push", "pre_push"),
    "post-receive": _later("post_receive", "post_receive"),
}


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
