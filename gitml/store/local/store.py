"""LocalStore: the Store of one machine, a folder of read-only files named by the sha256 of their content.

Objects are written to a temporary, synced, renamed, and the folder synced; a Tree's files are durable before the
listing that names them. A crash leaves temporaries and objects that nothing names: garbage only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gitml.core.model.digest import Digest, digest_of, hex_of
from gitml.core.model.tree import tree_size
from gitml.errors import InputError, IntegrityError, MachineError, machine_error
from gitml.permissions import ALONE, SharedMode
from gitml.store.local import bulk_sync, disk
from gitml.store.local.disk import Guard
from gitml.store.local.object_folder import ObjectFolder

STILL_RUNS = "let every process of the step end before the step does"
MOST_NAMES = 10_000_000  # files and folders of a directory
MAX_DEPTH = 256  # folders in folders; deeper ones exhaust descriptors before they serve anyone


class PendingObject(NamedTuple):
    """A complete file at `path`, canonical but not yet synced, that is to become an object; `inode` tells it was not swapped.

    `changed` is the change time of a large one after it was hashed, 0 where it is not known. One that `stays` may keep the name
    it has: whoever made it removes that.
    """

    digest: Digest
    path: str
    inode: int
    changed: int = 0
    stays: bool = False


class LocalStore(ObjectFolder):
    """The Store at `root`; nothing is made until something is kept. Used from one thread; processes may share a root.

    One that is not `durable` syncs nothing: what it kept before the machine crashed must be doubted (`doubt`).
    """

    def __init__(self, root: str, sharing: SharedMode = ALONE, *, durable: bool = True) -> None:
        super().__init__(root, sharing)
        self.durable = durable
        self.clones: bool | None = None  # whether the file system can reflink; None until it was tried

    # Looking

    def room(self) -> tuple[int, int]:
        """(bytes free, bytes in all) of the disk it is on; OSError when that does not answer."""
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize

    def has(self, digest: Digest, size: int, *, tree: bool) -> bool:
        """Whether the content is here and unchanged as far as a stat tells (for a Tree: its listing and all below it)."""
        return self._has_tree(digest, size, 0) if tree else self.is_intact(digest, size)

    def is_within_limits(self, digest: Digest) -> bool:
        """Whether a Tree that is here has at most MOST_NAMES names, in folders at most MAX_DEPTH deep. IntegrityError.

        A listing may name another again and again, so a few kilobytes can stand for a tree without end.
        """
        count, height = self._bounds(digest, 0)
        return count <= MOST_NAMES and height <= MAX_DEPTH

    def _bounds(self, digest: Digest, depth: int) -> tuple[int, int]:
        """(names, folders in folders) below a Tree."""
        known = self.tree_bounds.get(digest)
        if known is not None or depth > MAX_DEPTH:
            return known or (0, MAX_DEPTH + 1)
        entries = self.listing(digest)
        count, height = len(entries), 0
        for entry in entries:
            if entry.kind == "d":
                below, deep = self._bounds(entry.digest, depth + 1)
                count, height = count + below, max(height, deep + 1)
        self.tree_bounds[digest] = count, height
        return count, height

    def _has_tree(self, digest: Digest, size: int, depth: int) -> bool:
        known = self.sound_trees.get(digest)
        if known is not None:
            return known == size
        if depth > MAX_DEPTH or not self.is_intact(digest):
            return False
        try:
            entries = self.listing(digest)
        except IntegrityError:
            return False
        for entry in entries:
            if entry.kind == "d":
                if not self._has_tree(entry.digest, entry.size, depth + 1):
                    return False
            elif not self.is_intact(entry.digest, entry.size):
                return False
        self.sound_trees[digest] = tree_size(entries)
        below = [
            self.tree_bounds[entry.digest] for entry in entries if entry.kind == "d"
        ]  # all were looked at just now, or before
        count, height = (
            len(entries) + sum([names for names, _ in below]),
            max([deep + 1 for _, deep in below], default=0),
        )
        self.tree_bounds[digest] = count, height
        return self.sound_trees[digest] == size

    def doubt(self) -> None:
        """Has every object that is not hashed anyway be hashed when it is used next."""
        for digest, size in self.iterate():
            if size > disk.SMALL:
                path = self.path_of(digest)
                try:
                    os.utime(path)
                except PermissionError:  # another user's: what can't be marked is hashed now
                    self.settle(digest)
                except OSError as error:
                    raise machine_error(error, path) from error

    # Keeping

    def put(self, content: bytes) -> Digest:
        """Keeps `content`."""
        digest = digest_of(content)
        if not self.holds(digest, len(content)):
            self.publish_contents([(digest, content)])
        return digest

    def holds(self, digest: Digest, size: int) -> bool:
        """Whether other copies of the content can be given up: it is here, by a hash where that is cheap."""
        if size > disk.SMALL:
            return self.is_intact(digest, size)
        name = hex_of(digest)
        path = f"{self.objects}/{name[:2]}/{name[2:]}"
        fd = -1
        try:
            fd = disk.open_to_read(path)
            found = os.fstat(fd)
            if disk.is_untouched(found) and found.st_size == size and digest_of(disk.read_all(fd, size)) == digest:
                return True
        except FileNotFoundError:
            return False
        except OSError as error:
            if fd >= 0:
                raise machine_error(error, path) from error
            # what lies there is looked at below
        finally:
            if fd >= 0:
                os.close(fd)
        return self.is_intact(digest, size) and (self.check(digest) is None or self.settle(digest))

    def has_bytes(self, digest: Digest, content: bytes) -> bool:
        """Whether the object of this name has just these bytes: as `holds` for a small one, asking less of the disk."""
        if not content:  # which is also what a pipe in its place would give
            return self.holds(digest, 0)
        name = hex_of(digest)
        try:
            fd = disk.open_to_read(f"{self.objects}/{name[:2]}/{name[2:]}")
        except OSError:
            return False
        try:
            return os.read(fd, len(content) + 1) == content
        except OSError:  # no regular file, or a disk that fails: whoever asks for the object is told
            return False
        finally:
            os.close(fd)

    def ingest_file(self, path: str) -> tuple[Digest, int]:
        """Moves a regular file in; gives its Digest and size."""
        from gitml.store.local.ingest import ingest_file

        return ingest_file(self, path)

    def ingest_tree(self, path: str, *, leave: bool = False) -> tuple[Digest, int]:
        """Moves a directory in; gives its Digest and the bytes of its files. InputError naming what can't be kept."""
        from gitml.store.local.ingest import ingest_tree

        return ingest_tree(self, path, leave)

    def temporary(self) -> str:
        """A new path in `objects/tmp`, which is made when missing."""
        if not os.path.isdir(self.temporaries):
            with Guard(self.temporaries):
                self.sharing.make_folder(self.temporaries)
                disk.sync_paths([self.objects, self.root, os.path.dirname(os.path.abspath(self.root))])
        return f"{self.temporaries}/{os.getpid()}-{os.urandom(8).hex()}"

    def publish_contents(self, contents: Sequence[tuple[Digest, bytes | memoryview]]) -> None:
        """Makes these bytes objects."""
        pending: list[PendingObject] = []
        try:
            for digest, content in contents:
                pending.append(self.written(digest, content))
        except BaseException:
            self.drop_temporaries(pending)
            raise
        self.publish(pending)

    def written(self, digest: Digest, content: bytes | memoryview) -> PendingObject:
        """A temporary with these bytes, to be published or dropped."""
        path = self.temporary()
        with Guard(path):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                disk.write_all(fd, content)
                disk.make_canonical(fd)
                return PendingObject(digest, path, os.fstat(fd).st_ino)
            except BaseException:
                os.unlink(path)
                raise
            finally:
                os.close(fd)

    def publish(self, pending: Sequence[PendingObject]) -> None:
        """Makes files objects: durable first, then under their names, then the names durable. All or a failure said.

        A file that is not the one hashed any more when it arrives (swapped under way) is quarantined: IntegrityError.
        """
        try:
            is_whole = self.durable and bulk_sync.is_worth_one_request(len(pending), self.objects)
            with Guard(pending[0].path if len(pending) == 1 else self.temporaries):
                self._sync([item.path for item in pending], is_whole)
            folders: dict[str, None] = {}
            for item in sorted(pending):
                self._name(item, folders)
            with Guard(self.objects):
                self._sync(list(folders), is_whole)
        except MachineError as error:
            self.drop_temporaries(pending)
            gone = error.__cause__
            if isinstance(gone, FileNotFoundError):
                raise InputError(
                    "it was removed while it was taken", where=str(gone.filename), hint=STILL_RUNS
                ) from gone
            raise
        except BaseException:
            self.drop_temporaries(pending)
            raise

    def _sync(self, paths: Sequence[str], is_whole: bool) -> None:
        """Makes files or folders durable, by a request for the whole file system or one for each."""
        if is_whole:
            bulk_sync.sync_file_system(self.objects)
        elif self.durable:
            disk.sync_paths(paths)

    def _name(self, item: PendingObject, changed: dict[str, None]) -> None:
        """Gives one durable file its name; adds the folders that changed by it."""
        digest, path, inode, last_changed, stays = item
        name = hex_of(digest)
        folder = f"{self.objects}/{name[:2]}"
        target = f"{folder}/{name[2:]}"
        try:
            is_known = last_changed > 0 and os.lstat(path).st_ctime_ns == last_changed
            if folder not in changed:
                changed[folder] = None
                if not os.path.isdir(folder):
                    self.sharing.make_folder(folder)
                    changed[self.objects] = None
            if not (stays and _linked(path, target)):
                if stays and self.holds(digest, os.lstat(path).st_size):
                    return
                os.rename(path, target)
            found = os.lstat(target)
        except OSError as error:
            raise machine_error(error, path) from error
        if found.st_ino != inode:
            if self.check(digest) is not None:
                self.quarantine(digest, "another file took its place while it was taken in")
                raise IntegrityError("another file took its place while it was taken", where=path, hint=STILL_RUNS)
        elif is_known:
            self.stats.note(digest, found)

    def drop_temporaries(self, pending: Iterable[PendingObject]) -> None:
        """Removes the temporaries among files that will not be published."""
        for item in pending:
            if os.path.dirname(item.path) == self.temporaries and os.path.lexists(item.path):
                os.unlink(item.path)

    # Giving back

    def materialize_file(self, digest: Digest, path: str, *, executable: bool = False) -> None:
        """Puts a Blob at `path` by reflink, hard link or copy, verified as `open` does. IntegrityError when missing or bad."""
        from gitml.store.local.materialize import materialize_file

        materialize_file(self, digest, path, executable)

    def materialize_tree(self, digest: Digest, path: str) -> None:
        """Puts a Tree at `path`, a new directory."""
        from gitml.store.local.materialize import materialize_tree

        materialize_tree(self, digest, path)

    def verify_materialized(self, digest: Digest, *, tree: bool) -> list[Digest]:
        """The objects behind what was placed that were changed in place since; they are quarantined already.

        Call it after a step, before its sandbox is removed. Others linking and unlinking the same objects cost a hash,
        never a false alarm.
        """
        from gitml.store.local.materialize import verify_materialized

        return verify_materialized(self, digest, tree)

    def release_materialized(self, digest: Digest, *, tree: bool) -> None:
        """Call it after `verify_placed` and the sandbox's removal: this unlinking then raises no doubt about the objects."""
        from gitml.store.local.materialize import release_materialized

        release_materialized(self, digest, tree)


def _linked(path: str, target: str) -> bool:
    """Gives a file a second name, which asks less of the file system than to rename it; False where that can't be."""
    try:
        os.link(path, target, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:  # the name is there, of a file that went bad, or the file system has no links: renaming says more
        return False
    return True
