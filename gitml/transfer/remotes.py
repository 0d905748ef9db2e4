"""The remote stores that the `gitml.yaml` of a repository names now: opened when they are asked, and what is known of each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import NamedTuple

from gitml.core.config.places import Place, place_of_store
from gitml.core.config.project import PATH
from gitml.core.config.remotes import FROM, RemoteSpec, StoredObject
from gitml.core.kinds.remote_kinds import LFS, REMOTE_KINDS
from gitml.core.language.diagnostics import nearest
from gitml.core.model.digest import Digest
from gitml.core.model.protocols import RemoteStore
from gitml.core.model.result import OutputRef
from gitml.errors import BusyError, GitmlError, InputError, RemoteError
from gitml.git.log.remote_refs import refuse_inner_place
from gitml.git.worktree.status import read_worktree_file
from gitml.records.runs import read_run
from gitml.store.index.runs import newest_runs
from gitml.store.local.locks import Locks
from gitml.store.remote.cache import PackIndexes, RemoteCache, RemoteSource, gc_note, name_store
from gitml.transfer.run_selector import roots_of
from gitml.workspace import Workspace

_PLACE = "place"  # option of a resolved spec, so that another server is another remote in what is remembered
_RECENT = 20  # runs whose artifacts Git LFS is asked for to confirm it
_SAMPLE = 100  # objects; as many as one question to Git LFS may be about
_SPECS = "remotes-1"  # kind of fact: sha256 of a gitml.yaml -> its remotes


class RemoteFailure(NamedTuple):
    """A remote that can't be used now, and why."""

    remote: str
    error: GitmlError


