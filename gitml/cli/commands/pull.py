"""`gitml pull`."""

from __future__ import annotations

from gitml.cli.commands.sharing_session import can_ask, remote_argument, tell, watching
from gitml.cli.session import Session, verb


@verb("pull", json=True)
@remote_argument
def command(session: Session, remote: str | None) -> int:
    """Take in the records that a Git remote has, as fetch does."""
    from gitml.flow.sharing import pull

    return tell(session, pull(session.ws, remote, terminal=can_ask(), watch=watching(session)))
