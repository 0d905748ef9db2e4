"""`gitml lock`."""

from __future__ import annotations

import click

from gitml.cli.errors import DONE, FAILED
from gitml.cli.session import ALWAYS, Session, verb
from gitml.cli.text.terminal import safe


@verb("lock", json=True, reaches=ALWAYS)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--upgrade", is_flag=True, help="Resolve again: the named modules and images, or all.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when gitml.lock is not what it should be.")
def command(session: Session, names: tuple[str, ...], upgrade: bool, check: bool) -> int:
    """Write gitml.lock: the version and content that each module in the pipelines means, and the digest of each image.

    Runs obey it, so a module that is published or made the default later, or a tag of an image that is moved, changes nothing
    until --upgrade. What the lock has already stays as it is.
    """
    from gitml.analysis.lock import resolve_lock, write_lock
    from gitml.errors import InputError

    if names and not upgrade:
        raise InputError("names go with --upgrade", where=" ".join(names)[:80], hint="gitml lock --upgrade NAME")
    locked = resolve_lock(session.ws, None if upgrade and not names else names, lenient=not check, ask=not check)
    session.warn(*locked.warnings)
    modules = {use: entry._asdict() for use, entry in locked.entries.items()}
    session.result(
        {"modules": modules, "images": locked.images, "changes": list(locked.changes)}, *map(safe, locked.changes)
    )
    if check:
        if locked.changes:
            session.note("gitml.lock is not what it should be: gitml lock writes it")
        return FAILED if locked.changes else DONE
    if locked.changes:
        path = write_lock(session.ws, locked.entries, locked.images)
        session.note(f"wrote {safe(path)}")
    else:
        session.remark("gitml.lock is as it should be")
    return DONE
