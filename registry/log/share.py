"""Sharing a registry: its log is fetched from and pushed to a Git remote, and stays one line of records.

What is on a remote never changes. Own events that are not on any remote yet are put behind what the remote has, each by the
rules that would hold if it were made now; one that they refuse (another has published the same version with other content) is
withdrawn and reported. Where both sides are on some remote already, the two lines are joined. A remote whose log was set to one
that does not follow what was merged of it is refused: what was published there would change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gitml.errors import BusyError, InputError, IntegrityError
from gitml.git.command import Location, git, git_status
from gitml.git.integrity.durability import move_refs
from gitml.git.log.remote_refs import (
    REGISTRY,
    check_remote,
    merged_ref,
    refused_ref,
    tip_of,
    tracked,
    tracking_ref,
    without_secrets,
)
from gitml.git.log.transport import PushBackoff, fetch, note_merged, push_logs
from registry.interface import interface_from_json
from registry.log.events import CONTENT, FOLDER, PUBLISH, Event, content_path, event_as_bytes, event_from_bytes
from registry.log.journal import RegistryEntry, RegistryJournal
from registry.publication_rules import check_publication
from registry.state import ModuleState, apply, check_event, folded

_TRIES = 20


class Withdrawn(NamedTuple):
    """An own event that could not follow what the remote has, and why."""

    event: Event
    why: str


class ShareResult(NamedTuple):
    """What came of a pull or push, in events: own ones that were `withdrawn` could not follow those received."""

    received: int
    sent: int
    withdrawn: tuple[Withdrawn, ...]


def pull(journal: RegistryJournal, remote: str) -> ShareResult:
    """Takes in what the remote has."""
    return merge_remote(journal, _fetch(journal.location, remote), remote)


def push(journal: RegistryJournal, remote: str) -> ShareResult:
    """Sends what the remote lacks, after taking in what it has where others came first; again while they go on."""
    check_remote(remote)
    received = 0
    withdrawn: tuple[Withdrawn, ...] = ()
    patience = PushBackoff()
    blocked = None
    while True:
        ours = journal.projection.tip()
        if ours is not None:
            answer = push_logs(journal.location, remote, {REGISTRY: ours})[REGISTRY]
            if answer.has:
                base = answer.before and journal.objects.resolve(answer.before)
                sent = len(journal.log.changes(base, ours, FOLDER).added) if answer.moved else 0
                return ShareResult(received, sent, withdrawn)
            blocked = answer.blocked
        if not patience.wait(blocked, tip_of(journal.location, tracking_ref(remote, REGISTRY))):
            raise BusyError("others keep pushing to this registry", where=without_secrets(remote), hint="try again")
        theirs = _fetch(journal.location, remote)
        taken = merge_remote(journal, theirs, remote)
        received, withdrawn = received + taken.received, withdrawn + taken.withdrawn
        if journal.projection.tip() == theirs:
            return ShareResult(received, 0, withdrawn)


def _fetch(location: Location, remote: str) -> str | None:
    """The remote's newest record, fetched with all it needs; None when the remote has no registry yet."""
    fetch(location, remote, (REGISTRY,))
    return tip_of(location, tracking_ref(remote, REGISTRY))


def merge_remote(journal: RegistryJournal, theirs: str | None, remote: str) -> ShareResult:
    """Merges into the own log what `theirs`, fetched from `remote`, has.

    IntegrityError, with nothing changed, when `theirs` does not follow what was taken in of this remote before.
    """
    if theirs is None:
        return ShareResult(0, 0, ())
    _refuse_diverged(journal.location, theirs, remote)
    taken = _merge(journal, theirs, remote)
    note_merged(journal.location, remote, theirs)
    return taken


