"""`gitml push`."""

from __future__ import annotations

import click

from gitml.cli.commands.share.report import (
    as_data,
    can_ask,
    foretold,
    remote_argument,
    sentence,
    settle,
    watching,
)
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.terminal import safe
from gitml.cli.transfers import (
    Choosing,
    choice_options,
    forecast_lines,
    push_artifacts,
    sent_as_data,
    sent_lines,
    stays_as_data,
    stays_lines,
)
from gitml.errors import IntegrityError


@verb("push", json=True, reaches=ALWAYS)
@remote_argument
@choice_options
@click.option("--no-artifacts", is_flag=True, help="Send records only.")
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would be sent, with sizes, and send nothing.")
def command(
    session: Session,
    remote: str | None,
    choosing: Choosing,
    no_artifacts: bool,
    dry_run: bool,
) -> int:
    """Send artifacts to the remote stores of `gitml.yaml`, then the records of runs and of the registry to a Git remote.

    The Git remote is by default that of the branch, or origin. Of artifacts only what a store lacks is sent, by default of all
    runs. Where others were first, their records are taken in before. Nobody's are lost, whoever pushes when. Artifacts that
    are on this machine alone afterwards are named.
    """
    from gitml.transfer.records import preview, push
    from gitml.transfer.unshared_artifacts import staying

    def warn(text: str) -> None:
        session.warn(safe(text))

    choice = choosing.choice(session)
    if dry_run:
        from gitml.transfer.upload import forecast

        forecasts = [] if no_artifacts else forecast(session.ws, choice)
        records = preview(session.ws, remote, terminal=can_ask())
        going = {root.digest for one in forecasts for root in one.roots}
        asked = [one.remote for one in forecasts]
        stays = [one for one in staying(session.ws, confirmed=asked, warn=warn) if one.digest not in going]
        if session.json:
            artifacts = [{**one._asdict(), "roots": [root._asdict() for root in one.roots]} for one in forecasts]
            session.show_json({**records._asdict(), "artifacts": artifacts, "stays": stays_as_data(stays)})
        else:
            session.show(*forecast_lines(forecasts), foretold(records))
            session.show(*stays_lines(session, stays))
        return 0
    sent = [] if no_artifacts else push_artifacts(session, choice)
    if not session.json:
        session.show(*sent_lines(sent))
    moved = push(session.ws, remote, terminal=can_ask(), watch=watching(session))
    stays = staying(session.ws, confirmed=[one.remote for one in sent if one.confirmed], warn=warn)
    if session.json:
        artifacts = [sent_as_data(one) for one in sent]
        session.show_json({**as_data(moved), "artifacts": artifacts, "stays": stays_as_data(stays)})
    else:
        session.show(sentence(moved), *stays_lines(session, stays))
    refused = [item for one in sent for item in one.refused]
    if refused:
        name, why = refused[0]
        raise IntegrityError(f"{name} was not sent: {why}", hint="gitml fsck --repair, then push again")
    return settle(moved)
