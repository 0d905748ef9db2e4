"""`gitml fetch`."""

from __future__ import annotations

from gitml.cli.commands.share.report import can_ask, progress_line, remote_argument, report_sharing
from gitml.cli.session import Session, verb


@verb("fetch", json=True)
@remote_argument
def command(session: Session, remote: str | None) -> int:
    """Take in the records of runs and of the registry that a Git remote has; by default that of the branch, or origin.

    Their metrics, lineage and small outputs come with them, so steps that others ran are reused from here on.
    """
    from gitml.transfer.records import fetch

    return report_sharing(session, fetch(session.ws, remote, terminal=can_ask(), watch=progress_line(session)))
