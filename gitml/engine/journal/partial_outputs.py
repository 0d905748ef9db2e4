"""What failed and cancelled steps left of their outputs, and how long it stays: ``partial/<run>.json`` names it for gc.

It is no part of any result: records name it by digest, no plan reuses it, and no push uploads it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from gitml import layout
from gitml.core.model.digest import Digest, parse_digest
from gitml.core.records.record import DAYS_PARTIAL_STAYS, Run
from gitml.errors import MachineError
from gitml.store.local import disk
from gitml.workspace import Workspace

FORMAT = 1
STAYS = DAYS_PARTIAL_STAYS * 86400.0


class PartialOutputNote(NamedTuple):
    """What the steps of one run left: its Digests, since when (seconds since 1970), and the file that says so."""

    digests: tuple[Digest, ...]
    since: float
    path: str


def note(ws: Workspace, run: Run) -> None:
    """Has gc keep what the steps of `run` left. On a full disk gc may remove it at once: the record comes first."""
    digests = dict.fromkeys(ref.digest for step in run.steps for ref in step.partial().values())
    if not digests:
        return
    content = json.dumps({"format": FORMAT, "since": run.ended, "digests": list(digests)}).encode()
    with suppress(OSError, MachineError):
        ws.sharing.make_folder(_folder(ws))
        path = os.path.join(_folder(ws), f"{run.id}.json")
        disk.write_whole(path, content, durable=True)
        ws.sharing.open_up(path)


def all_noted(ws: Workspace) -> Iterator[PartialOutputNote]:
    """What is noted, of every run. A note that can't be read keeps nothing."""
    try:
        names = sorted(os.listdir(_folder(ws)))
    except FileNotFoundError:
        return
    for name in names:
        path = os.path.join(_folder(ws), name)
        if not name.endswith(".json"):
            continue
        try:
            with open(path, "rb") as file:
                raw = json.load(file)
            yield PartialOutputNote(
                tuple([parse_digest(digest) for digest in raw["digests"]]), float(raw["since"]), path
            )
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            yield PartialOutputNote((), 0.0, path)


def kept(ws: Workspace, stays: float) -> set[Digest]:
    """The Digests of what was left less than `stays` seconds ago."""
    return {digest for one in all_noted(ws) if ws.now() - one.since < stays for digest in one.digests}


def expired(ws: Workspace, stays: float) -> list[PartialOutputNote]:
    """What was left longer ago than that."""
    return [one for one in all_noted(ws) if ws.now() - one.since >= stays]


def drop_expired(ws: Workspace, stays: float) -> None:
    """Removes the notes of what was left longer ago than that."""
    for one in expired(ws, stays):
        with suppress(FileNotFoundError):
            os.unlink(one.path)


def _folder(ws: Workspace) -> str:
    return os.path.join(ws.root, layout.PARTIAL)
