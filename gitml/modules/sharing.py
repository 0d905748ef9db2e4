"""The project's own registry among the logs that are shared: what was fetched taken in, what was sent counted."""

from __future__ import annotations

from typing import NamedTuple

from gitml.git.command import Location
from gitml.git.objects.reader import Objects
from registry.log.events import FOLDER
from registry.log.journal import Journal
from registry.log.share import Withdrawn as Withdrawn
from registry.log.share import take_in as registry_take_in


class Taken(NamedTuple):
    """What came of taking a remote's registry in: events received, and own ones that could not follow them."""

    events: int
    withdrawn: tuple[Withdrawn, ...]


def take_in(location: Location, objects: Objects, remote: str, theirs: str) -> Taken:
    """Brings the registry to hold what `theirs`, fetched from `remote`, has; see `registry.log.share`."""
    journal = Journal(location, objects)
    try:
        return Taken(*registry_take_in(journal, theirs, remote))
    finally:
        journal.close()


def events_between(location: Location, known: str | None, tip: str) -> int:
    """How many events the registry at `tip` has beyond `known`."""
    from gitml.git.log.diff import changes_between

    return len(changes_between(location, known, tip, FOLDER).added)
