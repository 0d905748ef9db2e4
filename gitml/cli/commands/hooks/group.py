"""`gitml hooks`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from gitml import layout
from gitml.cli.commands.hooks.run import run
from gitml.cli.session import DefaultGroup, Session, as_data, verb
from gitml.cli.text.format import columns
from gitml.cli.text.terminal import safe
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.git.command import Location
    from gitml.git.hooks.install import Hook
    from gitml.git.hooks.script import HookInterpreter
    from gitml.git.hooks.settings import ReceiveSettings

_STATES = {
    "installed": "installed",
    "outdated": "written by another gitml: gitml hooks install",
    "called": "called by the script that is there",
    "aside": "put aside by another tool, so it does not run",
    "absent": "not installed",
}


@click.group("hooks", cls=DefaultGroup, default="status")
def command() -> None:
    """Let Git call gitml: check commits, report what is cached, push runs along with commits, run what is received."""


@verb("install", of=command, json=True)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--redirect",
    is_flag=True,
    help="Where core.hooksPath leads elsewhere: a folder of this repository's own, whose hooks run those.",
)
@click.option(
    "--branch",
    "branches",
    metavar="GLOB",
    multiple=True,
    help="post-receive: run what is pushed to these branches; default: the one HEAD names.",
)
@click.option(
    "--pipeline",
    "pipelines",
    metavar="GLOB",
    multiple=True,
    help="post-receive: run only these pipelines; default: all.",
)
def install(
    session: Session, names: tuple[str, ...], redirect: bool, branches: tuple[str, ...], pipelines: tuple[str, ...]
) -> None:
    """Install hooks: pre-commit, post-checkout, post-merge and pre-push, or those named; post-receive in a bare repository.

    A hook that is there runs first, and comes back with uninstall. Tracked files and folders that other repositories use
    are never touched.
    """
    from gitml.git.hooks import install as hooks
    from gitml.git.hooks.settings import (
        ReceiveSettings,
        problem_with_pattern,
        read_receive_settings,
        write_receive_settings,
    )
    from gitml.git.revisions import branch_name

    location = session.ws.location
    if (branches or pipelines) and not location.bare:
        raise InputError("--branch and --pipeline go with post-receive, in a bare repository")
    bad = problem_with_pattern([*branches, *pipelines])
    if bad is not None:
        raise InputError(f"not a pattern of names: {bad[:60]!r}")
    wanted = names or (hooks.SERVER if location.bare else hooks.CLIENT)
    done = hooks.install(location, wanted, this_gitml(), redirected=redirect)
    allowed = read_receive_settings(location) if location.bare else ReceiveSettings()
    if location.bare:
        on = branches or allowed.branches or tuple(filter(None, [branch_name(location)]))
        allowed = ReceiveSettings(on, pipelines or allowed.pipelines)
        write_receive_settings(location, allowed)
    session.result([{**hook._asdict(), "done": what} for hook, what in done])
    for hook, what in done:
        then = f"  (runs {_short(location, hook.before)} first)" if hook.before else ""
        session.show(f"{what:<9} {hook.name}{then}")
    if location.bare:
        session.remark(_what_runs(allowed))


@verb("uninstall", of=command, json=True)
@click.argument("names", metavar="[NAME]...", nargs=-1)
def uninstall(session: Session, names: tuple[str, ...]) -> None:
    """Take gitml's hooks away, all or those named; what was there before them is put back, byte for byte."""
    from gitml.git.hooks import install as hooks
    from gitml.git.hooks.script import HOOKS
    from gitml.git.hooks.settings import ReceiveSettings, write_receive_settings

    location = session.ws.location
    gone = hooks.uninstall(location, names or HOOKS)
    if location.bare and (not names or "post-receive" in names):
        write_receive_settings(location, ReceiveSettings((), ()))
    back = "  (what was there before is back)"
    session.result(as_data(gone), *[f"removed   {hook.name}{back if hook.before else ''}" for hook in gone])
    if not gone:
        session.remark("no hook of gitml is installed here")


@verb("status", of=command, json=True)
def status(session: Session) -> None:
    """Show which hooks are installed, what runs before them, and in a bare repository what is run and what waits."""
    from gitml.git.hooks import install as hooks
    from gitml.git.hooks.settings import find_hook_folder, read_receive_settings
    from gitml.hooks.receive_queue import queued

    location = session.ws.location
    found = hooks.hooks_of(location, this_gitml())
    allowed = read_receive_settings(location)
    waiting = queued(session.ws) if location.bare else []
    data = {"folder": find_hook_folder(location).folder, "hooks": as_data(found)}
    if location.bare:
        data |= {**allowed._asdict(), "queue": as_data(waiting)}
    session.result(data, *columns([[hook.name, _told(location, hook)] for hook in found]))
    if location.bare and any(hook.state != "absent" for hook in found):
        session.show(_what_runs(allowed))
        for job in waiting:
            session.show(
                f"waiting or running  {job.run[:8]} {safe(job.pipeline)} at {job.commit[:8]} of {safe(job.branch)}"
            )
    if os.environ.get(layout.HOOKS_VARIABLE) == "0":
        session.remark(f"{layout.HOOKS_VARIABLE} is 0: the hooks do nothing")


command.add_command(run)


def this_gitml() -> HookInterpreter:
    """How the gitml that runs now is started from anywhere."""
    import gitml
    from gitml.git.hooks.script import HookInterpreter

    return HookInterpreter(
        sys.executable, os.path.join(os.path.dirname(os.path.abspath(gitml.__file__)), "__main__.py")
    )


def _told(location: Location, hook: Hook) -> str:
    first = (
        f", after {_short(location, hook.before)}" if hook.before and hook.state in ("installed", "outdated") else ""
    )
    where = f" ({_short(location, hook.path)})" if hook.state in ("called", "aside") else ""
    return _STATES[hook.state] + first + where


def _what_runs(allowed: ReceiveSettings) -> str:
    if not allowed.branches:
        return "no branch is run: gitml hooks install --branch NAME"
    every = allowed.pipelines == ("*",)
    pipelines = "every pipeline" if every else f"pipelines {', '.join(map(safe, allowed.pipelines))}"
    return f"runs {pipelines} of what is pushed to {', '.join(map(safe, allowed.branches))}"


def _short(location: Location, path: str) -> str:
    shown = os.path.relpath(path, location.folder)
    return safe(path if shown.startswith("..") else shown)
