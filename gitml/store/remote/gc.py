"""Deleting from a remote store what nothing names any more, in two steps with a grace between, since others may be uploading.

The first time something is found unneeded it is only noted there as doomed. An upload meanwhile uploads what is doomed again.
The next time, when the grace has passed, what is still unneeded and was not uploaded again is deleted.
"""

from __future__ import annotations

from collections.abc import Set
from typing import NamedTuple

from gitml.core.config.remotes import decode_manifest
from gitml.core.model.digest import Digest
from gitml.core.model.protocols import RemoteObject, SweptRemote
from gitml.errors import IntegrityError
from gitml.store.remote.cache import GcNote, RemoteCache, encode_note, gc_note


class RemoteSweepResult(NamedTuple):
    """Objects and manifests, and their bytes: deleted (or that would be), newly noted as doomed, and kept."""

    deleted: int
    deleted_bytes: int
    doomed: int
    doomed_bytes: int
    kept: int
    kept_bytes: int


def sweep_remote(
    remote: SweptRemote,
    known: RemoteCache,
    keep: Set[Digest],
    *,
    now: float,
    grace: float,
    dry_run: bool = False,
) -> RemoteSweepResult:
    """Deletes what `keep` (Blobs and Trees) does not need and was written more than `grace` seconds before `now`.

    IntegrityError, with nothing deleted, when a kept Tree's manifest can't be read: what it needs is not known.
    """
    listed = list(remote.listed())
    needed = _needed(remote, keep, {item.digest for item in listed if item.manifest})
    before = gc_note(remote, known)
    due: list[RemoteObject] = []
    waiting: list[RemoteObject] = []
    kept: list[RemoteObject] = []
    for item in listed:
        if item.digest in (keep if item.manifest else needed) or item.written > now - grace:
            kept.append(item)
        elif grace <= 0 or before.doomed.get(item.digest, now) <= now - grace:
            due.append(item)
        else:
            waiting.append(item)
    fresh = [item for item in waiting if item.digest not in before.doomed]
    result = RemoteSweepResult(len(due), _bytes(due), len(fresh), _bytes(fresh), len(kept), _bytes(kept))
    if dry_run or not (due or fresh):
        return result
    # Noted before it is done: whoever looks from now on counts neither on what goes nor on what was known before.
    doomed = {item.digest: before.doomed.get(item.digest, now) for item in (*waiting, *due)}
    note = GcNote(before.epoch + bool(due), doomed, before.store)
    remote.set_note(encode_note(note))
    for item in sorted(due, key=lambda item: not item.manifest):  # a manifest before what it names
        remote.delete(item)
    if due:
        remote.set_note(encode_note(note._replace(doomed={item.digest: doomed[item.digest] for item in waiting})))
    known.apply_note(note)
    return result


def _needed(remote: SweptRemote, keep: Set[Digest], trees: Set[Digest]) -> set[Digest]:
    """The kept Blobs, and all objects of the kept Trees that are there."""
    needed = set(keep)
    for tree in keep & trees:
        content = remote.manifest(tree)
        if content is None:
            continue
        try:
            needed.update(item.digest for item in decode_manifest(content, tree).parts)
        except ValueError as error:
            raise IntegrityError(
                f"the manifest of {tree[:19]}… is damaged, and what it keeps is not known: {error}",
                where=remote.place,
                hint=f"gitml fsck --remote {remote.name} --repair first; nothing was deleted",
            ) from error
    return needed


def _bytes(items: list[RemoteObject]) -> int:
    return sum(item.size for item in items)
