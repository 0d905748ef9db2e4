"""`gitml push`."""

from __future__ import annotations

import click

from gitml.cli.commands.share.report import (
    can_ask,
    check_refusals,
    preview_line,
    progress_line,
    remote_argument,
    sharing_as_json,
    sharing_line,
)
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.terminal import safe
from gitml.cli.transfers import (
    RunFilterOptions,
    forecast_lines,
    push_artifacts,
    run_filter_options,
    unshared_as_json,
    unshared_lines,
    upload_as_json,
    upload_lines,
)
from gitml.errors import IntegrityError


@verb("push", json=True, reaches=ALWAYS)
@remote_argument
@run_filter_options
@click.option("--no-artifacts", is_flag=True, help="Send records only.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be sent, with sizes, and send nothing.")
def command(
    session: Session,
    remote: str | None,
    choosing: RunFilterOptions,
    no_artifacts: bool,
    dry_run: bool,
) -> int:
    """Send artifacts to the remote stores of `gitml.yaml`, then the records of runs and of the registry to a Git remote.

    The Git remote is by default that of the branch, or origin. Of artifacts only what a store lacks is sent, by default of all
    runs. Where others pushed first, their records are fetched before. No record is lost, in whatever order people push. Artifacts
    that only this machine has afterwards are named.
    """
    from gitml.transfer.records import preview_push, push
    from gitml.transfer.upload import unshared_artifacts

    def warn(text: str) -> None:
        session.warn(safe(text))

    choice = choosing.choice(session)
    if dry_run:
        from gitml.transfer.upload import forecast

        forecasts = [] if no_artifacts else forecast(session.ws, choice)
        records = preview_push(session.ws, remote, terminal=can_ask())
        going = {root.digest for one in forecasts for root in one.roots}
        selection = [one.remote for one in forecasts]
        stays = [
            one for one in unshared_artifacts(session.ws, confirmed=selection, warn=warn) if one.digest not in going
        ]
        if session.json:
            artifacts = [{**one._asdict(), "roots": [root._asdict() for root in one.roots]} for one in forecasts]
            session.show_json({**records._asdict(), "artifacts": artifacts, "stays": unshared_as_json(stays)})
        else:
            session.show(*forecast_lines(forecasts), preview_line(records))
            session.show(*unshared_lines(session, stays))
        return 0
    sent = [] if no_artifacts else push_artifacts(session, choice)
    if not session.json:
        session.show(*upload_lines(sent))
    moved = push(session.ws, remote, terminal=can_ask(), watch=progress_line(session))
    stays = unshared_artifacts(session.ws, confirmed=[one.remote for one in sent if one.confirmed], warn=warn)
    if session.json:
        artifacts = [upload_as_json(one) for one in sent]
        session.show_json({**sharing_as_json(moved), "artifacts": artifacts, "stays": unshared_as_json(stays)})
    else:
        session.show(sharing_line(moved), *unshared_lines(session, stays))
    refused = [item for one in sent for item in one.refused]
    if refused:
        name, why = refused[0]
        raise IntegrityError(f"{name} was not sent: {why}", hint="gitml fsck --repair, then push again")
    return check_refusals(moved)
