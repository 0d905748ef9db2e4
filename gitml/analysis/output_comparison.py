"""Comparing two outputs: the same, or which files differ and where first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gitml.core.model.digest import Digest
from gitml.core.model.result import OutputRef
from gitml.core.model.tree import TreeEntry
from gitml.errors import IntegrityError
from gitml.store.local.store import LocalStore
from gitml.transfer.availability import Availability

CHUNK = 1 << 20


class FileDifference(NamedTuple):
    """A file (``""``: the output itself) that differs; `what` says how and where first, in words."""

    path: str
    what: str


def compare_outputs(store: LocalStore, available: Availability, one: OutputRef, two: OutputRef) -> list[FileDifference]:
    """How output `two` differs from `one`; empty when they are the same bytes."""
    if one.digest == two.digest and one.executable == two.executable:
        return []
    if one.is_tree != two.is_tree:
        return [FileDifference("", f"{one.kind} became {two.kind}")]
    if not available.has(one) or not _brought(available, one):
        which = f"{one.digest[7:19]} became {two.digest[7:19]}"
        return [FileDifference("", f"other bytes ({which}; the first {available.absence()})")]
    if one.is_tree:
        return list(_trees(store, one.digest, two.digest, ""))
    return [FileDifference("", _files(store, one.digest, two.digest))]


def _brought(available: Availability, output: OutputRef) -> bool:
    """Puts an output into the Store, from wherever it is; whether it is there now."""
    if not available.bring_inline([output]):
        return True
    from gitml.core.model.stop_signal import StopSignal
    from gitml.transfer.download import bring

    return not bring(available.ws, [output], lambda _: None, StopSignal()).lost


def _trees(store: LocalStore, one: Digest, two: Digest, prefix: str) -> Iterator[FileDifference]:
    before = {entry.name: entry for entry in store.listing(one)}
    after = {entry.name: entry for entry in store.listing(two)}
    for name in sorted({*before, *after}):
        path = prefix + name.decode("utf-8", "surrogateescape")
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            yield FileDifference(path, "is new" if old is None else "is missing")
        elif old != new:
            yield from _entries(store, old, new, path)


def _entries(store: LocalStore, old: TreeEntry, new: TreeEntry, path: str) -> Iterator[FileDifference]:
    if old.kind == new.kind == "d":
        yield from _trees(store, old.digest, new.digest, path + "/")
    elif old.kind != new.kind:
        yield FileDifference(path, f"kind {old.kind} became {new.kind}")
    else:
        yield FileDifference(path, _files(store, old.digest, new.digest))


def _files(store: LocalStore, one: Digest, two: Digest) -> str:
    """Where two different files first differ, by byte and, in text, by line."""
    if one == two:
        return "only the executable bit differs"
    offset, line, text = 0, 1, True
    try:
        with store.open(one) as first, store.open(two) as second:
            while True:
                a, b = first.read(CHUNK), second.read(CHUNK)
                text = text and b"\0" not in a
                if a != b:
                    shared = next(
                        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
                    )
                    line += a[:shared].count(b"\n")
                    place = f"byte {offset + shared:,}" + (f", line {line:,}" if text else "")
                    return f"differs first at {place}"
                if not a:
                    raise IntegrityError(
                        "two stored objects of different names hold the same bytes", where=f"{one} {two}"
                    )
                offset += len(a)
                line += a.count(b"\n")
    except IntegrityError as error:
        return f"can't be compared: {error.message}"
