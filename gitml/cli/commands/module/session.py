"""What the commands about modules share: the registries opened without the rest of a workspace, and options."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.cli.session import Session
    from gitml.modules.registry_types import Event, ModuleVersion, Registry
    from gitml.modules.service import ModuleService

as_of_option = click.option(
    "--as-of",
    metavar="DATE|REV",
    help="As it was at the end of a date, at a time (UTC), or at a record of the registry.",
)
registry_option = click.option(
    "--registry",
    "registry_name",
    metavar="NAME",
    help="The registry of that name in gitml.yaml; default: the default one.",
)


class ModuleReference(NamedTuple):
    """A module as an argument names it, in its registry."""

    registry: Registry
    name: str
    requirement: str | None


@contextmanager
def open_registries(session: Session) -> Iterator[ModuleService]:
    """The registries of the repository that the current folder lies in; repairs of them are reported."""
    from gitml.cli.text.terminal import safe
    from gitml.consent.consent import Consent
    from gitml.git.integrity import repairs
    from gitml.git.repository import discover
    from gitml.modules.registry_places import registries_here
    from gitml.modules.service import ModuleService

    repairs.listen(lambda text: session.warn(safe(text)))
    location = discover(os.getcwd(), os.environ)
    consent = Consent(location, os.environ)
    session.prepare(consent)
    with closing(ModuleService(location, None, registries_here(location), consent)) as modules:
        yield modules


@contextmanager
def open_module(session: Session, text: str) -> Iterator[ModuleReference]:
    """The module that ``registry:name@requirement`` names."""
    from gitml.modules.service import parse_ref

    ref = parse_ref(text)
    with open_registries(session) as modules:
        yield ModuleReference(modules.registry(ref.registry), ref.name, ref.requirement)


def name_without_version(of: ModuleReference) -> str:
    """Its name, where no version may be named."""
    if of.requirement is not None:
        raise InputError("a version is named where none belongs", where=f"{of.name}@{of.requirement}")
    return of.name


def event_data(event: Event) -> dict[str, Any]:
    """An event of a module as ``--json`` shows it."""
    return {"at": event.at, "by": event.by, "event": event.kind, "version": event.version, "reason": event.reason}


def version_data(version: ModuleVersion) -> dict[str, Any]:
    """A version as ``--json`` shows it in full."""
    import json

    data = version._asdict()
    del data["interface_json"], data["module"]
    return {**data, "interface": json.loads(version.interface_json)}
