"""`gitml init`."""

from __future__ import annotations

import os

import click

from gitml import layout
from gitml.cli.session import Session, verb
from gitml.errors import BusyError, InputError


@verb("init", json=True)
@click.option("--undo", is_flag=True, help="Remove what init wrote, wherever it is unchanged.")
@click.option(
    "--purge", is_flag=True, help="With --undo: remove everything gitml keeps here too, the store and all runs."
)
@click.option("--remote", metavar="NAME", help="Have a plain git fetch of this remote fetch the records of runs too.")
def command(session: Session, undo: bool, purge: bool, remote: str | None) -> None:
    """Start using gitml in this repository: writes a small gitml.yaml, and a first pipeline where there is none.

    Asks nothing, changes no file that is there, and commits nothing. gitml works in any repository without it, too.
    """
    from gitml.cli import init_files
    from gitml.git.log.remote_refs import set_refspecs, unset_refspecs

    ws = session.ws
    root = ws.location.worktree
    if root is None:
        raise InputError("a bare repository has no work tree to start in", where=ws.location.git_dir)
    if purge and not undo:
        raise InputError("--purge goes with --undo")
    if remote is not None and undo:
        raise InputError("--undo undoes it for every remote: leave --remote away")
    if remote is not None:
        new = set_refspecs(ws.location, remote)
        done = [
            init_files.FileOutcome(f"the fetch of {remote}", "extended" if new else "kept"),
            *init_files.write(root),
        ]
    elif undo:
        done = init_files.undo(root)
        done += [init_files.FileOutcome(f"the fetch of {name}", "restored") for name in unset_refspecs(ws.location)]
    else:
        done = init_files.write(root)
    if purge:
        refs = _purge(session)
        done.append(init_files.FileOutcome(os.path.relpath(ws.root, root), "removed"))
        done += [init_files.FileOutcome(ref, "removed") for ref in refs]
    if session.json:
        session.show_json([item._asdict() for item in done])
        return
    for item in done:
        note = "  (changed since, so it stays)" if item.state == "changed" else ""
        session.show(f"{item.state:<8} {item.path}{note}")
    if not done:
        session.note("nothing to undo" if undo else "there is nothing to write: the pipelines are there already")
    elif not undo:
        asks = "" if ws.consent.may_run() else ", once you allow it: gitml trust allow run"
        session.note(f"next: gitml run{asks}")


def _purge(session: Session) -> list[str]:
    """Removes the folder of gitml and its refs, and gives these; BusyError while a run goes on."""
    import shutil

    from gitml.git.command import git
    from gitml.history.runs import live_runs

    ws = session.recovered_ws
    if live_runs(ws):
        raise BusyError("a run is going on", hint="gitml cancel")
    listed = git(ws.location, "for-each-ref", "--format=%(refname)", layout.REFS).decode().split()
    session.close()
    for ref in listed:
        git(ws.location, "update-ref", "-d", ref)
    if os.path.isdir(ws.root):
        shutil.rmtree(ws.root)
    return listed
