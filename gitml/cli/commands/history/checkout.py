"""`gitml checkout`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.format import size
from gitml.cli.text.terminal import safe

if TYPE_CHECKING:
    from gitml.history.files.checkout import WrittenOutput


@verb("checkout", json=True, reaches=ALWAYS)
@click.argument("what", metavar="RUN[:STEP[.PORT]]")
@click.argument("dest", metavar="[DEST]", required=False)
@click.option("-f", "--force", is_flag=True, help="Replace files that differ.")
@click.option("--failed", is_flag=True, help="What failed attempts left of their outputs, complete or not.")
def command(session: Session, what: str, dest: str | None, force: bool, failed: bool) -> None:
    """Write the outputs of a run below DEST, a folder a step; one port alone becomes DEST itself.

    Without DEST the outputs that have a `path:` in the pipeline are written there, into the work tree. Files that differ
    are never replaced without --force, and each output appears complete or not at all. An output that is not on this machine
    is downloaded from a remote store first, and nothing else is.

    With --failed: what a step left that failed, timed out or was cancelled. It stays 14 days on the machine that recorded
    the run. Without DEST it is written into the folder failed-RUN of the current folder.
    """
    from gitml.cli.transfers import fetch_outputs
    from gitml.history.files.checkout import as_json, checkout
    from gitml.history.files.selector import select

    ws = session.recovered_ws
    selection = select(ws, what, failed=failed)
    absence = "is not here any more"
    if failed:
        dest = dest or os.path.join(f"failed-{selection.run.id[:8]}", "")
    else:
        absence = fetch_outputs(session, [output.ref for output in selection.outputs])
    written = checkout(ws, selection, dest, force=force, absence=absence)
    if session.json:
        session.show_json({"run": selection.run.id, "written": [as_json(item) for item in written]})
    else:
        show_written(session, written)


def show_written(session: Session, written: Sequence[WrittenOutput]) -> None:
    """A line for each output that was checked out, and warnings about what it holds."""
    for item in written:
        session.warn(*map(safe, item.notes))
        session.show(f"{item.state:<9}  {safe(os.path.relpath(item.path))}  {size(item.size)}")
