"""LocalStore: the Store of one machine, a folder of read-only files named by the sha256 of their content.

``objects/ab/<62 hex>``  one object; regular, mode 0444, last modified at a fixed time
``objects/tmp/``         what is being written; garbage once its writer is gone
``quarantine/<hex>.<n>`` a bad object, and beside it ``<hex>.<n>.txt``: why and when

Objects are written to a temporary, synced, renamed, and the folder synced. Who writes to one changes its time, so a stat
tells; what looks touched is hashed again, and either mended or quarantined.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple, cast

from gitml.core.digest import Digest, digest_of, from_hex, hex_of
from gitml.core.tree import TreeEntry, decode_tree, tree_size
from gitml.errors import IntegrityError
from gitml.store import disk
from gitml.store.disk import Guard

MAX_DEPTH = 256  # folders in folders; deeper ones exhaust descriptors before they serve anyone

_DAMAGED = "what was there is damaged and is quarantined now"


class Pending(NamedTuple):
    """A complete file at `path`, canonical but not yet synced, that is to become an object; `inode` tells it was not swapped."""

    digest: Digest
    path: str
    inode: int


class Usage(NamedTuple):
    """Counts and bytes of a store: objects, what is quarantined, and temporaries."""

    objects: int
    bytes: int
    quarantined: int
    quarantined_bytes: int
    temporaries: int
    temporary_bytes: int


class LocalStore:
    """The Store at `root`; nothing is made until something is kept. Used from one thread; processes may share a root."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.objects = os.path.join(root, "objects")
        self.temporaries = os.path.join(self.objects, "tmp")
        self.quarantined = os.path.join(root, "quarantine")
        self.clones: bool | None = None  # whether the file system can reflink; None until it was tried
        self._sound_trees: dict[Digest, int] = {}
        self.linked: dict[Digest, list[int]] = {}  # the change time after our last link, how many are placed

    # Looking

    def path_of(self, digest: Digest) -> str:
        """Where the object lies or would lie."""
        name = hex_of(digest)
        return f"{self.objects}/{name[:2]}/{name[2:]}"

    def has(self, digest: Digest, size: int, *, tree: bool) -> bool:
        """Whether the content is here and unchanged as far as a stat tells (for a Tree: its listing and all below it)."""
        return self._has_tree(digest, size, 0) if tree else self.is_sound(digest, size)

    def is_sound(self, digest: Digest, size: int | None = None) -> bool:
        """Whether an object is here, of this size, and untouched; a touched one is hashed, and mended or quarantined."""
        path = self.path_of(digest)
        with Guard(path):
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                return False
            if disk.is_untouched(found) and (size is None or found.st_size == size):
                return True
            return self.settle(digest) and (size is None or os.lstat(path).st_size == size)

    def settle(self, digest: Digest) -> bool:
        """Hashes an object in doubt. Good: its mode and time are restored, True. Bad: it is quarantined, False."""
        why = self.check(digest)
        path = self.path_of(digest)
        if why is None:
            with Guard(path):
                try:
                    os.chmod(path, disk.OBJECT_MODE)
                    os.utime(path, ns=(disk.CANONICAL_NS, disk.CANONICAL_NS))
                except PermissionError:
                    pass  # another user's object: good all the same, and hashed again the next time
            return True
        self.quarantine(digest, why)
        return False

    def check(self, digest: Digest) -> str | None:
        """Hashes an object whole: None when it is good, else what is wrong. Changes nothing."""
        path = self.path_of(digest)
        with Guard(path):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                return "missing"
            except OSError:
                if os.path.islink(path):
                    return "not a regular file"
                raise
            try:
                before = os.fstat(fd)
                if not disk.is_regular(before):
                    return "not a regular file"
                found = disk.digest_fd(fd, before.st_size)
                after = os.fstat(fd)
            finally:
                os.close(fd)
        if found != digest:
            return f"its content is {found}"
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            return "it was being written to while it was read"
        return None

    def _has_tree(self, digest: Digest, size: int, depth: int) -> bool:
        known = self._sound_trees.get(digest)
        if known is not None:
            return known == size
        if depth > MAX_DEPTH or not self.is_sound(digest):
            return False
        try:
            entries = self.listing(digest)
        except IntegrityError:
            return False
        for entry in entries:
            if entry.kind == "d":
                if not self._has_tree(entry.digest, entry.size, depth + 1):
                    return False
            elif not self.is_sound(entry.digest, entry.size):
                return False
        self._sound_trees[digest] = tree_size(entries)
        return self._sound_trees[digest] == size

    # Reading

    def open(self, digest: Digest) -> BinaryIO:
        """A Blob's bytes for reading, verified first where a stat raises doubt. IntegrityError when missing or bad."""
        small, found = self.verified(digest)
        if small is not None:
            import io

            return io.BytesIO(small)
        path = self.path_of(digest)
        with Guard(path):
            file = open(path, "rb")  # noqa: SIM115
        if os.fstat(file.fileno()).st_ino != found.st_ino:
            file.close()
            raise self.missing(digest, "it was replaced while it was opened")
        return cast(BinaryIO, file)

    def read(self, digest: Digest) -> bytes:
        """A Blob's bytes, always verified."""
        path = self.path_of(digest)
        with Guard(path):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                raise self.missing(digest) from None
            except OSError:
                if not os.path.islink(path):
                    raise
                raise self.lost(digest, "not a regular file") from None
            try:
                found = os.fstat(fd)
                content = disk.read_all(fd, found.st_size) if disk.is_regular(found) else None
            finally:
                os.close(fd)
        if content is None:
            raise self.lost(digest, "not a regular file")
        if digest_of(content) != digest:
            raise self.lost(digest, f"its content is {digest_of(content)}")
        return content

    def listing(self, digest: Digest) -> list[TreeEntry]:
        """The entries of a Tree, verified. IntegrityError when it is missing, bad, or not a Tree."""
        try:
            return decode_tree(self.read(digest))
        except ValueError as error:
            raise IntegrityError(
                f"{digest} is not a tree: {error}",
                where=self.path_of(digest),
                hint="see what named it, with `gitml fsck`",
            ) from error

    def verified(self, digest: Digest) -> tuple[bytes | None, os.stat_result]:
        """A small Blob's verified bytes, None for a large one that a stat does not doubt; and its stat. IntegrityError."""
        path = self.path_of(digest)
        with Guard(path):
            for _ in range(2):
                try:
                    found = os.lstat(path)
                except FileNotFoundError:
                    break
                if disk.is_untouched(found):
                    return (self.read(digest) if found.st_size <= disk.SMALL else None), found
                if not self.settle(digest):
                    raise self.missing(digest, _DAMAGED)
            else:
                return (self.read(digest) if found.st_size <= disk.SMALL else None), found
        raise self.missing(digest)

    def lost(self, digest: Digest, why: str) -> IntegrityError:
        """Quarantines what was found bad; the error for it."""
        self.quarantine(digest, why)
        return self.missing(digest, _DAMAGED)

    def missing(self, digest: Digest, why: str = "it is not in the store") -> IntegrityError:
        """The error for content that is not here, or not any more."""
        return IntegrityError(
            f"{digest[:19]}… is missing: {why}",
            where=self.path_of(digest),
            hint="`gitml pull` fetches it where a remote has it; running its step again makes it",
        )

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
            return self.is_sound(digest, size)
        path = self.path_of(digest)
        if not os.path.lexists(path):
            return False
        return self.is_sound(digest, size) and (self.check(digest) is None or self.settle(digest))

    def take_file(self, path: str) -> tuple[Digest, int]:
        """Moves a regular file in; gives its Digest and size."""
        from gitml.store.intake import take_file

        return take_file(self, path)

    def take_tree(self, path: str) -> tuple[Digest, int]:
        """Moves a directory in; gives its Digest and the bytes of its files. InputError naming what can't be kept."""
        from gitml.store.intake import take_tree

        return take_tree(self, path)

    def temporary(self) -> str:
        """A new path in `objects/tmp`, which is made when missing."""
        if not os.path.isdir(self.temporaries):
            with Guard(self.temporaries):
                os.makedirs(self.temporaries, exist_ok=True)
                disk.sync_paths([self.objects, self.root, os.path.dirname(os.path.abspath(self.root))])
        return f"{self.temporaries}/{os.getpid()}-{os.urandom(8).hex()}"

    def publish_contents(self, contents: Sequence[tuple[Digest, bytes]]) -> None:
        """Makes these bytes objects."""
        pending: list[Pending] = []
        try:
            for digest, content in contents:
                pending.append(self._written(digest, content))
        except BaseException:
            self.drop_temporaries(pending)
            raise
        self.publish(pending)

    def _written(self, digest: Digest, content: bytes) -> Pending:
        path = self.temporary()
        with Guard(path):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                disk.write_all(fd, content)
                disk.make_canonical(fd)
                return Pending(digest, path, os.fstat(fd).st_ino)
            except BaseException:
                os.unlink(path)
                raise
            finally:
                os.close(fd)

    def publish(self, pending: Sequence[Pending]) -> None:
        """Makes files objects: durable first, then under their names, then the names durable. All or a failure said.

        A file that is not the one hashed any more when it arrives (swapped under way) is quarantined: IntegrityError.
        """
        try:
            with Guard(pending[0].path if len(pending) == 1 else self.temporaries):
                disk.sync_paths([item.path for item in pending])
            folders = {}
            for item in pending:
                target = self.path_of(item.digest)
                folder = os.path.dirname(target)
                with Guard(item.path):
                    try:
                        os.rename(item.path, target)
                    except FileNotFoundError:
                        os.makedirs(folder, exist_ok=True)
                        folders[self.objects] = None
                        os.rename(item.path, target)
                    if os.lstat(target).st_ino != item.inode and self.check(item.digest) is not None:
                        self.quarantine(item.digest, "another file took its place while it was taken in")
                        raise IntegrityError("another file took its place while it was taken in", where=item.path)
                folders[folder] = None
            with Guard(self.objects):
                disk.sync_paths(list(folders))
        except BaseException:
            self.drop_temporaries(pending)
            raise

    def drop_temporaries(self, pending: Iterable[Pending]) -> None:
        """Removes the temporaries among files that will not be published."""
        for item in pending:
            if os.path.dirname(item.path) == self.temporaries and os.path.lexists(item.path):
                os.unlink(item.path)

    # Giving back

    def place_file(self, digest: Digest, path: str, *, executable: bool = False) -> None:
        """Puts a Blob at `path` by reflink, hard link or copy, verified as `open` does. IntegrityError when missing or bad."""
        from gitml.store.placing import place_file

        place_file(self, digest, path, executable)

    def place_tree(self, digest: Digest, path: str) -> None:
        """Puts a Tree at `path`, a new directory."""
        from gitml.store.placing import place_tree

        place_tree(self, digest, path, 0)

    def verify_placed(self, digest: Digest, *, tree: bool) -> list[Digest]:
        """The objects behind what was placed that were changed in place since; they are quarantined already.

        Call it after a step, before its sandbox is removed. Others linking and unlinking the same objects cost a hash,
        never a false alarm.
        """
        from gitml.store.placing import verify_placed

        return verify_placed(self, digest, tree)

    def release_placed(self, digest: Digest, *, tree: bool) -> None:
        """Call it after `verify_placed` and the sandbox's removal: this unlinking then raises no doubt about the objects."""
        from gitml.store.placing import release_placed

        release_placed(self, digest, tree)

    # Upkeep

    def quarantine(self, digest: Digest, why: str) -> None:
        """Moves a bad object aside, never deleting it; from now on it counts as missing."""
        self._sound_trees.clear()
        self.linked.pop(digest, None)
        path = self.path_of(digest)
        if os.path.lexists(path):
            self.set_aside(path, hex_of(digest), why)

    def set_aside(self, path: str, name: str, why: str) -> None:
        """Moves whatever is at `path` to ``quarantine/<name>.<n>`` with a note beside it."""
        with Guard(path):
            os.makedirs(self.quarantined, exist_ok=True)
            n = 1
            while True:
                aside = os.path.join(self.quarantined, f"{name}.{n}")
                try:
                    fd = os.open(f"{aside}.txt", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
                    break
                except FileExistsError:
                    n += 1
            try:
                when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                disk.write_all(fd, f"{path}\n{why}\n{when}\n".encode("utf-8", "surrogateescape"))
            finally:
                os.close(fd)
            try:
                os.rename(path, aside)
            except FileNotFoundError:  # another process moved it aside
                os.unlink(f"{aside}.txt")
                return
            disk.sync_path(self.quarantined)

    def iterate(self) -> Iterator[tuple[Digest, int]]:
        """(Digest, size) of every object, in no order; files that are not objects are left out."""
        for folder in self.folders():
            with Guard(folder.path), os.scandir(folder.path) as entries:
                for entry in entries:
                    if is_object_name(folder.name, entry.name) and entry.is_file(follow_symlinks=False):
                        try:
                            size = entry.stat(follow_symlinks=False).st_size
                        except FileNotFoundError:
                            continue
                        yield from_hex(folder.name + entry.name), size

    def folders(self) -> list[os.DirEntry[str]]:
        """The folders that hold objects, sorted."""
        with Guard(self.objects):
            if not os.path.isdir(self.objects):
                return []
            with os.scandir(self.objects) as entries:
                found = [entry for entry in entries if len(entry.name) == 2 and entry.is_dir(follow_symlinks=False)]
        return sorted(found, key=lambda entry: entry.name)

    def delete(self, digest: Digest) -> None:
        """Removes an object; nothing happens when it is not there. Only gc may, under the exclusive lock."""
        self._sound_trees.clear()
        path = self.path_of(digest)
        with Guard(path):
            try:
                os.unlink(path)
            except FileNotFoundError:
                return

    def usage(self) -> Usage:
        """What the store holds."""
        count = total = 0
        for _, size in self.iterate():
            count += 1
            total += size
        bad = [item for item in _files_in(self.quarantined) if not item[0].endswith(".txt")]
        temporary = _files_in(self.temporaries)
        return Usage(
            count,
            total,
            len(bad),
            sum(size for _, size, _ in bad),
            len(temporary),
            sum(size for _, size, _ in temporary),
        )

    def sweep_temporaries(self, older_than: float) -> tuple[int, int]:
        """Removes temporaries last written more than `older_than` seconds ago; gives how many and their bytes."""
        count = total = 0
        edge = time.time() - older_than
        for path, size, changed in _files_in(self.temporaries):
            if changed <= edge:
                with Guard(path):
                    try:
                        os.unlink(path)
                    except FileNotFoundError:
                        continue
                count += 1
                total += size
        return count, total


def is_object_name(folder: str, name: str) -> bool:
    """Whether ``objects/<folder>/<name>`` can be an object."""
    return len(folder) == 2 and len(name) == 62 and all(letter in "0123456789abcdef" for letter in folder + name)


def _files_in(folder: str) -> list[tuple[str, int, float]]:
    """(path, size, change time) of every file directly in a folder, which may be missing."""
    found = []
    with Guard(folder):
        if not os.path.isdir(folder):
            return []
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_file(follow_symlinks=False):
                        seen = entry.stat(follow_symlinks=False)
                        # The change time: the time of last writing is the canonical one already.
                        found.append((entry.path, seen.st_size, seen.st_ctime))
                except FileNotFoundError:
                    continue
    return found
