"""Workspace: one repository and the services that work on it, opened once from a folder and the environment. It has no verbs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gitml import layout
from gitml.consent.consent import Consent
from gitml.core.model.protocols import Facts
from gitml.errors import GitmlError, MachineError, machine_error
from gitml.execute.environments.environments import Environments
from gitml.git.command import Location
from gitml.git.integrity import repairs
from gitml.git.log.record_log import GitRecordLog
from gitml.git.log.remote_refs import RUNS, tracked
from gitml.git.objects.reader import Objects
from gitml.git.repository import discover, sharing_at
from gitml.git.worktree.snapshot import WorkTree
from gitml.permissions import SharedMode, can_be_changed_by_others, can_be_written
from gitml.records.layout import FETCHED, NEWER, TIP
from gitml.store.index.index import Index
from gitml.store.index.results import forget_unrecorded, unrecorded_runs
from gitml.store.local.locks import Locks
from gitml.store.local.store import LocalStore

if TYPE_CHECKING:
    from gitml.records.index_sync import IndexedLog
    from gitml.records.merge import MergeResult
    from gitml.records.validation import RejectedRecord


class KnownFacts:
    """Facts with a memory of their own, `known`, which a worker process can be given where the index can't go."""

    def __init__(self, kept: Facts | None, known: Mapping[tuple[str, str], Any] | None = None) -> None:
        self.kept = kept
        self.known = dict(known or {})

    def fact(self, kind: str, id: str) -> Any | None:
        """The JSON value remembered for (kind, id)."""
        if (kind, id) not in self.known and self.kept is not None:
            self.known[kind, id] = self.kept.fact(kind, id)
        return self.known.get((kind, id))

    def remember(self, kind: str, id: str, value: Any) -> None:
        """Keeps a JSON value."""
        self.known[kind, id] = value
        if self.kept is not None:
            self.kept.remember(kind, id, value)


