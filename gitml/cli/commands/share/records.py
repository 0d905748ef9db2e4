"""`gitml fetch`, `pull`, `push` and `clone`: records and artifacts to and from others, with progress as it goes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gitml.cli.errors import DONE
from gitml.cli.session import ALWAYS, Session, as_data, verb
from gitml.cli.text.format import ago, count, size
from gitml.cli.text.terminal import is_terminal, safe
from gitml.cli.transfers import (
    RunFilterOptions,
    download_lines,
    forecast_lines,
    pull_artifacts,
    push_artifacts,
    run_filter_options,
    unshared_lines,
    upload_as_json,
    upload_lines,
)
from gitml.errors import InputError, IntegrityError, RemoteError
from gitml.store.index.runs import count_runs, newest_runs

if TYPE_CHECKING:
    from gitml.git.progress import Progress
    from gitml.transfer.clone import CloneResult
    from gitml.transfer.records import PushPreview, SyncResult, Watch, WithdrawnEvent

_remote_argument = click.argument("remote", required=False)
_PAUSE = 0.1


@verb("fetch", json=True)
@_remote_argument
def fetch(session: Session, remote: str | None) -> None:
    """Take in the records of runs and of the registry that a Git remote has; by default that of the branch, or origin.

    Their metrics, lineage and small outputs come with them, so steps that others ran are reused from here on.
    """
    from gitml.transfer import records

    moved = records.fetch(session.ws, remote, terminal=_can_ask(), watch=_progress_line(session))
    session.result(_sharing_as_json(moved), sharing_line(moved))
    _check_refusals(moved)


@verb("pull", json=True, reaches=ALWAYS)
@_remote_argument
@run_filter_options
@click.option("--artifacts", is_flag=True, help="Artifacts of all runs.")
def pull(session: Session, remote: str | None, choosing: RunFilterOptions, artifacts: bool) -> int:
    """Fetch the records of a Git remote, as fetch does, and download the artifacts that are asked for.

    Without such an option no artifact is downloaded: what a step or `gitml checkout` needs is fetched when it is needed. Exits
    with 6 when an artifact that was asked for can't be had.
    """
    from gitml.transfer import records

    moved = records.fetch(session.ws, remote, terminal=_can_ask(), watch=_progress_line(session))
    session.show(sharing_line(moved))
    came = None
    if artifacts or any(choosing):
        came = pull_artifacts(session, choosing.choice(session))
        session.show(*download_lines(came))
    session.result({**_sharing_as_json(moved), "artifacts": as_data(came)})
    _check_refusals(moved)
    return RemoteError.exit_code if came is not None and came.lost else DONE


@verb("push", json=True, reaches=ALWAYS)
@_remote_argument
@run_filter_options
@click.option("--no-artifacts", is_flag=True, help="Send records only.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be sent, with sizes, and send nothing.")
def push(session: Session, remote: str | None, choosing: RunFilterOptions, no_artifacts: bool, dry_run: bool) -> None:
    """Send artifacts to the remote stores of `gitml.yaml`, then the records of runs and of the registry to a Git remote.

    The Git remote is by default that of the branch, or origin. Of artifacts only what a store lacks is sent, by default of all
    runs. Where others pushed first, their records are fetched before. No record is lost, in whatever order people push. Artifacts
    that only this machine has afterwards are named.
    """
    from gitml.transfer import records
    from gitml.transfer.upload import unshared_artifacts

    def warn(text: str) -> None:
        session.warn(safe(text))

    choice = choosing.choice(session)
    if dry_run:
        from gitml.transfer.upload import forecast

        forecasts = [] if no_artifacts else forecast(session.ws, choice)
        found = records.preview_push(session.ws, remote, terminal=_can_ask())
        going = {root.digest for one in forecasts for root in one.roots}
        selection = [one.remote for one in forecasts]
        stays = [
            one for one in unshared_artifacts(session.ws, confirmed=selection, warn=warn) if one.digest not in going
        ]
        lines = [*forecast_lines(forecasts), _preview_line(found), *unshared_lines(session, stays)]
        session.result({**found._asdict(), "artifacts": as_data(forecasts), "stays": as_data(stays)}, *lines)
        return
    sent = [] if no_artifacts else push_artifacts(session, choice)
    session.show(*upload_lines(sent))
    moved = records.push(session.ws, remote, terminal=_can_ask(), watch=_progress_line(session))
    stays = unshared_artifacts(session.ws, confirmed=[one.remote for one in sent if one.confirmed], warn=warn)
    data = {**_sharing_as_json(moved), "artifacts": [upload_as_json(one) for one in sent], "stays": as_data(stays)}
    session.result(data, sharing_line(moved), *unshared_lines(session, stays))
    refused = [item for one in sent for item in one.refused]
    if refused:
        name, why = refused[0]
        raise IntegrityError(f"{name} was not sent: {why}", hint="gitml fsck --repair, then push again")
    _check_refusals(moved)


@verb("clone", json=True)
@click.argument("url")
@click.argument("folder", metavar="[DIR]", required=False)
@click.option("-b", "--branch", metavar="NAME", help="Check out this branch or tag, not the remote's own.")
@click.option("--depth", type=click.IntRange(1), metavar="N", help="Only the last N commits, as git clone --depth.")
@click.option("--filter", metavar="SPEC", help="Leave objects out until needed, as git clone --filter=blob:none.")
def clone(session: Session, **wanted: Any) -> None:
    """Clone a repository with the records of all runs: their metrics, lineage, modules and small outputs.

    Git clones, with your own configuration. From then on a plain git fetch fetches records too. Large outputs stay where they are
    until something needs them.
    """
    from gitml.transfer import clone as cloning

    cloned = cloning.clone(
        cloning.CloneRequest(**wanted),
        os.environ,
        terminal=_can_ask(),
        watch=_progress_line(session),
        prepared=session.adopt,
    )
    if cloned.others and not session.json:
        names = ", ".join(safe(name) for name in cloned.others[:4]) + (", …" if len(cloned.others) > 4 else "")
        session.warn(f"nothing is checked out: the remote's own branch has no commit; it has {names}")
    data = {"path": os.path.abspath(cloned.folder), **_sharing_as_json(cloned.moved)}
    session.result(data, *_told(cloned))
    _check_refusals(cloned.moved)


def _told(cloned: CloneResult) -> list[str]:
    """What is there, and what to do next."""
    ws, folder = cloned.ws, cloned.folder
    into = f"cloned into {safe(folder)}"
    go = f"cd {safe(folder)}" + (f"; git switch {safe(cloned.others[0])}" if cloned.others else "")
    asks = "" if ws.consent.may_run() else " (which asks first whether its steps may run here: gitml trust)"
    runs = count_runs(ws.index)
    if not runs:
        return [f"{into}; nobody has recorded a run there yet", f"next: {go}; gitml run{asks}"]
    newest = newest_runs(ws.index, limit=1)[0]
    return [
        f"{into}, with {count(runs, 'run')}; the newest is {newest.id[:8]} of {safe(newest.pipeline)},"
        f" {newest.status}, {ago(newest.started, ws.now())}",
        f"next: {go}; gitml log; gitml run{asks}",
    ]


def _can_ask() -> bool:
    """Whether somebody is there to type a password."""
    return sys.stdin is not None and sys.stdin.isatty()


def _progress_line(session: Session) -> Watch | None:
    """Who draws the progress of a transfer: one line of a terminal, nobody elsewhere."""
    if session.quiet or session.json or not is_terminal(sys.stderr):
        return None
    last = 0.0

    def draw(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        ended = progress.done == progress.total
        if now - last < _PAUSE and not ended:
            return
        last = now
        of = f" of {progress.total:,}" if progress.total else ""
        rate = f", {safe(progress.rate)}" if progress.rate else ""
        line = f"{progress.what} {progress.done:,}{of}{rate}"
        sys.stderr.write(f"\r\x1b[K{line}" + ("\r\x1b[K" if ended else ""))
        sys.stderr.flush()

    return draw


def _check_refusals(moved: SyncResult) -> None:
    """IntegrityError when records were refused, InputError when events were withdrawn."""
    if moved.refused:
        first = moved.refused[0]
        more = f", and {count(len(moved.refused) - 1, 'other')}" if len(moved.refused) > 1 else ""
        raise IntegrityError(
            f"a record is refused: {first.why}{more}", where=first.path, hint="everything else was taken in"
        )
    refuse_withdrawn(moved.withdrawn)


def refuse_withdrawn(withdrawn: Sequence[WithdrawnEvent]) -> None:
    """InputError when there is one."""
    if not withdrawn:
        return
    event = withdrawn[0]
    what = f"{event.module} {event.version}" if event.version else event.module
    more = f"; {count(len(withdrawn) - 1, 'other event')} withdrawn too" if len(withdrawn) > 1 else ""
    raise InputError(
        f"your {event.event} of {what} is withdrawn: {event.why}{more}",
        where="the registry",
        hint="publish your content as another version",
    )


def _preview_line(found: PushPreview) -> str:
    """What a push of records would do, in one line."""
    phrase = _things(found.runs, found.events)
    sent = f"would send {phrase}, about {size(found.bytes)}" if phrase else "nothing to send"
    before = _things(found.runs_received, found.events_received)
    return f"{safe(found.remote)}: {sent}" + (f", after taking in {before}" if phrase and before else "")


def _sharing_as_json(moved: SyncResult) -> dict[str, Any]:
    """What ``--json`` shows."""
    return {
        "remote": moved.remote,
        "received": {"runs": moved.runs_received, "events": moved.events_received},
        "sent": {"runs": moved.runs_sent, "events": moved.events_sent},
        "refused": as_data(moved.refused),
        "withdrawn": as_data(moved.withdrawn),
    }


def sharing_line(moved: SyncResult) -> str:
    """What came of it, in one line."""
    received = _things(moved.runs_received, moved.events_received)
    sent = _things(moved.runs_sent, moved.events_sent)
    phrase = [f"{received} received" if received else "", f"{sent} sent" if sent else ""]
    return f"{safe(moved.remote)}: " + (", ".join(filter(None, phrase)) or "everything is there already")


def _things(runs: int, events: int) -> str:
    phrase = [count(runs, "run") if runs else "", count(events, "registry event") if events else ""]
    return " and ".join(filter(None, phrase))