class Remotes:
    """The remote stores of one Workspace. A remote that failed once isn't tried again by the same object."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.failures: list[RemoteFailure] = []
        self._open: dict[str, RemoteStore] = {}
        self._places: dict[str, Place | None] = {}

    @cached_property
    def specs(self) -> tuple[RemoteSpec, ...]:
        """What `gitml.yaml` says, that of the work tree whatever commit is looked at: where content lies now is asked for."""
        content = _config(self.ws)
        if content is None or b"remotes" not in content:
            return ()  # reading YAML takes longer than asking a Git remote
        memo = hashlib.sha256(content).hexdigest()
        kept = self.ws.index.fact(_SPECS, memo)
        if kept is None:
            from gitml.core.config.parse import parse_config  # with YAML: 40 ms that a file read before does without

            kept = [list(spec) for spec in parse_config(content).remotes]
            self.ws.index.remember(_SPECS, memo, kept)
        return tuple([self._resolved(RemoteSpec(*item)) for item in kept])

    @cached_property
    def worker_accessible(self) -> tuple[RemoteSpec, ...]:
        """Those that machines of a cluster may ask.

        Not Git LFS: its server, its credentials and the manifests of directories are found by the repository.
        """
        return tuple([spec for spec in self.specs if spec.scheme != LFS])

    @cached_property
    def lfs(self) -> tuple[RemoteSpec, ...]:
        """Where content of Git LFS is had: what `gitml.yaml` says of it, else the Git LFS of the usual Git remote."""
        named = tuple(spec for spec in self.specs if spec.scheme == LFS)
        return named or (self._resolved(RemoteSpec(LFS, LFS, push=False)),)

    @cached_property
    def indexes(self) -> PackIndexes:
        """The indexes of packs that are known here."""
        return PackIndexes(self.ws.root, self.ws.sharing)

    def named(self, names: Sequence[str]) -> list[RemoteSpec]:
        """The remotes of these names, in the order of `gitml.yaml`; all when none is named. InputError for an unknown one."""
        known = {spec.name: spec for spec in self.specs}
        for name in names:
            if name not in known:
                suggestion = nearest(name, known) if known else ": gitml.yaml names none"
                raise InputError(f"no remote store {name[:80]!r}{suggestion}", hint="`gitml remotes` lists them")
        return [spec for spec in self.specs if not names or spec.name in names]

    def known(self, spec: RemoteSpec) -> RemoteCache:
        """What is remembered of a remote."""
        return RemoteCache(self.ws.index, spec.identity)

    def need_consent(self, specs: Iterable[RemoteSpec] | None = None) -> None:
        """TrustError unless the user lets this repository use these stores (all of them by default); see `consent`."""
        self.ws.consent.need_places([self.place(spec) for spec in (self.specs if specs is None else specs)])

    def place(self, spec: RemoteSpec) -> Place | None:
        """What a person is asked about before a store is used; None for one that the user's own Git settings name."""
        return self._places[spec.name] if spec.name in self._places else place_of_store(spec)

    def open(self, spec: RemoteSpec) -> RemoteStore:
        """The remote store itself; InputError when a package for it is missing, RemoteError when it can't be found.

        TrustError for one that this user did not allow.
        """
        if spec.name not in self._open:
            self.need_consent([spec])
            self._open[spec.name] = self._opened(spec)
        return self._open[spec.name]

    def source(self, spec: RemoteSpec) -> RemoteSource:
        """A remote to download from."""
        return RemoteSource(self.open(spec), self.known(spec))

    def usable(self, specs: Iterable[RemoteSpec] | None = None) -> Iterator[tuple[RemoteSpec, RemoteSource]]:
        """Every remote that can be opened; the others are noted as failures. TrustError for one that is not allowed."""
        specs = self.specs if specs is None else tuple(specs)
        self.need_consent(specs)
        for spec in specs:
            if any(failure.remote == spec.name for failure in self.failures):
                continue
            try:
                yield spec, self.source(spec)
            except GitmlError as error:
                self.failures.append(RemoteFailure(spec.name, error))

    def says(self, output: OutputRef, specs: Iterable[RemoteSpec] | None = None) -> bool:
        """Whether a remote, of `specs` if they are given, is known to have an output."""
        asked = self.specs if specs is None else specs
        return any(self.known(spec).lookup(output.digest) is True for spec in asked)

    def ask(self, outputs: Sequence[OutputRef]) -> set[Digest]:
        """Which of these a remote has, asked of one after the other in few requests, and remembered."""
        left = {output.digest: output for output in outputs}
        found: set[Digest] = set()
        for spec, source in self.usable():
            known = source.known
            asked = {digest: output for digest, output in left.items() if known.lookup(digest) is not False}
            if not asked:
                continue
            try:
                blobs = [StoredObject(digest, output.size) for digest, output in asked.items() if not output.is_tree]
                there = source.remote.present(blobs) if blobs else set()
                trees = [digest for digest, output in asked.items() if output.is_tree]
                there |= source.remote.with_manifest(trees) if trees else set()
            except GitmlError as error:
                self.failures.append(RemoteFailure(spec.name, error))
                continue
            known.remember(there)
            found |= there
            left = {digest: output for digest, output in left.items() if digest not in there}
        return found

    def close(self) -> None:
        """Ends connections."""
        while self._open:
            self._open.popitem()[1].close()

    def _resolved(self, spec: RemoteSpec) -> RemoteSpec:
        """With what only this machine knows: the place of Git LFS, and the user's own settings for a store."""
        if spec.scheme != LFS:
            options = REMOTE_KINDS[spec.scheme].options
            own = {word: value for word, value in self.ws.consent.settings_of(spec.url).items() if word in options}
            tracked = {word: value for word, value in spec.options.items() if word not in own}
            self._places[spec.name] = place_of_store(spec._replace(options=tracked))
            return spec._replace(options={**spec.options, **own}) if own else spec
        from gitml.git.lfs.endpoint import find_endpoint  # with the client of Git LFS, which few repositories need

        try:
            endpoint = find_endpoint(self.ws.location, spec.options.get("remote"))
        except InputError:
            return spec  # there is no Git remote yet: opening it says so
        found = {_PLACE: endpoint.shown} | ({FROM: endpoint.source} if endpoint.source else {})
        return spec._replace(options={**spec.options, **found})

    def _opened(self, spec: RemoteSpec) -> RemoteStore:
        if spec.scheme == LFS:
            return _open_lfs(self.ws, spec)
        from gitml.store.remote.backends.kinds import open_remote

        if spec.scheme == "file":
            refuse_inner_place(self.ws.location, f"file://{spec.path}", "a remote store")
        return open_remote(spec)


