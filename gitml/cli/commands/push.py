"""`gitml push`."""

from __future__ import annotations

from gitml.cli.commands.sharing_session import can_ask, remote_argument, tell, watching
from gitml.cli.session import Session, verb


@verb("push", json=True)
@remote_argument
def command(session: Session, remote: str | None) -> int:
    """Send the records of runs and of the registry to a Git remote; by default that of the branch, or origin.

    Where others were first, their records are taken in before. Nobody's are lost, whoever pushes when.
    """
    from gitml.flow.sharing import push

    return tell(session, push(session.ws, remote, terminal=can_ask(), watch=watching(session)))
