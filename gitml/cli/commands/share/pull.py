"""`gitml pull`."""

from __future__ import annotations

import click

from gitml.cli.commands.share.report import (
    can_ask,
    check_refusals,
    progress_line,
    remote_argument,
    sharing_as_json,
    sharing_line,
)
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.transfers import RunFilterOptions, download_as_json, download_lines, pull_artifacts, run_filter_options
from gitml.errors import RemoteError


@verb("pull", json=True, reaches=ALWAYS)
@remote_argument
@run_filter_options
@click.option("--artifacts", is_flag=True, help="Artifacts of all runs.")
def command(
    session: Session,
    remote: str | None,
    choosing: RunFilterOptions,
    artifacts: bool,
) -> int:
    """Fetch the records of a Git remote, as fetch does, and download the artifacts that are asked for.

    Without such an option no artifact is downloaded: what a step or `gitml checkout` needs is fetched when it is needed. Exits
    with 6 when an artifact that was asked for can't be had.
    """
    from gitml.transfer.records import fetch

    moved = fetch(session.ws, remote, terminal=can_ask(), watch=progress_line(session))
    if not session.json:
        session.show(sharing_line(moved))
    came = None
    if artifacts or any(choosing):
        came = pull_artifacts(session, choosing.choice(session))
        if not session.json:
            session.show(*download_lines(came))
    if session.json:
        session.show_json({**sharing_as_json(moved), "artifacts": download_as_json(came) if came is not None else None})
    code = check_refusals(moved)
    return RemoteError.exit_code if came is not None and came.lost else code
