"""Adding objects to the store: written to a temporary, synced, renamed, and the folder synced.

A Tree's files are durable before the listing that names them. A crash leaves temporaries and objects that nothing names: garbage
only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from gitml.core.model.digest import PREFIX, Digest, digest_of, hex_of
from gitml.errors import Guard, InputError, IntegrityError, MachineError
from gitml.files import closing_fd, opened, write_all
from gitml.permissions import ALONE, SharedMode
from gitml.platform.current import platform
from gitml.store.local import disk
from gitml.store.local.object_folder import ObjectFolder

STILL_RUNS = "let every process of the step end before the step does"


class PendingObject(NamedTuple):
    """A complete file at `path`, canonical but not yet synced, that is to become an object; by `inode` a swap is noticed.

    `changed` is the change time of a large one after it was hashed, 0 where it is not known. One that `stays` may keep the name
    it has: its maker removes that.
    """

    digest: Digest
    path: str
    inode: int
    changed: int = 0
    stays: bool = False


class ObjectWriter(ObjectFolder):
    """An ObjectFolder that objects are added to. One that is not `durable` syncs nothing."""

    def __init__(self, root: str, sharing: SharedMode = ALONE, *, durable: bool = True) -> None:
        super().__init__(root, sharing)
        self.durable = durable

    def put(self, content: bytes) -> Digest:
        """Keeps `content`."""
        digest = digest_of(content)
        if not self.holds(digest, len(content)):
            self.publish_contents([(digest, content)])
        return digest

    def holds(self, digest: Digest, size: int) -> bool:
        """Whether the content is here for certain, so that other copies can be deleted: by a hash where that is cheap."""
        if size > disk.SMALL:
            return self.is_intact(digest, size)
        try:
            with closing_fd(disk.open_to_read(self.path_of(digest))) as fd:
                found = os.fstat(fd)
                if disk.is_untouched(found) and found.st_size == size and digest_of(disk.read_all(fd, size)) == digest:
                    return True
        except FileNotFoundError:
            return False
        except OSError:
            pass  # what lies there is looked at below
        return self.is_intact(digest, size) and (self.check(digest) is None or self.verify(digest))

    def has_bytes(self, digest: Digest, content: bytes) -> bool:
        """Whether the object of this name has just these bytes: as `holds` for a small one, asking less of the disk."""
        if not content:  # which is also what a pipe in its place would give
            return self.holds(digest, 0)
        with suppress(OSError), closing_fd(disk.open_to_read(self.path_of(digest))) as fd:
            return os.read(fd, len(content) + 1) == content
        return False  # no regular file, or a disk that fails: who opens the object gets the error

    def new_temporary(self) -> str:
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
                pending.append(self.write_temporary(digest, content))
        except BaseException:
            self.drop_temporaries(pending)
            raise
        self.publish(pending)

    def write_temporary(self, digest: Digest, content: bytes | memoryview) -> PendingObject:
        """A temporary with these bytes, to be published or dropped."""
        path = self.new_temporary()
        with Guard(path), opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as fd:
            try:
                write_all(fd, content)
                disk.make_canonical(fd)
                return PendingObject(digest, path, os.fstat(fd).st_ino)
            except BaseException:
                os.unlink(path)
                raise

    def publish(self, pending: Sequence[PendingObject]) -> None:
        """Makes files objects: durable first, then under their names, then the names durable. All of them, or an error.

        A file that is not the one hashed any more when it arrives (swapped under way) is quarantined: IntegrityError.
        """
        try:
            is_whole = self.durable and disk.is_worth_one_request(len(pending), self.objects)
            with Guard(pending[0].path if len(pending) == 1 else self.temporaries):
                self._sync([item.path for item in pending], is_whole)
            folders: dict[str, None] = {}
            for item in sorted(pending):
                self._name(item, folders)
            with Guard(self.objects):
                self._sync(list(folders), is_whole)
        except BaseException as error:
            self.drop_temporaries(pending)
            gone = error.__cause__
            if isinstance(error, MachineError) and isinstance(gone, FileNotFoundError):
                what = "it was removed while it was taken"
                raise InputError(what, where=str(gone.filename), hint=STILL_RUNS) from gone
            raise

    def _sync(self, paths: Sequence[str], is_whole: bool) -> None:
        """Makes files or folders durable, by a request for the whole file system or one for each."""
        if is_whole:
            platform.sync_file_system(self.objects)
        elif self.durable:
            disk.sync_paths(paths)

    def _name(self, item: PendingObject, changed: dict[str, None]) -> None:
        """Gives one durable file its name; adds the folders that changed by it."""
        digest, path, inode, last_changed, stays = item
        name = hex_of(digest)
        folder = f"{self.objects}/{name[:2]}"
        target = f"{folder}/{name[2:]}"
        with Guard(path):
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


class BlobWriter:
    """Writes a Blob of `size` bytes that arrives in pieces, in order; `position` is how much is here, where to resume."""

    def __init__(self, store: ObjectWriter, digest: Digest, size: int) -> None:
        self.position = 0
        self.size = size
        self._store = store
        self._digest = digest
        self._hash = hashlib.sha256()
        self._path = store.new_temporary()
        with Guard(self._path):
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, piece: bytes | memoryview) -> None:
        """Adds the next piece; MachineError when the disk refuses."""
        hashed = disk.in_threads([lambda: self._hash.update(piece)]) if len(piece) > disk.SMALL else None
        with Guard(self._path):
            write_all(self._fd, piece)
        if hashed is None:
            self._hash.update(piece)
        else:
            hashed()
        self.position += len(piece)

    def commit(self) -> None:
        """Makes it an object; IntegrityError, with nothing kept, when its bytes are not those of the Digest."""
        found = PREFIX + self._hash.hexdigest()
        if found != self._digest or self.position != self.size:
            self.abandon()
            raise IntegrityError(
                f"other bytes arrived than asked for: {found[:19]}… for {self._digest[:19]}…",
                where=hex_of(self._digest),
                hint="run again; if it stays so, `gitml fsck` on the machine that it comes from",
            )
        with Guard(self._path):
            disk.make_canonical(self._fd)
            written = os.fstat(self._fd)
            self._close()
        self._store.publish([PendingObject(self._digest, self._path, written.st_ino, disk.changed_if_large(written))])

    def abandon(self) -> None:
        """Gives it up; nothing is left of it."""
        self._close()
        if os.path.lexists(self._path):
            os.unlink(self._path)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _linked(path: str, target: str) -> bool:
    """Gives a file a second name, which asks less of the file system than to rename it; False where that can't be."""
    try:
        os.link(path, target, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:  # the name is there, of a file that went bad, or the file system has no links: renaming says more
        return False
    return True
