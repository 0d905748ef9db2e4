"""`gitml gc` and `gitml du`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitml.cli.session import WHEN_ASKED, Session, as_data, verb
from gitml.cli.text.format import columns, count, size
from gitml.cli.text.terminal import safe
from gitml.errors import InputError

if TYPE_CHECKING:
    from gitml.maintenance.gc import KeepPolicy


@verb("gc", json=True, reaches=WHEN_ASKED)
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option(
    "--keep-last", type=click.IntRange(0), metavar="N", help="Keep the outputs of the newest N runs of each pipeline."
)
@click.option("--keep-since", metavar="DATE", help="Keep the outputs of runs since: 2026-07-01, 30d, 8w.")
@click.option(
    "--keep-outputs",
    "outputs",
    metavar="GLOB",
    multiple=True,
    help="Keep outputs that match STEP.PORT; may be repeated.",
)
@click.option("--keep-failed", metavar="TIME", help="Keep what failed steps left this long; default 14d, 0 for none.")
@click.option(
    "--environments",
    metavar="TIME",
    help="Remove environments and images too that no step used for so long: 90d, 0 for all.",
)
@click.option("--caches", metavar="TIME", help="Remove caches of steps too that none used for so long: 30d, 0 for all.")
@click.option("--remote", metavar="NAME", help="Remove from this remote store instead of the one here.")
@click.option(
    "--grace", metavar="TIME", help="With --remote: how long something must be unneeded before it goes; default 14d."
)
def command(
    session: Session,
    dry_run: bool,
    keep_last: int | None,
    keep_since: str | None,
    outputs: tuple[str, ...],
    keep_failed: str | None,
    environments: str | None,
    caches: str | None,
    remote: str | None,
    grace: str | None,
) -> None:
    """Remove from the store what no kept run needs.

    Without a policy everything that a recorded run names is kept. Runs of commits that a branch or tag names, and runs
    with the tag `pinned`, always keep their outputs; the records of runs are never removed. What failed and cancelled
    steps left of their outputs stays 14 days. Environments and images, which all repositories of a user share, stay unless
    --environments says for how long they must have been unused; so do caches of steps, of all repositories, and --caches.

    With --remote the same of a remote store, by everyone's records, which are fetched first. What is unneeded is marked
    there, and removed the next time once the grace has passed, so that uploads under way lose nothing.
    """
    from gitml.engine.journal import partial_outputs
    from gitml.history.time_format import parse_time
    from gitml.maintenance.gc import KeepPolicy, collect, remove_caches, remove_environments

    since = parse_time(keep_since, session.ws.now()) if keep_since is not None else None
    stays = partial_outputs.STAYS if keep_failed is None else _seconds(session, keep_failed, "--keep-failed")
    policy = KeepPolicy(keep_last, since, outputs, stays)
    unused = None if environments is None else _seconds(session, environments, "--environments")
    idle = None if caches is None else _seconds(session, caches, "--caches")
    if remote is not None:
        if unused is not None or idle is not None:
            raise InputError(f"--{'caches' if unused is None else 'environments'} goes without --remote")
        session.reach()
        _collect_remote(session, remote, policy, grace, dry_run)
        return
    if grace is not None:
        raise InputError("--grace goes with --remote")
    runs = len(partial_outputs.expired(session.ws, stays))
    swept = collect(session.ws, policy, dry_run)
    built = None if unused is None else remove_environments(session.ws, unused, dry_run=dry_run)
    gone = None if idle is None else remove_caches(session.ws, idle, dry_run=dry_run)
    session.result(
        {
            "dry_run": dry_run,
            **swept._asdict(),
            "failed_runs": runs,
            "environments": 0 if built is None else built.folders,
            "environment_bytes": 0 if built is None else built.bytes,
            "caches": len(gone or ()),
            "cache_bytes": sum(cache.bytes for cache in gone or ()),
        }
    )
    done = "would remove" if dry_run else "removed"
    session.show(f"{done} {count(swept.objects, 'object')}, {size(swept.bytes)}")
    if runs:
        session.show(f"{done} what steps of {count(runs, 'failed run')} left of their outputs")
    if swept.temporaries:
        session.show(f"{done} {count(swept.temporaries, 'temporary file')}, {size(swept.temporary_bytes)}")
    if built is not None:
        session.show(f"{done} {count(built.folders, 'environment')}, {size(built.bytes)}")
    if gone is not None:
        session.show(f"{done} {count(len(gone), 'cache')} of steps, {size(sum(cache.bytes for cache in gone))}")
    session.remark(f"kept {count(swept.kept, 'object')}, {size(swept.kept_bytes)}")


def _seconds(session: Session, text: str, option: str) -> float:
    """A time such as 14d, 12h or 0."""
    from gitml.history.time_format import parse_time

    now = session.ws.now()
    try:
        seconds = 0.0 if text == "0" else now - parse_time(text, now)
    except InputError:
        seconds = -1.0
    if seconds < 0:
        raise InputError(f"not a time such as 14d or 12h: {text[:40]!r}", where=option)
    return seconds


def _collect_remote(session: Session, name: str, policy: KeepPolicy, grace: str | None, dry_run: bool) -> None:
    from gitml.maintenance.remote_gc import GRACE, collect_remote

    seconds = GRACE if grace is None else _seconds(session, grace, "--grace")
    swept = collect_remote(session.ws, name, policy, grace=seconds, dry_run=dry_run)
    session.result({"dry_run": dry_run, "remote": name, **swept._asdict()})
    done = "would remove" if dry_run else "removed"
    session.show(f"{done} {count(swept.deleted, 'object')}, {size(swept.deleted_bytes)}, from {safe(name)}")
    if swept.doomed:
        phrase = "would be marked" if dry_run else "are marked"
        what = f"{count(swept.doomed, 'object')}, {size(swept.doomed_bytes)}"
        session.show(f"{what}, {phrase}: they go when gc is run again after the grace and nothing needs them")
    session.remark(f"kept {count(swept.kept, 'object')}, {size(swept.kept_bytes)}")


@verb("du", json=True)
def du(session: Session) -> None:
    """Show how much disk space gitml uses for this repository, and for what."""
    from gitml.maintenance.gc import caches_of, usage

    rooms = usage(session.ws)
    rows = [[size(room.bytes), f"{room.items:,}", room.what] for room in rooms]
    session.result({"place": session.ws.root, "rooms": as_data(rooms)}, *columns(rows, right=frozenset((0, 1))))
    session.remark(f"in {session.ws.root}; `gitml gc -n` lists what could go")
    session.remark(
        *(f"cache {safe(kept.name)}, {size(kept.bytes)}: {safe(kept.folder)}" for kept in caches_of(session.ws))
    )