def _merge(journal: RegistryJournal, theirs: str, remote: str) -> ShareResult:
    for _ in range(_TRIES):
        with journal.write_lock():
            ours = journal.projection.tip()
            if ours == theirs or (ours and _is_ancestor(journal.location, theirs, ours)):
                return ShareResult(0, 0, ())
            received = _read_events(journal, ours, theirs)
            _check_contents(journal, theirs, received)
            withdrawn: tuple[Withdrawn, ...] = ()
            if ours is None or _is_ancestor(journal.location, ours, theirs):
                new = theirs
            elif _is_public(journal.location, ours, theirs, remote):
                new = _joined(journal, ours, theirs, received)
            else:
                new, withdrawn = _replayed(journal, ours, theirs, received)
            if journal.log.move(ours, new):
                journal.projection.refresh()
                return ShareResult(len(received), 0, withdrawn)
    raise BusyError("other writers keep moving the registry", where=journal.location.folder, hint="try again")


def fast_forward(journal: RegistryJournal, theirs: str, remote: str) -> None:
    """As `merge_remote`, if `theirs` follows all that is here, so that nothing of it has to give way."""
    _refuse_diverged(journal.location, theirs, remote)
    ours = journal.projection.tip()
    if ours is None or _is_ancestor(journal.location, ours, theirs):
        merge_remote(journal, theirs, remote)


def diverged_remotes(location: Location) -> list[str]:
    """What remotes were set to that does not follow what was taken in of them, in words, one for each."""
    found = []
    for ref, theirs in tracked(location, REGISTRY).items():
        remote = ref.split("/")[3]
        taken = tip_of(location, merged_ref(remote, REGISTRY))
        refused = tip_of(location, refused_ref(remote, REGISTRY))
        if refused is None and taken is not None and not _is_ancestor(location, taken, theirs):
            refused = theirs
        if refused is not None:
            found.append(f"{remote}: its registry was at {taken} and was set to {refused}, which does not follow it")
    return found


def _refuse_diverged(location: Location, theirs: str, remote: str) -> None:
    """IntegrityError when the remote's log was replaced, or set back; the tracking ref is as it was before."""
    taken = tip_of(location, merged_ref(remote, REGISTRY))
    if taken is None or taken == theirs or _is_ancestor(location, taken, theirs):
        return
    move_refs(location, {tracking_ref(remote, REGISTRY): taken, refused_ref(remote, REGISTRY): theirs})
    raise IntegrityError(
        f"the registry was at {taken[:12]} and is at {theirs[:12]} now, which does not follow it: what was published is changed",
        where=without_secrets(remote),
        hint="nothing was taken in: ask who pushed it; `gitml push` repairs one that was only set back, "
        f"`git update-ref -d {merged_ref(remote, REGISTRY)}` accepts another one",
    )


def _read_events(journal: RegistryJournal, known: str | None, tip: str) -> list[Event]:
    """The events that `tip` has and `known` has not, each checked."""
    added = journal.log.changes(known, tip, FOLDER).added
    contents = journal.objects.read_many([oid for _, oid in added])
    events = [event_from_bytes(data, path) for (path, _), (_, data) in zip(added, contents, strict=True)]
    return sorted(events, key=lambda event: (event.at, event.id))


def _check_contents(journal: RegistryJournal, tip: str, events: Sequence[Event]) -> None:
    """IntegrityError when a publication does not come with the content it names."""
    for event in events:
        if event.kind == PUBLISH and event.version is not None:
            path = content_path(event.module, event.version)
            found = journal.objects.resolve(f"{tip}:{path}")
            if found != event.content[len(CONTENT) :]:
                raise IntegrityError(
                    f"the remote's {event.module} {event.version} is not the content its event names", where=path
                )


