"""`gitml clone`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from gitml.cli.commands.share.report import can_ask, check_refusals, progress_line, sharing_as_json
from gitml.cli.session import Session, verb
from gitml.cli.text.format import ago, count
from gitml.cli.text.terminal import safe
from gitml.store.index.runs import count_runs, newest_runs

if TYPE_CHECKING:
    from gitml.transfer.clone import CloneResult


@verb("clone", json=True)
@click.argument("url")
@click.argument("folder", metavar="[DIR]", required=False)
@click.option("-b", "--branch", metavar="NAME", help="Check out this branch or tag, not the remote's own.")
@click.option("--depth", type=click.IntRange(1), metavar="N", help="Only the last N commits, as git clone --depth.")
@click.option(
    "--filter", "wanted", metavar="SPEC", help="Leave objects out until needed, as git clone --filter=blob:none."
)
def command(
    session: Session, url: str, folder: str | None, branch: str | None, depth: int | None, wanted: str | None
) -> int:
    """Clone a repository with the records of all runs: their metrics, lineage, modules and small outputs.

    Git clones, with your own configuration. From then on a plain git fetch fetches records too. Large outputs stay where they are
    until something needs them.
    """
    from gitml.transfer.clone import CloneRequest, clone

    cloned = clone(
        CloneRequest(url, folder, branch, depth, wanted),
        os.environ,
        terminal=can_ask(),
        watch=progress_line(session),
        prepared=session.adopt,
    )
    if session.json:
        session.show_json({"path": os.path.abspath(cloned.folder), **sharing_as_json(cloned.moved)})
    else:
        if cloned.others:
            names = ", ".join(safe(name) for name in cloned.others[:4]) + (", …" if len(cloned.others) > 4 else "")
            session.warn(f"nothing is checked out: the remote's own branch has no commit; it has {names}")
        session.show(*_told(cloned))
    return check_refusals(cloned.moved)


def _told(cloned: CloneResult) -> list[str]:
    """What is there, and what to do next."""
    ws, folder = cloned.ws, cloned.folder
    into = f"cloned into {safe(folder)}"
    go = f"cd {safe(folder)}" + (f"; git switch {safe(cloned.others[0])}" if cloned.others else "")
    asks = "" if ws.consent.may_run() else " (which asks first whether its steps may run here: gitml trust)"
    runs = count_runs(ws.index)
    if not runs:
        return [f"{into}; nobody has recorded a run there yet", f"next: {go}; gitml run{asks}"]
    newest = newest_runs(ws.index, limit=1)[0]
    return [
        f"{into}, with {count(runs, 'run')}; the newest is {newest.id[:8]} of {safe(newest.pipeline)},"
        f" {newest.status}, {ago(newest.started, ws.now())}",
        f"next: {go}; gitml log; gitml run{asks}",
    ]
