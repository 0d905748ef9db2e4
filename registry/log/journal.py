"""RegistryJournal: the log of a registry with its projection, and the one way in which an event enters it.

And the registry as it was at a time or at a record of the log (`moment_of`, `state_at`), and times as the log writes them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import NamedTuple

from gitml import layout
from gitml.errors import BusyError, InputError
from gitml.git.command import Location, config_value
from gitml.git.log.record_log import GitRecordLog
from gitml.git.objects.reader import Objects
from gitml.git.revisions import commit_info, resolve_commit
from gitml.layout import REGISTRY_REF
from registry.log.events import FOLDER, MODULES, Event, event_as_bytes
from registry.projection.projection import Projection, file_lock
from registry.state import ModuleState, folded

_PATIENCE = 90.0


class RegistryEntry(NamedTuple):
    """An event about to be recorded, its Git trees (path in the log -> tree), and the commits it keeps."""

    event: Event
    trees: Mapping[str, str] = {}
    parents: Sequence[str] = ()


class RegistryJournal:
    """The events of the registry in one repository. `clock` gives seconds since 1970."""

    def __init__(self, location: Location, objects: Objects, clock: Callable[[], float] = time.time) -> None:
        self.location = location
        self.objects = objects
        self.log = GitRecordLog(location, objects, REGISTRY_REF)
        self.folder = layout.own_folder(location.common_dir)
        self.projection = Projection(os.path.join(self.folder, layout.REGISTRY), self.log, objects)
        self._clock = clock

    def record(self, decide: Callable[[], RegistryEntry | None]) -> Event | None:
        """Appends what `decide` makes of the registry as it is, in one durable commit; None when it finds nothing to do.

        `decide` is asked again when a writer on another machine came first. The event's time is set here: now, and later than
        every event before it. BusyError after a minute and a half.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            with self.write_lock():
                tip = self.projection.tip()
                entry = decide()
                if entry is None:
                    return None
                event = entry.event._replace(at=self.next_stamp(self.projection.newest()))
                commit = self.compose(tip, entry._replace(event=event))
                moved = self.log.move(tip, commit)
                if moved:
                    self.projection.refresh()
            if moved:
                self.log.maintain()
                return event
            if time.monotonic() > deadline:
                raise BusyError("other writers keep moving the registry", where=self.location.folder, hint="try again")
            time.sleep(0.02 * (0.5 + os.urandom(1)[0] / 256))

    def compose(self, tip: str | None, entry: RegistryEntry) -> str:
        """The record of an entry behind `tip`, not yet part of the log."""
        event = entry.event
        what = f"{event.module} {event.version}" if event.version else event.module
        files = {event.file: event_as_bytes(event)}
        message = f"{event.kind} {what}"
        return self.log.compose(tip, files, message, entry.parents, trees=entry.trees, sign=self.signs)

    def next_stamp(self, newest: str) -> str:
        """Now, or a microsecond after `newest` where a clock was ahead."""
        now = stamp(self._clock())
        return now if now > newest else after(newest)

    def now(self) -> str:
        """The time as the log writes it."""
        return stamp(self._clock())

    @cached_property
    def signs(self) -> bool:
        """Whether Git is configured to sign what this user commits."""
        return config_value(self.location, "--type=bool", "--get", "commit.gpgSign") == "true"

    def write_lock(self) -> AbstractContextManager[None]:
        """Keeps other writers of this machine waiting; freed by the kernel when the process ends."""
        return file_lock(os.path.join(self.folder, layout.REGISTRY_LOCK), self.projection.sharing, _PATIENCE)

    def close(self) -> None:
        """Lets go of the projection's file."""
        self.projection.close()


_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?))?\s*(Z|[+-]\d\d:?\d\d)?\Z", re.ASCII)


def stamp(seconds: float) -> str:
    """``2026-01-31T12:00:00.000000Z`` for seconds since 1970."""
    return stamp_of(round(seconds * 1_000_000))


def stamp_of(microseconds: int) -> str:
    """The same for microseconds since 1970."""
    whole, rest = divmod(microseconds, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{rest:06}Z"


def microseconds(at: str) -> int:
    """Microseconds since 1970 of a stamp."""
    import calendar

    return calendar.timegm(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S")) * 1_000_000 + int(at[20:26])


def after(at: str) -> str:
    """The stamp a microsecond later."""
    return stamp_of(microseconds(at) + 1)


def parse_moment(text: str) -> str | None:
    """The stamp that a date or time means, None when `text` is neither. A bare date is its last moment; no zone means UTC."""
    match = _DATE.match(text.strip())
    if match is None:
        return None
    import datetime

    day, clock, zone = match.groups()
    try:
        given = datetime.datetime.fromisoformat(f"{day}T{clock or '23:59:59.999999'}{zone or 'Z'}").astimezone(
            datetime.UTC
        )
    except (ValueError, OverflowError):
        raise InputError(f"no such date: {text[:40]!r}") from None
    return f"{given:%Y-%m-%dT%H:%M:%S.%f}Z"


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


def state_at(journal: RegistryJournal, name: str, moment: Moment) -> ModuleState | None:
    """The module then, None when it was not there."""
    events = [event for event in journal.projection.events(name) if moment.holds(event)]
    return folded(name, events) if events else None


def states_at(journal: RegistryJournal, moment: Moment) -> list[ModuleState]:
    """All modules then, by name."""
    of: dict[str, list[Event]] = {}
    for event in journal.projection.events():
        if moment.holds(event):
            of.setdefault(event.module, []).append(event)
    return [folded(name, of[name]) for name in sorted(of)]
