"""Garbage collection and checks of remote stores."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import NamedTuple, cast

from gitml.core.config.remotes import NewerManifestError, StoredObject, decode_manifest
from gitml.core.kinds.remote_kinds import LFS
from gitml.core.model.digest import Digest, hex_of
from gitml.core.model.protocols import SweptRemote
from gitml.errors import InputError, IntegrityError, RemoteError
from gitml.git.command import git
from gitml.maintenance.fsck import Fault
from gitml.maintenance.gc import KeepPolicy, kept_by
from gitml.maintenance.image_roots import kept_images
from gitml.store.remote.cache import RemoteSource
from gitml.store.remote.gc import RemoteSweepResult, sweep_remote
from gitml.store.remote.transfer.progress import TransferRoot
from gitml.store.remote.transfer.thread_pool import in_parallel
from gitml.store.remote.transfer.upload import Uploader
from gitml.transfer.availability import Availability
from gitml.transfer.records import fetch
from gitml.transfer.remotes import Remotes
from gitml.transfer.run_selector import RunSelection, selected_roots
from gitml.workspace import Workspace

GRACE = 14 * 86400.0
_AT_ONCE = 4
_MANY = 1000  # objects of one directory that are named one by one when they are missing


def collect_remote(
    ws: Workspace, name: str, policy: KeepPolicy, *, grace: float = GRACE, dry_run: bool = False
) -> RemoteSweepResult:
    """Deletes from a remote store what the policy does not keep, by everyone's records: they are fetched first.

    InputError for a remote that can't delete, such as Git LFS; RemoteError when the records can't be fetched.
    """
    remotes = Remotes(ws)
    (spec,) = remotes.named([name])
    if spec.scheme == LFS:
        raise InputError("a Git LFS server deletes nothing for its users", where=name, hint="use the host's own means")
    if git(ws.location, "remote"):
        fetch(ws)
    with closing(remotes):
        remote = cast(SweptRemote, remotes.open(spec))
        keep = kept_by(ws, policy)
        keep |= kept_images(ws, remote, keep)
        return sweep_remote(remote, remotes.known(spec), keep, now=ws.now(), grace=grace, dry_run=dry_run)


class _Bad(NamedTuple):
    kind: str
    what: str


def check_remote(ws: Workspace, name: str, *, sample: int | None = 20, repair: bool = False) -> Iterator[Fault]:
    """What is wrong in a remote store with what recorded runs made: parts that are missing, and wrong bytes.

    The bytes of `sample` objects chosen by chance are read, of all when None. With `repair` what is good here is uploaded again.
    """
    with closing(Remotes(ws)) as remotes:
        (spec,) = remotes.named([name])
        source = remotes.source(spec)
        here = Availability(ws)
        roots = [r for r in selected_roots(ws, RunSelection()) if not here.in_records(r.digest, tree=r.tree)]
        checker = _Checker(source, roots)
        faults = checker.faults(sample)
        spoilt = checker.roots_with({digest for digest, _ in faults})
        mended: set[Digest] = set()
        if repair and spoilt:
            source.known.remember([digest for digest, _ in faults], good=False)
            source.known.remember([root.digest for root in spoilt], good=False)
            sender = Uploader(ws.store, source.remote, source.known, remotes.indexes)
            sent = {root.digest for root in sender.upload(spoilt).sent}
            mended = {d for d, _ in faults if all(r.digest in sent for r in checker.roots_with({d}))}
        for digest, bad in faults:
            names = ", ".join(root.name for root in checker.roots_with({digest})[:3])
            done = "uploaded again" if digest in mended else None
            yield Fault(f"remote {name}", bad.kind, digest, f"{bad.what} (for {names})", done)


class _Checker:
    """Looks at what roots need in one remote."""

    def __init__(self, source: RemoteSource, roots: Sequence[TransferRoot]) -> None:
        self.remote, self.known = source
        self.roots = roots
        self.users: dict[Digest, list[TransferRoot]] = {}

    def roots_with(self, digests: set[Digest]) -> list[TransferRoot]:
        """The roots that need any of these objects."""
        return list({root.digest: root for digest in digests for root in self.users.get(digest, ())}.values())

    def faults(self, sample: int | None) -> list[tuple[Digest, _Bad]]:
        """(object, what is wrong with it)."""
        bad: dict[Digest, _Bad] = {}
        parts = [(root, self._parts(root, bad)) for root in self.roots]
        there = self.remote.present(list(dict.fromkeys(item for _, items in parts for item in items)))
        for root, items in parts:
            # A file that was never uploaded is not missing; what a manifest names, or was seen there, is.
            missing = [item.digest for item in items if item.digest not in there]
            missing = [digest for digest in missing if digest != root.digest or self.known.lookup(digest) is True]
            if len(missing) > _MANY:
                bad[root.digest] = _Bad("missing", f"its manifest names {len(missing)} objects that are not there")
            else:
                bad |= dict.fromkeys(missing, _Bad("missing", "it is not there, or of another size"))
        good = sorted(there - bad.keys())
        chosen = good if sample is None else random.sample(good, min(sample, len(good)))
        of = set(chosen)
        objects = {item.digest: item for _, items in parts for item in items if item.digest in of}
        verdicts = in_parallel(lambda digest: self._read(objects[digest]), chosen, _AT_ONCE)
        bad |= {digest: verdict for digest, verdict in zip(chosen, verdicts, strict=True) if verdict is not None}
        for root, items in parts:
            for digest in {item.digest for item in items if item.digest in bad} | ({root.digest} & bad.keys()):
                self.users.setdefault(digest, []).append(root)
        return sorted(bad.items())

    def _parts(self, root: TransferRoot, bad: dict[Digest, _Bad]) -> Sequence[StoredObject]:
        if not root.tree:
            return [StoredObject(root.digest, root.size)]
        content = self.remote.manifest(root.digest)
        if content is None:
            if self.known.lookup(root.digest) is True:
                bad[root.digest] = _Bad("missing", "its manifest is gone")
            return []
        try:
            return decode_manifest(content, root.digest).parts
        except NewerManifestError as error:
            raise RemoteError(str(error), where=self.remote.place, hint="use the newer gitml") from error
        except ValueError as error:
            bad[root.digest] = _Bad("corrupt", f"its manifest: {error}")
            return []

    def _read(self, item: StoredObject) -> _Bad | None:
        found = hashlib.sha256()
        size = 0
        try:
            for chunk in self.remote.get(item).chunks:
                found.update(chunk)
                size += len(chunk)
                if size > item.size:
                    return _Bad("corrupt", "it is longer than it should be")
        except IntegrityError as error:
            return _Bad("missing", error.message)
        if found.hexdigest() != hex_of(item.digest):
            return _Bad("corrupt", f"its content is sha256:{found.hexdigest()}")
        return None