class Workspace:
    """Everything is made on first use, since many commands need little of it.

    One that is `read_only` works where nothing can be written, too: what it finds out is forgotten then. It is `frozen` where
    that is known from the start.

    `start` is where gitml was called, as a path of the repository.

    `environ` is kept as it is now: who joins a cluster puts its token into the process's own, where the next must not find it.
    """

    def __init__(
        self,
        location: Location,
        environ: Mapping[str, str],
        on_many_records: Callable[[int], None] = lambda count: None,
        *,
        read_only: bool = False,
        start: str = "",
    ) -> None:
        self.start = _within(location, start) if start else ""
        self.read_only = read_only
        self.frozen = read_only and not _can_be_changed(location)
        if self.frozen:
            import tempfile

            self._scratch = tempfile.TemporaryDirectory(prefix="gitml-", ignore_cleanup_errors=True)
            os.mkdir(os.path.join(self._scratch.name, "objects"))
            location = location._replace(scratch=self._scratch.name)
        self.on_many_records = on_many_records
        self.on_refused: Callable[[RejectedRecord], None] = lambda refused: None
        self.location = location
        self.environ = dict(environ)
        self.root = layout.own_folder(location.common_dir)
        self.live = os.path.join(self.root, layout.LIVE)
        self.trees: list[WorkTree] = []
        self._united: tuple[MergeResult, ...] = ()
        self.secrets: dict[str, str] = {}  # values of secret parameters by their seals, in memory only
        self.stored_manifest: Callable[[str], bytes | None] = lambda digest: None  # see `Environments.stored_manifest`
        self.leaving: list[Callable[[], None]] = []  # what else is to be ended

    @cached_property
    def objects(self) -> Objects:
        """The objects of the repository."""
        return Objects(self.location)

    @cached_property
    def sharing(self) -> SharedMode:
        """Whom Git's settings let into the repository."""
        return sharing_at(self.location, self.environ)

    @cached_property
    def consent(self) -> Consent:
        """What this user lets the repository do: use places that its files name, run its steps."""
        return Consent(self.location, self.environ, self.sharing)

    @cached_property
    def locks(self) -> Locks:
        """The kernel's locks among gitml's processes on this repository."""
        self.make_folders()
        return Locks(os.path.join(self.root, layout.LOCKS), self.sharing, read_only=self.read_only)

    @cached_property
    def store(self) -> LocalStore:
        """Blobs and trees on this machine."""
        self.make_folders()
        return LocalStore(self.root, self.sharing)

    @cached_property
    def records(self) -> GitRecordLog:
        """The log of runs."""

        def lock() -> AbstractContextManager[None]:
            return self.locks.holding(Locks.RECORDS, 90.0, what="the log of runs")

        return GitRecordLog(self.location, self.objects, layout.RUNS_REF, lock)

    @cached_property
    def index(self) -> Index:
        """What can be looked up, level with the log of runs and with what any git fetched of other logs."""
        self.make_folders()
        index = Index(os.path.join(self.root, layout.INDEX), self.sharing, read_only=self.read_only)
        if index.aside is not None:
            repairs.announce(f"the index could not be used and is rebuilt from the records; it is {index.aside} now")
        try:
            self._level(index)
        except MachineError:
            if not self.read_only or index.detached:
                raise
            index.detach()  # the disk is full
            self._level(index)
        if self.sharing.bits and not index.detached:
            self._open_up_once(index)
        return index

    def _open_up_once(self, index: Index) -> None:
        """Opens to the others what this user made before `core.sharedRepository` was set."""
        name = f"shared-{os.geteuid()}"
        settings = f"{self.sharing.bits:o} {self.sharing.exact}"
        if index.meta(name) != settings:
            self.sharing.open_all(self.root)
            index.set_meta(name, settings)

    def catch_up(self) -> None:
        """Updates an index that is open already with what other processes recorded since; for one that stays open long."""
        if "index" in self.__dict__:
            self._level(self.index)

    def merge_fetched(self) -> tuple[MergeResult, ...]:
        """Merges what any git fetched of other logs into the log of runs; the result for each that was not merged before."""
        self.catch_up()
        self.index  # noqa: B018 - opening it does that too
        taken, self._united = self._united, ()
        return taken

    def _level(self, index: Index) -> None:
        tip = self._tip()
        if tip is None or tip != index.meta(TIP):
            if not self.frozen:
                healed = self.records.recover_ref(index.meta(TIP), "runs")
                if healed is not None:
                    repairs.announce(healed.words())
            self._sync(index)
        fetched = tracked(self.location, RUNS)
        seen = " ".join(sorted(fetched.values()))
        news = seen != (index.meta(FETCHED) or "") and not self.frozen
        if news:
            from gitml.records.merge import merge_log

            log = self._indexed(index)
            united = tuple([merge_log(log, ref, theirs) for ref, theirs in sorted(fetched.items())])
            for refused in [item for one in united for item in one.refused]:
                self.on_refused(refused)
            self._united += united
            self._sync(index)
            index.set_meta(FETCHED, seen)
        for run in unrecorded_runs(index):
            if not os.path.isdir(os.path.join(self.live, run)):
                forget_unrecorded(index, run)  # a power cut kept what it made, and took its journal
        newer = index.meta(NEWER)
        if newer is not None:
            from gitml.records.validation import RejectedRecord

            what = "1 record is" if newer == "1" else f"{newer} records are"
            why = f"{what} a newer gitml's, left as they are and not shown"
            self.on_refused(RejectedRecord(layout.RUNS_REF, why))

    def _sync(self, index: Index) -> None:
        """Reads what the log has beyond the index. A log that lacks what it had gets it back; else the index forgets it too."""
        if self.records.tip() == index.meta(TIP):
            return
        from gitml.records.index_sync import sync

        log = self._indexed(index)
        ahead = sync(log).ahead
        if ahead is None:
            return
        from gitml.records.merge import rebuild_from_log, recover_lost

        if self.frozen:
            rebuild_from_log(log)
            return
        runs = recover_lost(log, layout.RUNS_REF, ahead)
        back = f"{runs} run{'s' * (runs != 1)} put back" if runs else "they are put back"
        did = "the index is rebuilt" if runs is None else back
        repairs.announce(f"{layout.RUNS_REF} had lost records that the index knows: {did}")

    def _indexed(self, index: Index) -> IndexedLog:
        from gitml.records.index_sync import IndexedLog

        return IndexedLog(index, self.records, self.objects, self.on_many_records)

    def _tip(self) -> str | None:
        try:
            return self.records.tip()
        except GitmlError:  # git can't read its refs: it is seen next whether that is for one of ours
            return None

    @cached_property
    def machine_facts(self) -> KnownFacts:
        """What was found out of this machine's programs."""
        return KnownFacts(self.index)

    @cached_property
    def environments(self) -> Environments:
        """What the programs of steps are."""
        # A version manager's `python` chooses one by files where it is called, which here would be a stranger's.
        tops = self.location.worktrees()
        place = (self.machine_facts, self.environments_folder(), self.environ)
        if self.consent.may_run():
            found = Environments(*place, tops=tops, may_fetch=not self.consent.offline)
            found.stored_manifest = lambda digest: self.stored_manifest(digest)
            return found
        from gitml.git.repository import is_tracked_program

        return Environments(*place, "/", tops, lambda path: is_tracked_program(self.location, path), may_fetch=False)

    def forget_environments(self) -> None:
        """Has the programs of steps be inspected again."""
        self.__dict__.pop("environments", None)

    def environments_folder(self) -> str:
        """Where built environments are kept: for all repositories of this user, or here for one without a folder of their own.

        What lies there is run as it is found, so it must be a folder that no other user could have filled.
        """
        place = layout.cache_folder(self.environ)
        usable = (os.path.isdir(place) or can_be_written(place)) and not can_be_changed_by_others(place)
        return place if usable else os.path.join(self.root, layout.CACHE)

    @cached_property
    def salt(self) -> bytes:
        """What keys the seals of secret parameters in this clone."""
        from gitml.store.local.salt import salt_in

        self.make_folders()
        return salt_in(self.root, read_only=self.read_only)

    @cached_property
    def caches_name(self) -> str:
        """What the folder of this clone's caches is called, on each machine that performs its steps."""
        from gitml.execute.sandbox.caches import repository_name

        place = self.location.common_dir.rstrip("/").removesuffix("/.git").removesuffix(".git")
        return repository_name(place, self.salt)

    def keep_secret(self, seal: str, value: str) -> None:
        """Remembers the value that a seal stands for, and has it masked in all that is said."""
        from gitml.redaction import register_declared_secret

        self.secrets[seal] = value
        register_declared_secret(value)

    def worktree(self) -> WorkTree:
        """The files as they are now, as a Source."""
        tree = WorkTree(self.location, self.objects)
        self.trees.append(tree)
        return tree

    def make_folders(self) -> None:
        """The folders of gitml within the repository's."""
        try:
            self.sharing.make_folder(self.live)
        except OSError as error:
            if not self.read_only:
                raise machine_error(error, self.live) from error

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def close(self) -> None:
        """Ends what was started."""
        self.leave()
        for name in ("objects", "index"):
            if name in self.__dict__:
                self.__dict__[name].close()
        if self.frozen:
            self._scratch.cleanup()

    def leave(self) -> None:
        """Ends what would leave something behind. It can be used again."""
        while self.trees:
            self.trees.pop().close()
        while self.leaving:
            self.leaving.pop()()
        if "records" in self.__dict__:
            self.records.close()

    def leave_for_good(self) -> None:
        """All that is due when this process exits next: nothing of it is left behind, and no process outlives it.

        The index is whole at every moment, and closing it would have SQLite write it back and wait for the disk.
        """
        self.leave()
        if "objects" in self.__dict__:
            self.objects.kill()
        if self.frozen:
            self._scratch.cleanup()

    def rebuild_index(self) -> None:
        """Throws the index away and rebuilds it from the records."""
        self.index.close()
        del self.__dict__["index"]
        for suffix in ("", "-wal", "-shm"):
            path = os.path.join(self.root, layout.INDEX + suffix)
            if os.path.exists(path):
                os.unlink(path)


def _can_be_changed(location: Location) -> bool:
    """Whether this user may write where gitml and Git keep things of this repository."""
    own = layout.own_folder(location.common_dir)
    places = [location.common_dir, os.path.join(location.common_dir, "objects")]
    return all(os.access(place, os.W_OK) for place in (*places, *([own] if os.path.isdir(own) else [])))


def _within(location: Location, start: str) -> str:
    """The folder `start` as a path of the repository; empty for its top, and outside of it."""
    if location.worktree is None or os.path.abspath(start) == location.worktree:
        return ""
    place = os.path.relpath(os.path.realpath(start), os.path.realpath(location.worktree))
    return "" if place == "." or place.startswith("..") else place.replace(os.sep, "/")


def open_workspace(
    start: str,
    environ: Mapping[str, str],
    on_many_records: Callable[[int], None] = lambda count: None,
    *,
    read_only: bool = False,
) -> Workspace:
    """The Workspace that `start` lies in; InputError outside a repository.

    `on_many_records` is called with the number of records to be read before the first answer, when that takes a while.
    """
    return Workspace(discover(start, environ), environ, on_many_records, read_only=read_only, start=start)