@contextmanager
def using_store(ws: Workspace) -> Iterator[None]:
    """Keeps gc away from what is being moved; BusyError when one goes on for ten minutes."""
    if ws.locks.holder(Locks.GC) == os.getpid():  # a run of this process keeps it away already
        yield
        return
    if not ws.locks.lock(Locks.GC, timeout=600.0, shared=True):
        raise BusyError("gc has been running for ten minutes", hint="wait for it, or end it")
    try:
        yield
    finally:
        ws.locks.unlock(Locks.GC)


def _config(ws: Workspace) -> bytes | None:
    if ws.location.worktree is None:
        found = ws.objects.find(f"HEAD:{PATH}")
        return None if found is None else found[1]
    return read_worktree_file(ws.location, PATH)


def confirm_remote(ws: Workspace, remotes: Remotes, spec: RemoteSpec, *, named: bool = True) -> bool:
    """Asks one small question; False when what was known of the store is forgotten now.

    With `named` a store without a name is given one. RemoteError when it can't be reached, and for a folder that is gone.
    """
    remote, known = remotes.open(spec), remotes.known(spec)
    before = known.mark
    if spec.scheme == LFS:
        return _has_recent(ws, remotes, spec)
    note = gc_note(remote, known)
    if known.mark != before and not note.store and spec.scheme == "file" and not os.path.isdir(spec.path):
        raise RemoteError(
            "the folder is gone", where=spec.place, hint="mount it, or make an empty one to have it filled again"
        )
    if named:
        name_store(remote, known, note)
    return known.mark == before


def _has_recent(ws: Workspace, remotes: Remotes, spec: RemoteSpec) -> bool:
    """Whether Git LFS, which can keep no name, still has what the last runs made and it is known to have."""
    known = remotes.known(spec)
    roots = [
        root
        for row in newest_runs(ws.index, limit=_RECENT)
        for root in roots_of(read_run(ws.index, ws.objects, row.id))
        if known.lookup(root.digest)
    ]
    blobs = list({root.digest: StoredObject(root.digest, root.size) for root in roots if not root.tree}.values())[
        :_SAMPLE
    ]
    trees = list({root.digest: root for root in roots if root.tree})[:_SAMPLE]
    remote = remotes.open(spec)
    # One question: a directory's manifest is another object, and asked for by itself.
    wanted = {item.digest for item in blobs} or set(trees)
    is_there = wanted == (remote.present(blobs) if blobs else remote.with_manifest(trees))
    if not is_there:
        known.forget()
    return is_there


def _open_lfs(ws: Workspace, spec: RemoteSpec) -> RemoteStore:
    """The Git LFS of a Git remote as a remote store: a server's, or that of a remote on this machine."""
    from gitml.git.lfs.endpoint import find_endpoint
    from gitml.records.lfs_pointers import LogPointers
    from gitml.store.remote.backends.digest_only import DigestOnlyRemote

    pointers = LogPointers(ws.index, ws.records)
    endpoint = find_endpoint(ws.location, spec.options.get("remote"))
    if endpoint.folder is None:
        from gitml.git.lfs.client import LfsClient

        return DigestOnlyRemote(LfsClient(spec, ws.location, endpoint), pointers)
    if endpoint.source:
        refuse_inner_place(ws.location, endpoint.folder, "a remote store")
    from gitml.store.remote.backends.folder import FolderRemote
    from gitml.store.remote.layout import lfs_key_of

    return DigestOnlyRemote(FolderRemote(spec, endpoint.folder, lfs_key_of), pointers)