def _replayed(
    journal: RegistryJournal, ours: str, theirs: str, received: Sequence[Event]
) -> tuple[str, tuple[Withdrawn, ...]]:
    """Own events as new records behind `theirs`, not yet part of the log: (the last record, what was refused)."""
    own = _read_events(journal, theirs, ours)
    mine = {event.id for event in own}
    states: dict[str, ModuleState] = {}
    tip = theirs
    newest = _newest(journal, theirs, received, mine)
    withdrawn: list[Withdrawn] = []
    lost: set[tuple[str, str | None]] = set()
    for event in own:
        if event.module not in states:
            base = [e for e in journal.projection.events(event.module) if e.id not in mine]
            base += [e for e in received if e.module == event.module]
            states[event.module] = folded(event.module, sorted(base, key=lambda e: (e.at, e.id)))
        state = states[event.module]
        event = event._replace(at=journal.next_stamp(newest))
        try:
            if (event.module, event.version) in lost or (event.module, event.default) in lost:
                raise InputError("it is about a publication that was withdrawn")
            known = _check_again(state, event)
        except InputError as error:
            withdrawn.append(Withdrawn(event, error.message))
            if event.kind == PUBLISH:
                lost.add((event.module, event.version))
            continue
        if known:
            continue
        trees = {}
        if event.kind == PUBLISH and event.version is not None:
            trees[content_path(event.module, event.version)] = event.content[len(CONTENT) :]
        keeps = journal.objects.header(event.commit) if event.commit else None
        tip = journal.compose(tip, RegistryEntry(event, trees, (event.commit,) if keeps else ()))
        apply(state, event)
        newest = event.at
    return tip, tuple(withdrawn)


def _check_again(state: ModuleState, event: Event) -> bool:
    """Whether the event is there already in effect; InputError when the rules refuse it now."""
    if event.kind == PUBLISH:
        assert event.version is not None
        interface = interface_from_json(event.interface)
        tree = event.content[len(CONTENT) :]
        if check_publication(state, event.version, tree, interface, allow_breaking=event.breaking).known:
            return True
    check_event(state, event)
    return False


def _newest(journal: RegistryJournal, theirs: str, received: Sequence[Event], mine: set[str]) -> str:
    """The time of the last event at `theirs`."""
    last = max((event.at for event in received), default="")
    query = "SELECT at, id FROM event ORDER BY at DESC LIMIT ?"
    rows = journal.projection.query(lambda db: db.execute(query, (len(mine) + 1,)).fetchall())
    known: list[str] = [at for at, id in rows if id not in mine]
    return max([last, *known])


def _joined(journal: RegistryJournal, ours: str, theirs: str, received: Sequence[Event]) -> str:
    """One record that holds what both lines do; IntegrityError when they have one version with two contents."""
    files = {event.file: event_as_bytes(event) for event in received}
    trees: dict[str, str] = {}
    for event in received:
        if event.kind != PUBLISH or event.version is None:
            continue
        path, tree = content_path(event.module, event.version), event.content[len(CONTENT) :]
        there = journal.objects.resolve(f"{ours}:{path}")
        if there not in (None, tree):
            raise IntegrityError(
                f"{event.module} {event.version} has one content here and another there, and both are published",
                where=path,
                hint="two remotes disagree: keep one of them, and publish the other's content as another version",
            )
        if there is None:
            trees[path] = tree
    return journal.log.compose(ours, files, "join two lines", (theirs,), trees=trees, sign=journal.signs)


def _is_public(location: Location, ours: str, theirs: str, remote: str) -> bool:
    """Whether one of the own records that `theirs` lacks was fetched from, or sent to, another remote."""
    own = git(location, "rev-list", "--first-parent", ours, f"^{theirs}").decode("ascii").split()
    tips = [tip for ref, tip in tracked(location, REGISTRY).items() if ref != tracking_ref(remote, REGISTRY)]
    return any(_is_ancestor(location, own[-1], tip) for tip in tips)


def _is_ancestor(location: Location, one: str, other: str) -> bool:
    _, stderr, code = git_status(location, "merge-base", "--is-ancestor", one, other)
    if code not in (0, 1):
        raise IntegrityError(f"the registry's log can't be read: {stderr.decode(errors='replace').strip()}")
    return code == 0
