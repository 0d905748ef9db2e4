"""The places that the files of a repository name now, and the commands of its steps, for who is to allow them."""

from __future__ import annotations

from typing import NamedTuple

from gitml.core.config.places import Place, place_of_registry
from gitml.core.config.project import PATH
from gitml.engine.execution.executor_kinds import place_of_target
from gitml.engine.planning.load import list_pipelines, load, open_source, read_config
from gitml.engine.run import command_text
from gitml.errors import GitmlError
from gitml.git.objects.source import settings_in
from gitml.modules.registry_places import registries_in
from gitml.transfer.remotes import Remotes
from gitml.workspace import Workspace


class PlaceStatus(NamedTuple):
    """A place: `allowed` is whether this repository may use it, `named` whether a file still names it."""

    place: Place
    allowed: bool
    named: bool = True


def named_places(ws: Workspace) -> list[Place]:
    """Those of the files as they are, of HEAD in a bare repository: remote stores, clusters, registries, each once."""
    source = open_source(ws, "HEAD" if ws.location.worktree is None else None)
    entry = source.lookup(PATH)
    registries = {} if entry is None else registries_in(settings_in(source, entry, PATH))
    remotes = Remotes(ws)
    stores = [*remotes.specs, *(spec for spec in remotes.lfs if spec not in remotes.specs)]
    found = [
        *(remotes.place(spec) for spec in stores),
        *(place_of_target(target) for target in read_config(ws, source).targets.values()),
        *(place_of_registry(name, url) for name, url in sorted(registries.items())),
    ]
    return list({place.identity: place for place in found if place is not None}.values())


def places_of(ws: Workspace) -> list[PlaceStatus]:
    """The places that are named, and those that were allowed and are named no more."""
    named = named_places(ws)
    known = {place.identity for place in named}
    gone = [place for identity, (place, _) in ws.consent.granted.places.items() if identity not in known]
    return [
        *(PlaceStatus(place, allowed) for place, allowed in zip(named, ws.consent.usable(named), strict=True)),
        *(PlaceStatus(place, True, named=False) for place in gone),
    ]


def steps_of(ws: Workspace) -> tuple[tuple[str, str], ...]:
    """(pipeline and step, command line) of every pipeline that can be read."""
    rev = "HEAD" if ws.location.worktree is None else None
    found: list[tuple[str, str]] = []
    for name in list_pipelines(ws, rev):
        try:
            steps = load(ws, name, rev).graph.steps
        except GitmlError:
            continue
        found += [(f"{name}: {step.name}", command_text(step)) for step in steps.values()]
    return tuple(found)
