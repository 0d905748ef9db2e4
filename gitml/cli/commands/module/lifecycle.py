"""`gitml module publish`, `deprecate`, `disable`, `enable` and `set-default`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitml.cli.commands.module.session import name_without_version, open_module, open_registries, registry_option
from gitml.cli.options import bundle
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.terminal import safe

if TYPE_CHECKING:
    from gitml.modules.registry_types import Event


@verb("publish", json=True, reaches=ALWAYS)
@click.argument("folder", metavar="DIR")
@click.option("--version", metavar="V", help="The version, where module.yaml has none.")
@click.option("--default", "as_default", is_flag=True, help="Make it the default.")
@click.option("--at", "rev", metavar="REV", help="Publish the folder as it is at this commit; default: HEAD.")
@click.option("-m", "--message", default="", metavar="TEXT", help="What is new.")
@click.option("--allow-breaking", is_flag=True, help="Take a breaking interface without a new major version.")
@registry_option
def publish(
    session: Session,
    folder: str,
    version: str | None,
    as_default: bool,
    rev: str | None,
    message: str,
    allow_breaking: bool,
    registry_name: str | None,
) -> None:
    """Publish the module in DIR as it is committed. A version never changes: other content needs another version."""
    from gitml.modules.folder import publish_folder

    with open_registries(session) as modules:
        done = publish_folder(
            modules,
            folder,
            registry=registry_name,
            at=rev,
            version=version,
            default=as_default,
            allow_breaking=allow_breaking,
            message=message,
        )
    made = done.version
    if session.json:
        data = {"name": made.module, "version": made.version, "state": made.state, "content": made.content}
        session.show_json({**data, "new": done.new, "notes": list(done.notes)})
        return
    if done.new:
        session.note(f"published {made.module}@{made.version}")
    for line in done.notes:
        session.note(safe(line))
    session.show(f"{made.module}@{made.version}  {made.content}")


_reasons = bundle(
    "reasons",
    dict,
    click.option("--reason", required=True, metavar="TEXT", help="Why; its users see it."),
    click.option("--replacement", metavar="NAME@V", help="What to use in its place."),
    click.option("--default", metavar="V", help="Where it is the default: make this version the default."),
    click.option("--clear-default", is_flag=True, help="Where it is the default: have none."),
)


@verb("deprecate", json=True, reaches=ALWAYS)
@click.argument("module", metavar="NAME[@VERSION]")
@_reasons
def deprecate(session: Session, module: str, reasons: dict[str, Any]) -> int:
    """Deprecate a version, or the whole module: it goes on working, and its users are warned."""
    with open_module(session, module) as of:
        event = of.registry.deprecate(of.name, of.requirement, **reasons)
    return _tell(session, event, module, "deprecated")


@verb("disable", json=True, reaches=ALWAYS)
@click.argument("module", metavar="NAME[@VERSION]")
@_reasons
def disable(session: Session, module: str, reasons: dict[str, Any]) -> int:
    """Disable a version, or the whole module: nothing can use it any more without --allow-disabled."""
    with open_module(session, module) as of:
        event = of.registry.disable(of.name, of.requirement, **reasons)
    return _tell(session, event, module, "disabled")


@verb("enable", json=True, reaches=ALWAYS)
@click.argument("module", metavar="NAME[@VERSION]")
@click.option("--reason", default="", metavar="TEXT", help="Why.")
def enable(session: Session, module: str, reason: str) -> int:
    """Make a version, or the whole module, active again."""
    with open_module(session, module) as of:
        event = of.registry.enable(of.name, of.requirement, reason=reason)
    return _tell(session, event, module, "active")


@verb("set-default", json=True, reaches=ALWAYS)
@click.argument("module", metavar="NAME")
@click.argument("version", metavar="V")
@click.option("--reason", default="", metavar="TEXT", help="Why.")
def set_default(session: Session, module: str, version: str, reason: str) -> int:
    """Make V the version that is meant where no other is asked for."""
    with open_module(session, module) as of:
        event = of.registry.set_default(name_without_version(of), version, reason=reason)
    return _tell(session, event, module, f"{version} by default")


def _tell(session: Session, event: Event | None, what: str, state: str) -> int:
    if session.json:
        data = None
        if event is not None:
            data = {
                "at": event.at,
                "by": event.by,
                "event": event.kind,
                "version": event.version,
                "reason": event.reason,
            }
        session.show_json({"changed": event is not None, "event": data})
    elif event is None:
        session.note(f"{safe(what)} is {safe(state)} already")
    else:
        default = f"; {event.default} is the default now" if event.default else ""
        default = "; there is no default now" if event.clear_default else default
        session.note(f"{safe(what)} is {safe(state)}{default}")
    return 0
