"""`gitml fsck`."""

from __future__ import annotations

import click

from gitml.cli.errors import DONE
from gitml.cli.session import WHEN_ASKED, Session, verb
from gitml.cli.text.format import count
from gitml.cli.text.terminal import paint, safe
from gitml.errors import IntegrityError


@verb("fsck", json=True, reaches=WHEN_ASKED)
@click.option("--deep", is_flag=True, help="Hash every object, large ones too.")
@click.option("--repair", is_flag=True, help="Set bad copies aside and make them again; rebuild the index.")
@click.option("--remote", metavar="NAME", help="Check this remote store instead of what is here.")
@click.option(
    "--sample",
    type=click.IntRange(0),
    default=20,
    metavar="N",
    help="With --remote: read the bytes of so many objects, chosen by chance; default 20; --deep reads all.",
)
def command(session: Session, deep: bool, repair: bool, remote: str | None, sample: int) -> int:
    """Check refs, the objects of Git that HEAD, the index and runs need, the store, the records of runs and the index.

    Each fault is named; exits with 3 when one is left. No content is ever deleted: bad copies go to a quarantine. --repair
    takes what is bad here from records, the work tree, Git remotes and remote stores, or makes it again, and removes stale
    lock files of Git.

    With --remote a remote store is checked: that it has all parts of what was uploaded, and some of the bytes. --repair
    uploads again what is good here.
    """
    session.read_only = not repair
    if repair or remote is not None:
        session.reach()
    faults = []
    if remote is None:
        from gitml.maintenance.fsck import check

        found = check(session.ws, deep=deep, repair=repair)
    else:
        from gitml.maintenance.remote_gc import check_remote

        found = check_remote(session.recovered_ws, remote, sample=None if deep else sample, repair=repair)
    for fault in found:
        faults.append(fault)
        word = paint(fault.kind, "yellow" if fault.mended else "red")
        mended = f"  {paint('repaired', 'green')}: {safe(fault.mended)}" if fault.mended else ""
        session.show(f"{word}  {fault.place}  {safe(fault.name)}  {safe(fault.what)}{mended}")
    left = sum(1 for fault in faults if fault.mended is None)
    session.result({"faults": [fault._asdict() for fault in faults], "left": left})
    if not faults:
        session.remark("all is well")
    else:
        there = "" if remote is None else f" --remote {safe(remote)}"
        hint = "" if repair or not left else f"; `gitml fsck{there} --repair` repairs what can be repaired"
        session.remark(f"{count(len(faults), 'fault')}, {left} left{hint}")
    return DONE if not left else IntegrityError.exit_code
