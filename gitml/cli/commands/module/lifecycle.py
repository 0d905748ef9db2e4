"""`gitml module init`, `check`, `publish`, `deprecate`, `disable`, `enable` and `set-default`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitml.cli.commands.module.session import (
    event_data,
    name_without_version,
    open_module,
    open_registries,
    registry_option,
)
from gitml.cli.options import bundle
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.terminal import safe

if TYPE_CHECKING:
    from gitml.modules.registry_types import Event


@verb("init", json=True)
@click.argument("folder", metavar="DIR")
@click.option("--name", metavar="NAME", help="What it is called, name or owner/name; default: the name of the folder.")
def init(session: Session, folder: str, name: str | None) -> None:
    """Start a module in DIR: a module.yaml and a program that work, to be changed into what is wanted."""
    from gitml.modules.folder import create_module

    begun = create_module(folder, name)
    session.result({"name": begun.name, "files": list(begun.files)}, *[safe(path) for path in begun.files])
    session.remark(
        f"try it: gitml module run {safe(folder)} -I text=FILE; commit it, then gitml module publish {safe(folder)}"
    )


@verb("check", json=True)
@click.argument("folder", metavar="DIR")
def check(session: Session, folder: str) -> None:
    """Check the module.yaml in DIR and report every mistake with its line."""
    from gitml.modules.folder import check_folder, left_to_users

    spec = check_folder(folder)
    needs = left_to_users(spec)
    ports = f"{len(spec.inputs)} in, {len(spec.outputs)} out, {len(spec.params)} parameters"
    data = {
        "name": spec.name,
        "version": spec.version,
        "inputs": {p.name: {"type": p.kind, "optional": p.optional} for p in spec.inputs.values()},
        "outputs": {p.name: {"type": p.kind} for p in spec.outputs},
        "params": {p.name: {"type": p.type, "default": p.default} for p in spec.params.values()},
        "notes": list(needs),
    }
    session.result(data, f"{spec.name}{f' {spec.version}' if spec.version else ''}: {ports}")
    session.remark(*map(safe, needs))


@verb("publish", json=True, reaches=ALWAYS)
@click.argument("folder", metavar="DIR")
@click.option("--version", metavar="V", help="The version, where module.yaml has none.")
@click.option("--default", is_flag=True, help="Make it the default.")
@click.option("--at", metavar="REV", help="Publish the folder as it is at this commit; default: HEAD.")
@click.option("-m", "--message", default="", metavar="TEXT", help="What is new.")
@click.option("--allow-breaking", is_flag=True, help="Take a breaking interface without a new major version.")
@registry_option
def publish(session: Session, folder: str, registry_name: str | None, **wanted: Any) -> None:
    """Publish the module in DIR as it is committed. A version never changes: other content needs another version."""
    from gitml.modules.folder import publish_folder

    with open_registries(session) as modules:
        done = publish_folder(modules, folder, registry=registry_name, **wanted)
    made = done.version
    told = [f"published {made.module}@{made.version}"] if done.new else []
    session.remark(*told, *map(safe, done.notes))
    data = {"name": made.module, "version": made.version, "state": made.state, "content": made.content}
    session.result(
        {**data, "new": done.new, "notes": list(done.notes)}, f"{made.module}@{made.version}  {made.content}"
    )


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
def deprecate(session: Session, module: str, reasons: dict[str, Any]) -> None:
    """Deprecate a version, or the whole module: it goes on working, and its users are warned."""
    with open_module(session, module) as of:
        event = of.registry.deprecate(of.name, of.requirement, **reasons)
    _tell(session, event, module, "deprecated")


@verb("disable", json=True, reaches=ALWAYS)
@click.argument("module", metavar="NAME[@VERSION]")
@_reasons
def disable(session: Session, module: str, reasons: dict[str, Any]) -> None:
    """Disable a version, or the whole module: nothing can use it any more without --allow-disabled."""
    with open_module(session, module) as of:
        event = of.registry.disable(of.name, of.requirement, **reasons)
    _tell(session, event, module, "disabled")


@verb("enable", json=True, reaches=ALWAYS)
@click.argument("module", metavar="NAME[@VERSION]")
@click.option("--reason", default="", metavar="TEXT", help="Why.")
def enable(session: Session, module: str, reason: str) -> None:
    """Make a version, or the whole module, active again."""
    with open_module(session, module) as of:
        event = of.registry.enable(of.name, of.requirement, reason=reason)
    _tell(session, event, module, "active")


@verb("set-default", json=True, reaches=ALWAYS)
@click.argument("module", metavar="NAME")
@click.argument("version", metavar="V")
@click.option("--reason", default="", metavar="TEXT", help="Why.")
def set_default(session: Session, module: str, version: str, reason: str) -> None:
    """Make V the version that is meant where no other is asked for."""
    with open_module(session, module) as of:
        event = of.registry.set_default(name_without_version(of), version, reason=reason)
    _tell(session, event, module, f"{version} by default")


def _tell(session: Session, event: Event | None, what: str, state: str) -> None:
    if session.json:
        session.show_json({"changed": event is not None, "event": None if event is None else event_data(event)})
    elif event is None:
        session.note(f"{safe(what)} is {safe(state)} already")
    else:
        default = f"; {event.default} is the default now" if event.default else ""
        default = "; there is no default now" if event.clear_default else default
        session.note(f"{safe(what)} is {safe(state)}{default}")
