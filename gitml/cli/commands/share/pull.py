"""`gitml pull`."""

from __future__ import annotations

import click

from gitml.cli.commands.share.report import as_data, can_ask, remote_argument, sentence, settle, watching
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.transfers import Choosing, came_as_data, came_lines, choice_options, pull_artifacts
from gitml.errors import RemoteError


@verb("pull", json=True, reaches=ALWAYS)
@remote_argument
@choice_options
@click.option("--artifacts", is_flag=True, help="Artifacts of all runs.")
def command(
    session: Session,
    remote: str | None,
    choosing: Choosing,
    artifacts: bool,
) -> int:
    """Take in the records that a Git remote has, as fetch does, and bring the artifacts that are asked for.

    Without such an option no artifact comes: what a step or `gitml checkout` needs is brought when it is needed. Exits with 6
    when an artifact that was asked for can't be had.
    """
    from gitml.transfer.records import pull

    moved = pull(session.ws, remote, terminal=can_ask(), watch=watching(session))
    if not session.json:
        session.show(sentence(moved))
    came = None
    if artifacts or any(choosing):
        came = pull_artifacts(session, choosing.choice(session))
        if not session.json:
            session.show(*came_lines(came))
    if session.json:
        session.show_json({**as_data(moved), "artifacts": came_as_data(came) if came is not None else None})
    code = settle(moved)
    return RemoteError.exit_code if came is not None and came.lost else code
