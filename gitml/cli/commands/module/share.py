"""`gitml module pull`, `push`, `verify` and `rebuild`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from gitml.cli.commands.module.session import open_registries, registry_option
from gitml.cli.session import ALWAYS, Session, as_data, verb
from gitml.cli.text.format import count
from gitml.cli.text.terminal import paint, safe
from gitml.errors import IntegrityError, TrustError

if TYPE_CHECKING:
    from gitml.modules.registry_types import ShareResult

remote_option = click.option(
    "--remote",
    default="origin",
    metavar="NAME|URL",
    help="The Git remote; default: origin, where a shared registry is.",
)


@verb("pull", json=True, reaches=ALWAYS)
@remote_option
@registry_option
def pull(session: Session, remote: str, registry_name: str | None) -> None:
    """Take in what others published. Own events that are nowhere else yet come after theirs."""
    with open_registries(session) as modules:
        modules.reach(registry_name)
        _tell(session, modules.registry(registry_name).pull(remote))


@verb("push", json=True, reaches=ALWAYS)
@remote_option
@registry_option
def push(session: Session, remote: str, registry_name: str | None) -> None:
    """Send what was published here, after taking in what others published.

    Of two different contents under one version the one that arrived first stays; the other is withdrawn here and reported.
    """
    with open_registries(session) as modules:
        modules.reach(registry_name)
        _tell(session, modules.registry(registry_name).push(remote))


def _tell(session: Session, shared: ShareResult) -> None:
    from gitml.cli.commands.share.records import refuse_withdrawn
    from gitml.transfer.records import withdrawn_events

    withdrawn = withdrawn_events(shared.withdrawn)
    session.result({"received": shared.received, "sent": shared.sent, "withdrawn": as_data(withdrawn)})
    session.remark(f"{count(shared.received, 'event')} received, {count(shared.sent, 'event')} sent")
    refuse_withdrawn(withdrawn)


@verb("verify", json=True)
@click.option("--require-signed", is_flag=True, help="Fail unless every record is signed by a known key.")
@registry_option
def verify(session: Session, require_signed: bool, registry_name: str | None) -> None:
    """Check every event and every file of the registry, and show which records are signed, and by whom."""
    with open_registries(session) as modules:
        found = modules.registry(registry_name).verify()
    counts = Counter(record.state for record in found.records)
    lines = [f"{count(found.events, 'event')}, {count(found.versions, 'version')} checked"]
    lines += [f"  {count(number, 'record')} {state}" for state, number in counts.items()]
    lines += [f"  signed by {safe(signer)}" for signer in sorted({one.signer for one in found.records if one.signer})]
    lines += [f"{paint('bad', 'red')} {safe(problem)}" for problem in found.problems]
    data = as_data(found)
    records = data.pop("records")
    session.result({**data, "signatures": counts, "records": records}, *lines)
    if found.problems:
        raise IntegrityError(
            f"{count(len(found.problems), 'thing')} in the registry not as published", where=found.problems[0]
        )
    bad = [record for record in found.records if record.state == "bad signature"]
    if bad:
        raise TrustError(f"the record {bad[0].commit[:12]} has a bad signature: {bad[0].detail}")
    missing = [record for record in found.records if record.state != "signed"]
    if require_signed and missing:
        raise TrustError(f"{count(len(missing), 'record')} not signed by a known key", where=missing[0].commit[:12])


@verb("rebuild", json=True)
@registry_option
def rebuild(session: Session, registry_name: str | None) -> None:
    """Rebuild the registry's index from its log. Nothing is lost: the index holds nothing of its own."""
    with open_registries(session) as modules:
        events = modules.registry(registry_name).rebuild()
    session.result({"events": events})
    session.remark(f"rebuilt from {count(events, 'event')}")
