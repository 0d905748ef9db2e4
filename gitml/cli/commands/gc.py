"""`gitml gc`."""

from __future__ import annotations

import click

from gitml.cli.session import Session, verb
from gitml.cli.words import count, size


@verb("gc", json=True)
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would go, and remove nothing.")
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
def command(
    session: Session, dry_run: bool, keep_last: int | None, keep_since: str | None, outputs: tuple[str, ...]
) -> int:
    """Remove from the store what no kept run needs.

    Without a policy everything that a recorded run names is kept. Runs of commits that a branch or tag names, and runs
    with the tag `pinned`, always keep their outputs; the records of runs are never removed.
    """
    from gitml.flow.hygiene import KeepPolicy, collect
    from gitml.history.since import moment_of

    since = moment_of(keep_since, session.ws.now()) if keep_since is not None else None
    swept = collect(session.ws, KeepPolicy(keep_last, since, outputs), dry_run)
    if session.json:
        session.show_json({"dry_run": dry_run, **swept._asdict()})
        return 0
    done = "would remove" if dry_run else "removed"
    session.show(f"{done} {count(swept.objects, 'object')}, {size(swept.bytes)}")
    if swept.temporaries:
        session.show(f"{done} {count(swept.temporaries, 'temporary file')}, {size(swept.temporary_bytes)}")
    session.note(f"kept {count(swept.kept, 'object')}, {size(swept.kept_bytes)}")
    return 0
