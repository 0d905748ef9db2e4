"""Deleting the objects that nothing names. It may be killed anywhere: objects are deleted one at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Set
from contextlib import suppress
from typing import NamedTuple

from gitml.core.model.digest import Digest
from gitml.core.model.tree import HEADER, decode_tree
from gitml.errors import Guard, IntegrityError
from gitml.files import opened
from gitml.store.local.disk import LOOK, is_untouched
from gitml.store.local.object_folder import ObjectFolder


class SweepResult(NamedTuple):
    """Objects and bytes deleted (or that would be), kept, and temporaries removed with their bytes."""

    objects: int
    bytes: int
    kept: int
    kept_bytes: int
    temporaries: int
    temporary_bytes: int


def sweep(store: ObjectFolder, keep: Set[Digest], dry_run: bool = False) -> SweepResult:
    """Deletes every object that `keep` does not name, itself or through a Tree. The quarantine is never touched.

    Only under the exclusive gc lock: nothing that runs may be between taking an object and naming it. IntegrityError,
    with nothing deleted, when a kept listing is damaged, for what it keeps is not known.
    """
    kept = reachable(store, keep)
    count = size = kept_count = kept_size = 0
    for digest, bytes_ in list(store.iterate()):
        if digest in kept:
            kept_count += 1
            kept_size += bytes_
            continue
        count += 1
        size += bytes_
        if not dry_run:
            store.delete(digest)
    if dry_run:
        usage = store.usage()
        return SweepResult(count, size, kept_count, kept_size, usage.temporaries, usage.temporary_bytes)
    return SweepResult(count, size, kept_count, kept_size, *store.sweep_temporaries(older_than=0))


def delete(store: ObjectFolder, digests: Iterable[Digest]) -> tuple[int, int]:
    """Deletes just these objects, under the exclusive gc lock; how many were here, and their bytes."""
    count = size = 0
    for digest in digests:
        bytes_ = store.size_of(digest)
        if bytes_ is not None:
            store.delete(digest)
            count += 1
            size += bytes_
    return count, size


def reachable(store: ObjectFolder, roots: Set[Digest]) -> set[Digest]:
    """The roots and all that the Trees among them name. What looks like a Tree is taken for one: that keeps more, never less."""
    found = set(roots)
    waiting = [(digest, False) for digest in roots]
    while waiting:
        digest, is_tree = waiting.pop()
        if not is_tree and not _may_be_tree(store.path_of(digest)):
            continue
        why = store.check(digest)
        if why == "missing":
            continue
        if why is not None:
            raise IntegrityError(
                f"{digest} is damaged, and what it keeps is not known: {why}",
                where=store.path_of(digest),
                hint="`gitml fsck --repair` first; nothing was deleted",
            )
        try:
            entries = decode_tree(store.read(digest))
        except ValueError:
            continue  # a file that happens to begin like a listing
        for entry in entries:
            if entry.digest not in found:
                found.add(entry.digest)
                if entry.kind == "d":
                    waiting.append((entry.digest, True))
    return found


def _may_be_tree(path: str) -> bool:
    """Whether an object begins like a listing, or was touched, so that this is not known."""
    with Guard(path), suppress(FileNotFoundError), opened(path, LOOK) as fd:
        return not is_untouched(os.fstat(fd)) or os.read(fd, len(HEADER)) == HEADER
    return False
