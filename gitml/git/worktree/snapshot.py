"""The work tree as a Source, exact and read-only: what is not committed becomes a snapshot commit on top of HEAD.

Neither files, index, stash nor HEAD are touched: trees are written from a copy of the index. The same content on the same
HEAD makes the same snapshot commit, so asking twice leaves nothing behind.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from gitml.core.model.paths import overlaps
from gitml.core.model.protocols import Entry
from gitml.errors import InputError, IntegrityError
from gitml.git.command import Location, git
from gitml.git.integrity.durability import sync_objects
from gitml.git.objects.reader import Objects, tree_of_commit
from gitml.git.objects.source import LARGEST, FolderSource, TreeSource
from gitml.git.worktree.status import PendingStatus, Status, Untracked

if TYPE_CHECKING:
    from gitml.git.worktree.temporary_index import Hasher, TemporaryIndex

_MESSAGE = b"gitml: snapshot of uncommitted work\n"
_IDENTITY = b"gitml <gitml@localhost>"


class SnapshotCommit(NamedTuple):
    """The commit that holds exactly what was read. When `dirty` it is a snapshot on top of `base` (None before any commit)."""

    commit: str
    dirty: bool
    base: str | None


class WorkTree:
    """The work tree as it is when first asked. Untracked files join it when they, or a directory above them, are looked up.

    `lookup("")` takes in every untracked file that is not ignored; look up the directory that is meant.
    """

    def __init__(self, location: Location, objects: Objects) -> None:
        if location.worktree is None:
            raise InputError("a bare repository has no work tree", where=location.git_dir, hint="--at REV")
        self._location = location
        self._objects = objects
        self._pending: PendingStatus | None = None
        self._status: Status | None = None
        self._tracked: TreeSource | None = None
        self._head_tree: str | None = None
        self._head_time = b"0 +0000"
        self._untracked: Untracked | None = None
        self._links: dict[str, bool] = {}
        self._unseen: set[str] = set()
        self._used: dict[str, Entry] = {}
        self._unwritten: dict[str, Entry] = {}
        self._index: TemporaryIndex | None = None
        self._hasher: Hasher | None = None
        self._sealed: tuple[str, SnapshotCommit] | None = None
        self._unsynced = False  # whether objects were written that a power cut could leave empty

    def start(self) -> None:
        """Has git look at the files while the caller does something else; otherwise it is done when first needed."""
        if self._pending is None and self._status is None:
            self._pending = PendingStatus(self._location)

    def close(self) -> None:
        """Removes what is temporary; nothing can be looked up afterwards."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
        if self._index is not None:
            self._index.close()
            self._index = None
        if self._hasher is not None:
            self._hasher.close()
        if self._unsynced:
            # What only a plan looked at is in no record, and an object left empty would be in the way of the next snapshot.
            self._unsynced = False
            sync_objects(self._location)

    @property
    def head(self) -> str | None:
        """The commit of HEAD, None before the first."""
        return self._look().head

    @property
    def branch(self) -> str | None:
        """The branch that HEAD is on, None when detached."""
        return self._look().branch

    @property
    def changes(self) -> tuple[str, ...]:
        """The tracked paths that git sees as changed since HEAD, in order; some may hold the same bytes after all."""
        status = self._look()
        return tuple(sorted({*status.changed, *status.removed, *status.dropped}))

    @property
    def unseen_changes(self) -> tuple[str, ...]:
        """The submodules that were looked into, in which files are not as their commits have them: only commits are seen."""
        return tuple(sorted(self._unseen))

    @property
    def dirty(self) -> bool:
        """Whether what was read so far, tracked files all together, differs from HEAD."""
        return bool(self._unwritten) or self._source().tree != self._head_tree

    @property
    def tree(self) -> str:
        """The Git tree of all tracked files as they are, and the untracked ones that were looked up."""
        self._write()
        return self._source().tree

    def lookup(self, path: str) -> Entry | None:
        """What is at `path`, None when nothing is or it is ignored. InputError when the way leads into another repository."""
        source = self._source()
        for submodule in self._look().dirty_submodules:
            if path and overlaps(path, submodule):
                self._unseen.add(submodule)
        used = self._used.get(path)
        if used is not None:
            return used
        entry = source.lookup(path)
        assert self._untracked is not None
        if self._untracked.none or (entry is not None and not entry.is_tree):
            return entry
        for found in self._untracked.at(path):
            if found not in self._used:
                self._used[found] = self._unwritten[found] = self._hash(found)
        if path in self._used:
            return self._used[path]
        below = path and path + "/"
        if any(name.startswith(below) for name in self._unwritten):
            self._write()
            return self._source().lookup(path)
        return entry

    def link_above(self, path: str) -> str | None:
        """The first link among the folders that lead to `path`; None when there is none."""
        link = self._source().link_above(path)
        assert self._untracked is not None
        if link is not None or self._untracked.none:
            return link
        for index, char in enumerate(path):
            folder = path[:index]
            if char != "/":
                continue
            if folder not in self._links:
                self._links[folder] = os.path.islink(os.path.join(self._location.folder, folder))
            if self._links[folder]:
                return folder if folder in self._untracked.at(folder) else None
        return None

    def children(self, oid: str) -> Mapping[str, Entry]:
        """The names directly in the tree `oid`, one that `lookup` or `children` gave."""
        return self._objects.files.folder(oid)

    def top(self) -> Collection[str]:
        """The names at the root, untracked ones too. Marks nothing as used."""
        return {*self._source().top(), *(path.partition("/")[0] for path in self._look().untracked)}

    def names_in(self, folder: str) -> Collection[str]:
        """The names in a folder, untracked ones too; none in what is no folder. Marks nothing as used."""
        below = folder + "/"
        untracked = [path[len(below) :] for path in self._look().untracked if path.startswith(below)]
        found = {*self._source().names_in(folder), *(path.partition("/")[0] for path in untracked)}
        if any(below.startswith(path) for path in self._look().untracked if path.endswith("/")):
            with suppress(FileNotFoundError, NotADirectoryError):
                found.update(os.listdir(os.path.join(self._location.folder, folder)))
        return found

    def read(self, oid: str) -> bytes:
        """The content of the blob `oid`, as Git stores it. InputError for more than 32 MiB."""
        return self._objects.files.read(oid, LARGEST)

    def snapshot(self) -> SnapshotCommit:
        """The commit of all that was read: HEAD, or a snapshot commit, durable."""
        tree = self.tree
        status = self._look()
        if status.head is not None and tree == self._head_tree:
            return SnapshotCommit(status.head, False, None)
        if self._sealed is None or self._sealed[0] != tree:
            self._sealed = (tree, SnapshotCommit(self._commit(tree, status.head), True, status.head))
        return self._sealed[1]

    def ignored(self, path: str) -> bool:
        """Whether something is at `path` that Git ignores."""
        if not path or not os.path.lexists(os.path.join(self._location.folder, path)):
            return False
        given = os.fsencode(path) + b"\0"
        return bool(git(self._location, "check-ignore", "-z", "--stdin", input=given, check=False))

    def how_to_restore(self, path: str) -> str | None:
        """The fix where `path` is a tracked file, or a folder of such, that was deleted in the work tree; else None."""
        status = self._look()
        import shlex

        named = shlex.quote(path)
        for gone, command in (
            (status.removed, f"git restore -- {named}"),
            (status.dropped, f"git restore --source=HEAD --staged --worktree -- {named}"),
        ):
            if any(name == path or name.startswith(f"{path}/") for name in gone):
                return f"it is tracked, but deleted in the work tree: {command}"
        return None

    def _look(self) -> Status:
        if self._status is None:
            self.start()
            assert self._pending is not None
            pending, self._pending = self._pending, None
            self._status = pending.finish()
        return self._status

    def _source(self) -> TreeSource:
        if self._tracked is not None:
            return self._tracked
        status = self._look()
        if status.unmerged:
            names = ", ".join(status.unmerged[:5]) + (", …" if len(status.unmerged) > 5 else "")
            raise InputError(f"files with merge conflicts: {names}", hint="resolve them and git add, or --at REV")
        if status.head is not None:
            content = self._objects.read(status.head)
            self._head_tree = tree_of_commit(content)
            self._head_time = _committer_time(content)
        # Git leaves out a folder that took the place of a tracked file.
        became_folders = [path + "/" for path in status.removed if self._is_folder(path)]
        self._untracked = Untracked(self._location, [*status.untracked, *became_folders])
        if self._head_tree is not None and not (status.changed or status.removed or status.dropped):
            self._tracked = TreeSource(self._objects, self._head_tree)
        else:
            index = self._scratch()
            index.remove(status.removed)
            index.take(status.changed)
            self._tracked = TreeSource(self._objects, self._tree_of(index))
        return self._tracked

    def _is_folder(self, path: str) -> bool:
        """Whether a folder of the work tree itself is at `path`, not one that a link leads to."""
        full = os.path.join(self._location.folder, path)
        return os.path.isdir(full) and os.path.realpath(full) == os.path.join(
            os.path.realpath(self._location.folder), path
        )

    def _write(self) -> None:
        """Updates the tree to all that is used."""
        self._source()
        if self._unwritten:
            index = self._scratch()
            index.put(self._unwritten)
            self._tracked = TreeSource(self._objects, self._tree_of(index))
            self._unwritten.clear()

    def _tree_of(self, index: TemporaryIndex) -> str:
        """Writes the tree of `index`; objects of it that a power cut left empty are written again."""
        from gitml.git.integrity.quarantine import looks_empty, quarantine_object

        tree = index.write_tree()
        waiting: list[tuple[str, str | None, str]] = [("", self._head_tree, tree)]
        while waiting:
            folder, before, after = waiting.pop()
            if looks_empty(self._location, after):
                quarantine_object(self._location, after)
                index.write_every_tree()
            had: Mapping[str, Entry] = self._objects.tree(before) if before else {}
            for name, entry in self._objects.tree(after).items():
                old = had.get(name)
                if entry == old or entry.is_submodule:
                    continue
                if entry.is_tree:
                    waiting.append((f"{folder}{name}/", old.oid if old and old.is_tree else None, entry.oid))
                elif looks_empty(self._location, entry.oid):
                    self._hash(folder + name)
        return tree

    def _hash(self, path: str) -> Entry:
        if self._hasher is None:
            from gitml.git.worktree.temporary_index import Hasher

            self._hasher = Hasher(self._location)
        self._unsynced = True
        return self._hasher.entry(path)

    def _scratch(self) -> TemporaryIndex:
        if self._index is None:
            from gitml.git.worktree.temporary_index import TemporaryIndex  # a clean work tree does without

            self._index = TemporaryIndex(self._location)
        self._unsynced = True
        return self._index

    def _commit(self, tree: str, head: str | None) -> str:
        parent = b"parent %s\n" % head.encode("ascii") if head else b""
        who = _IDENTITY + b" " + self._head_time
        content = b"tree %s\n%sauthor %s\ncommitter %s\n\n%s" % (tree.encode("ascii"), parent, who, who, _MESSAGE)
        commit = self._write_commit(content)
        if self._objects.header(commit) is None:
            from gitml.git.integrity.quarantine import quarantine_object

            quarantine_object(self._location, commit)
            commit = self._write_commit(content)
        sync_objects(self._location)
        self._unsynced = False
        return commit

    def _write_commit(self, content: bytes) -> str:
        said = git(self._location, "hash-object", "-t", "commit", "-w", "--stdin", input=content)
        return said.decode("ascii").strip()


