"""The registry as it was: at a time, or at a record of its log."""

from __future__ import annotations

from typing import NamedTuple

from gitml.errors import InputError
from gitml.git.revisions import commit_info, resolve_commit
from gitml.layout import REGISTRY_REF
from registry.log.events import FOLDER, MODULES, Event
from registry.log.journal import RegistryJournal, parse_moment, stamp
from registry.state import ModuleState, folded


class Moment(NamedTuple):
    """The events up to a time, or those whose files are in a record."""

    until: str | None
    files: frozenset[str] | None = None

    def holds(self, event: Event) -> bool:
        """Whether the event had happened."""
        return event.at <= self.until if self.until is not None else event.file in (self.files or ())


def moment_of(journal: RegistryJournal, text: str) -> Moment:
    """A date (its end, UTC), a time, a record of the log (``~1`` is the one before the last), or the time of any commit."""
    until = parse_moment(text)
    if until is not None:
        return Moment(until)
    try:
        commit = resolve_commit(
            journal.objects, journal.location, REGISTRY_REF + text if text[:1] in ("~", "^") else text
        )
    except InputError as error:
        raise InputError(
            f"neither a date nor a revision: {text[:80]!r}", where="--as-of", hint="2026-01-31, or a commit"
        ) from error
    info = commit_info(journal.objects, commit)
    names = journal.objects.tree(info.tree).keys()
    if FOLDER in names and names <= {FOLDER, MODULES}:
        return Moment(None, frozenset(path for path, _ in journal.log.changes(None, commit, FOLDER).added))
    return Moment(stamp(info.time + 0.999999))


def state(journal: RegistryJournal, name: str, moment: Moment) -> ModuleState | None:
    """The module then, None when it was not there."""
    events = [event for event in journal.projection.events(name) if moment.holds(event)]
    return folded(name, events) if events else None


def states(journal: RegistryJournal, moment: Moment) -> list[ModuleState]:
    """All modules then, by name."""
    from registry.projection import tables

    of: dict[str, list[Event]] = {}
    path = journal.projection.path
    for event in journal.projection.query(lambda _: tables.events(path, until=moment.until)):
        if moment.holds(event):
            of.setdefault(event.module, []).append(event)
    return [folded(name, of[name]) for name in sorted(of)]
