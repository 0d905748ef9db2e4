"""Records between clones: fetch merges what others recorded, push sends what was recorded here, by Git alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from gitml.errors import BusyError, IntegrityError
from gitml.git.integrity.repairs import announce
from gitml.git.log import transport
from gitml.git.log.remote_refs import (
    LOGS,
    REGISTRY,
    RUNS,
    check_remote,
    default_remote,
    log_ref,
    tip_of,
    tracking_ref,
    without_secrets,
)
from gitml.git.progress import Watch as Watch
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.modules.registry_merge import Withdrawn
    from gitml.records.validation import RejectedRecord


class WithdrawnEvent(NamedTuple):
    """An event of the registry that was made here and contradicts what the remote has."""

    module: str
    version: str | None
    event: str
    why: str


def withdrawn_events(withdrawn: Iterable[Withdrawn]) -> tuple[WithdrawnEvent, ...]:
    """What the registry says of the events that it withdrew, as values without it."""
    return tuple([WithdrawnEvent(w.event.module, w.event.version, w.event.kind, w.why) for w in withdrawn])


class SyncResult(NamedTuple):
    """What came of a fetch from or push to `remote` (never with a password in it): runs and events of the registry, each way."""

    remote: str
    runs_received: int = 0
    events_received: int = 0
    runs_sent: int = 0
    events_sent: int = 0
    refused: tuple[RejectedRecord, ...] = ()
    withdrawn: tuple[WithdrawnEvent, ...] = ()

    def plus(self, other: SyncResult) -> SyncResult:
        """Both together, of the same remote."""
        sums = [ours + theirs for ours, theirs in zip(self[1:], other[1:], strict=True)]  # type: ignore[operator]
        return SyncResult(self.remote, *sums)


def fetch(
    ws: Workspace, remote: str | None = None, *, terminal: bool = False, watch: Watch | None = None
) -> SyncResult:
    """Fetches the runs and registry events of `remote` and merges them into those here.

    `remote` is a name, URL or path; None means the usual one. With `terminal` the user may be asked for a password there.
    """
    remote = resolve_remote(ws, remote)
    line = transport.RemoteIO(terminal, watch)
    _fetched(ws, remote, line)
    return _taken(ws, remote)


def push(ws: Workspace, remote: str | None = None, *, terminal: bool = False, watch: Watch | None = None) -> SyncResult:
    """Sends the records that `remote` lacks; where others came first, takes theirs in before. Nobody's records are lost.

    BusyError when others keep coming first for five minutes. Other arguments as for `fetch`.
    """
    remote = resolve_remote(ws, remote)
    ws.index  # noqa: B018 - opening it heals the log's ref, which is read here by its file
    line = transport.RemoteIO(terminal, watch)
    result = SyncResult(without_secrets(remote))
    patience = transport.PushBackoff()
    tips = {log: tip for log in LOGS if (tip := tip_of(ws.location, log_ref(log)))}
    if not tips:
        _fetched(ws, remote, line)
        return _taken(ws, remote)
    _refuse_what_none_takes(ws, remote, tips)
    while True:
        answers = transport.push_logs(ws.location, remote, tips, line)
        for log, answer in answers.items():
            if answer.moved:
                base = answer.before and ws.objects.resolve(answer.before)
                sent = _count(ws, log, base, tips[log])
                result = result.plus(
                    SyncResult("", runs_sent=sent) if log == RUNS else SyncResult("", events_sent=sent)
                )
        late = [log for log, answer in answers.items() if not answer.has]
        if not late:
            return result
        blocked = next((answers[log].blocked for log in late if answers[log].blocked), None)
        seen = " ".join(str(tip_of(ws.location, tracking_ref(remote, log))) for log in late)
        if not patience.wait(
            blocked, seen
        ):  # and only then look what they pushed: it is to be the newest when we are next
            raise BusyError("others keep pushing to it", where=result.remote, hint="try again")
        _fetched(ws, remote, line)
        result = result.plus(_taken(ws, remote))
        tips = _to_send(ws, remote, late)
        if not tips:
            return result


class PushPreview(NamedTuple):
    """What a push to `remote` would send, and about how many bytes; and what it would take in before."""

    remote: str
    runs: int
    events: int
    bytes: int
    runs_received: int
    events_received: int


def preview_push(ws: Workspace, remote: str | None = None, *, terminal: bool = False) -> PushPreview:
    """Looks at what `push` would do. What the remote has is fetched into its private refs, and nothing is sent."""
    remote = resolve_remote(ws, remote)
    _fetched(ws, remote, transport.RemoteIO(terminal))
    size = 0
    counts: dict[str, tuple[int, int]] = {}
    for log in LOGS:
        ours, theirs = tip_of(ws.location, log_ref(log)), tip_of(ws.location, tracking_ref(remote, log))
        counts[log] = (_count(ws, log, theirs, ours), _count(ws, log, ours, theirs))
        if ours is not None and counts[log][0]:
            size += transport.push_size(ws.location, remote, log, ours)
    runs, events = counts[RUNS], counts[REGISTRY]
    return PushPreview(without_secrets(remote), runs[0], events[0], size, runs[1], events[1])


def resolve_remote(ws: Workspace, remote: str | None) -> str:
    """The remote that is meant; InputError when it can be none, or none is named and none goes without saying."""
    if remote is None:
        return default_remote(ws.location)
    check_remote(remote)
    return remote


def _fetched(ws: Workspace, remote: str, line: transport.RemoteIO) -> None:
    """Fetches both logs. A log of runs that lost some is said: what is here keeps them."""
    before = tip_of(ws.location, tracking_ref(remote, RUNS))
    transport.fetch(ws.location, remote, LOGS, line)
    after = tip_of(ws.location, tracking_ref(remote, RUNS))
    if before is None or before == after or ws.objects.header(before) is None:
        return
    lost = _count(ws, RUNS, after, before)
    if lost:
        runs = "1 run" if lost == 1 else f"{lost:,} runs"
        to = after[:12] if after else "nothing"
        announce(
            f"the log of runs of {without_secrets(remote)} was at {before[:12]} and was set to {to}, without {runs} that it had:"
            " they stay here, and gitml push sends them again"
        )


def _taken(ws: Workspace, remote: str) -> SyncResult:
    """What was fetched of `remote`, made part of what is here."""
    result = SyncResult(without_secrets(remote))
    if tip_of(ws.location, tracking_ref(remote, RUNS)) != ws.records.tip():
        for united in ws.merge_fetched():
            result = result.plus(SyncResult("", runs_received=united.runs, refused=united.refused))
        ws.records.maintain()
    theirs = tip_of(ws.location, tracking_ref(remote, REGISTRY))
    if theirs is not None and theirs != tip_of(ws.location, log_ref(REGISTRY)):
        from gitml.modules.registry_merge import merge_registry

        taken = merge_registry(ws.location, ws.objects, remote, theirs)
        withdrawn = withdrawn_events(taken.withdrawn)
        result = result.plus(SyncResult("", events_received=taken.received, withdrawn=withdrawn))
    return result


def _to_send(ws: Workspace, remote: str, logs: list[str]) -> dict[str, str]:
    """The tips of `logs` that the remote lacks, each following what it has."""
    tips: dict[str, str] = {}
    for log in logs:
        theirs = tip_of(ws.location, tracking_ref(remote, log))
        ours = tip_of(ws.location, log_ref(log))
        if log == RUNS and theirs is not None:
            from gitml.records.merge import merge_for_push

            ours = merge_for_push(ws.records, theirs)
        if ours is not None and ours != theirs:
            tips[log] = ours
    return tips


def _refuse_what_none_takes(ws: Workspace, remote: str, tips: Mapping[str, str]) -> None:
    """IntegrityError for a record that every clone would refuse: it would be refused at each fetch from then on."""
    theirs = tip_of(ws.location, tracking_ref(remote, RUNS))
    if RUNS not in tips or tips[RUNS] == theirs:
        return
    from gitml.records.validation import first_too_large

    bad = first_too_large(ws.objects, ws.records.difference(theirs, tips[RUNS]).added())
    if bad is not None:
        raise IntegrityError(
            f"run {bad.path[-16:-8]} can't be sent: {bad.why}, and no clone takes that in",
            where=bad.path,
            hint="an older gitml recorded it; run it again with this one, in a clone that lacks the record",
        )


def _count(ws: Workspace, log: str, known: str | None, tip: str | None) -> int:
    """How many runs or events a log has at `tip` and not at `known`."""
    if tip is None or tip == known:
        return 0
    if log == REGISTRY:
        from gitml.modules.registry_merge import events_between

        return events_between(ws.objects, known, tip)
    return sum(item.path.endswith("/run.json") for item in ws.records.difference(known, tip).added())
