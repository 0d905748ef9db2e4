"""Checking what the store holds. Finding changes nothing; repairing quarantines what is bad and deletes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from gitml.core.model.digest import PREFIX, Digest, from_hex, parse_digest
from gitml.core.model.tree import decode_tree, tree_size
from gitml.errors import Guard
from gitml.store.local import disk
from gitml.store.local.object_folder import MAX_DEPTH, ObjectFolder, is_object_name


class StoreFault(NamedTuple):
    """What is wrong with one thing: `name` is a Digest or, for what is no object, a path; `what` is for people.

    Kinds: ``corrupt`` its bytes are not those of its Digest; ``touched`` its bytes are right but its mode or time was
    changed; ``foreign`` a file that is no object lies among them; ``missing``, ``size``, ``unparsable`` what a Tree names
    is not here, is of another size, or a listing is none.
    """

    kind: str
    name: str
    what: str


def check_objects(
    store: ObjectFolder, deep: bool = False, report: Callable[[int, int], None] | None = None
) -> Iterator[StoreFault]:
    """Faults of the objects themselves. Hashes the small and the touched, with `deep` all.

    `report` is called with the objects and bytes looked at so far.
    """
    count = total = 0
    if os.path.lexists(store.objects):
        with Guard(store.objects):
            top = sorted(os.listdir(store.objects))
        known = {folder.name for folder in store.folders()} | {"tmp"}
        for name in top:
            if name not in known:
                yield StoreFault("foreign", f"{store.objects}/{name}", "no folder of objects")
    for folder in store.folders():
        with Guard(folder.path):
            names = sorted(os.listdir(folder.path))
        for name in names:
            path = f"{folder.path}/{name}"
            if not is_object_name(folder.name, name):
                yield StoreFault("foreign", path, "its name is not that of an object")
                continue
            digest = from_hex(folder.name + name)
            with Guard(path):
                try:
                    found = os.lstat(path)
                except FileNotFoundError:  # quarantined by a run meanwhile
                    continue
                untouched = disk.is_untouched(found)
                hash_it = deep or not untouched or found.st_size <= disk.SMALL
                why = store.check(digest) if hash_it else None
            if why is not None:
                yield StoreFault("corrupt", digest, why)
            elif not untouched:
                yield StoreFault("touched", digest, "its content is right, but its mode or time was changed")
            count += 1
            total += found.st_size
            if report is not None:
                report(count, total)


def check_tree(store: ObjectFolder, digest: Digest, size: int | None = None) -> Iterator[StoreFault]:
    """Faults of a Tree that a record names: listings that are none, and content that is missing or of another size."""
    yield from _check_tree(store, digest, size, "", set(), 0)


def _check_tree(
    store: ObjectFolder, digest: Digest, size: int | None, inside: str, seen: set[Digest], depth: int
) -> Iterator[StoreFault]:
    if digest in seen:
        return
    seen.add(digest)
    place = f" (for {inside})" if inside else ""
    why = store.check(digest)
    if why is not None:
        yield StoreFault("missing" if why == "missing" else "corrupt", digest, f"a listing{place}: {why}")
        return
    try:
        entries = decode_tree(store.read(digest))
    except ValueError as error:
        yield StoreFault("unparsable", digest, f"not a listing{place}: {error}")
        return
    if depth > MAX_DEPTH:
        yield StoreFault("unparsable", digest, f"more than {MAX_DEPTH} folders deep")
        return
    if size is not None and tree_size(entries) != size:
        yield StoreFault("size", digest, f"{tree_size(entries)} bytes, not {size}{place}")
    for entry in entries:
        name = os.fsdecode(entry.name)
        path = f"{inside}/{name}" if inside else name
        if entry.kind == "d":
            yield from _check_tree(store, entry.digest, entry.size, path, seen, depth + 1)
            continue
        found = store.size_of(entry.digest)
        if found is None:
            yield StoreFault("missing", entry.digest, f"for {path}")
        elif found != entry.size:
            yield StoreFault("size", entry.digest, f"{found} bytes, not {entry.size} (for {path})")


def repair_object(store: ObjectFolder, fault: StoreFault) -> str:
    """Repairs a fault where that needs no content; returns what was done, in words."""
    if fault.kind == "foreign":
        store.set_aside(fault.name, os.path.basename(fault.name), f"foreign: {fault.what}")
        return "moved to the quarantine"
    if fault.name.startswith(PREFIX) and fault.kind in ("corrupt", "touched"):
        digest = parse_digest(fault.name)
        return "its mode and time are restored" if store.verify(digest) else "moved to the quarantine"
    return "to be fetched, or made by running its step again"
