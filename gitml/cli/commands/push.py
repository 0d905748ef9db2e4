"""`gitml push`."""

from __future__ import annotations

import click

from gitml.cli.commands.sharing_session import can_ask, foretell, remote_argument, tell, watching
from gitml.cli.session import Session, verb


@verb("push", json=True)
@remote_argument
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would be sent, and how much it is, and send nothing.")
def command(session: Session, remote: str | None, dry_run: bool) -> int:
    """Send the records of runs and of the registry to a Git remote; by default that of the branch, or origin.

    Where others were first, their records are taken in before. Nobody's are lost, whoever pushes when.
    """
    from gitml.flow.sharing import preview, push

    if dry_run:
        return foretell(session, preview(session.ws, remote, terminal=can_ask()))
    return tell(session, push(session.ws, remote, terminal=can_ask(), watch=watching(session)))