class WorkTreeFolder(FolderSource):
    """A folder of the work tree, as if it were the root."""

    inner: WorkTree

    def ignored(self, path: str) -> bool:
        """Whether something is at `path` that Git ignores."""
        return self.inner.ignored(self._whole(path))

    def how_to_restore(self, path: str) -> str | None:
        """The fix where `path` was deleted in the work tree."""
        return self.inner.how_to_restore(self._whole(path))


def is_snapshot(objects: Objects, commit: str) -> bool:
    """Whether a commit is a snapshot of uncommitted work."""
    return _is_snapshot(objects.read(commit))


def commit_below(objects: Objects, commit: str) -> str | None:
    """The user's own commit: `commit`, or the one that it is a snapshot on; None where there was none yet."""
    content = objects.read(commit)
    if not _is_snapshot(content):
        return commit
    parents = [line for line in content.partition(b"\n\n")[0].split(b"\n") if line.startswith(b"parent ")]
    return parents[0].removeprefix(b"parent ").decode("ascii") if parents else None


def _is_snapshot(content: bytes) -> bool:
    head, _, message = content.partition(b"\n\n")
    return message == _MESSAGE and any(line.startswith(b"committer " + _IDENTITY) for line in head.split(b"\n"))


def _committer_time(commit: bytes) -> bytes:
    """The committer's time and zone as they stand in the commit."""
    for line in commit.partition(b"\n\n")[0].split(b"\n"):
        if line.startswith(b"committer "):
            return b" ".join(line.rsplit(b" ", 2)[1:])
    raise IntegrityError("a commit without a committer", hint="git fsck")
