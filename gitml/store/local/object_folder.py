"""The folder of objects on the disk: checking one, reading it verified, quarantining a bad one.

``objects/ab/<62 hex>``  one object; regular, mode 0444, last modified at a fixed time
``objects/tmp/``         what is being written; garbage once its writer is gone
``quarantine/<hex>.<n>`` a bad object, and beside it ``<hex>.<n>.txt``: where it was, why and when

Writing to an object changes its time, which a stat shows; an object that was touched is hashed, and either repaired or
quarantined. Before a large object is used its change time must be the one noted in the stat cache as well: a writer can
put back the other time, but not this one.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import BinaryIO, NamedTuple, cast

from gitml import layout
from gitml.core.model.digest import Digest, digest_of, from_hex, hex_of
from gitml.core.model.tree import TreeEntry, decode_tree, tree_size
from gitml.errors import Guard, IntegrityError
from gitml.files import opened, write_all
from gitml.permissions import ALONE, SharedMode
from gitml.store.local import disk
from gitml.store.local.stat_cache import StatCache

MOST_NAMES = 10_000_000  # files and folders of a directory
MAX_DEPTH = 256  # folders in folders; deeper ones exhaust descriptors before they serve anyone
_NO_FILE = "not a regular file"
_DAMAGED = "what was there is damaged and is quarantined now"


class StoreUsage(NamedTuple):
    """Counts and bytes of a store: objects, what is quarantined, and temporaries."""

    objects: int
    bytes: int
    quarantined: int
    quarantined_bytes: int
    temporaries: int
    temporary_bytes: int


class LinkedObject:
    """An object that this process placed by `count` hard links: its change time after the last, its names before the first.

    `unchanged`: it was checked after the step, and nobody had written to it.
    """

    __slots__ = ("changed", "count", "names", "unchanged")

    def __init__(self, found: os.stat_result) -> None:
        self.changed = found.st_ctime_ns
        self.names = found.st_nlink
        self.count = 0
        self.unchanged = False


class ObjectFolder:
    """Objects and quarantine below `root`; nothing is made by looking."""

    def __init__(self, root: str, sharing: SharedMode = ALONE) -> None:
        self.root = root
        self.sharing = sharing
        self.objects = os.path.join(root, layout.OBJECTS)
        self.temporaries = os.path.join(self.objects, "tmp")
        self.quarantined = os.path.join(root, layout.QUARANTINE)
        self.sound_trees: dict[Digest, int] = {}  # Trees found whole by this process, with their size
        self.tree_bounds: dict[
            Digest, tuple[int, int]
        ] = {}  # (names, folders in folders) of each Tree: they can't change
        self.linked: dict[Digest, LinkedObject] = {}
        self.stats = StatCache(root, sharing)
        self.clones: bool | None = None  # whether the file system can reflink; None until it was tried

    def path_of(self, digest: Digest) -> str:
        """Where the object lies or would lie."""
        name = hex_of(digest)
        return f"{self.objects}/{name[:2]}/{name[2:]}"

    def has(self, digest: Digest, size: int, *, tree: bool) -> bool:
        """Whether the content is here and unchanged by its stat (for a Tree: its listing and all below it)."""
        return self._has_tree(digest, size, 0) if tree else self.is_intact(digest, size)

    def is_within_limits(self, digest: Digest) -> bool:
        """Whether a Tree that is here has at most MOST_NAMES names, in folders at most MAX_DEPTH deep. IntegrityError.

        A listing may name another again and again, so a few kilobytes can stand for a tree without end.
        """
        count, height = self._bounds(digest, 0)
        return count <= MOST_NAMES and height <= MAX_DEPTH

    def _bounds(self, digest: Digest, depth: int, entries: Sequence[TreeEntry] | None = None) -> tuple[int, int]:
        """(names, folders in folders) below a Tree."""
        known = self.tree_bounds.get(digest)
        if known is not None or depth > MAX_DEPTH:
            return known or (0, MAX_DEPTH + 1)
        entries = self.listing(digest) if entries is None else entries
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
        self._bounds(digest, depth, entries)  # while they are at hand
        self.sound_trees[digest] = tree_size(entries)
        return self.sound_trees[digest] == size

    def is_intact(self, digest: Digest, size: int | None = None) -> bool:
        """Whether an object is here, of this size, and untouched; a touched one is hashed, and repaired or quarantined."""
        path = self.path_of(digest)
        with Guard(path):
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                return False
            if disk.is_untouched(found) and (size is None or found.st_size == size):
                return True
            return self.verify(digest) and (size is None or os.lstat(path).st_size == size)

    def size_of(self, digest: Digest) -> int | None:
        """The bytes of an object by its stat, None when it is not here."""
        path = self.path_of(digest)
        with Guard(path), suppress(FileNotFoundError):
            return os.lstat(path).st_size
        return None

    def verify(self, digest: Digest) -> bool:
        """Hashes an object in doubt. Good: its mode and time are restored, True. Bad: it is quarantined, False."""
        why, found = self._examine(digest)
        path = self.path_of(digest)
        if why is None:
            with Guard(path):
                try:
                    if found is None or not disk.is_untouched(found):
                        os.chmod(path, disk.OBJECT_MODE)
                        os.utime(path, ns=(disk.CANONICAL_NS, disk.CANONICAL_NS))
                        found = found and os.lstat(path)
                except PermissionError:
                    return True  # another user's object: good all the same, and hashed again the next time
            if found is not None and found.st_size > disk.SMALL:
                self.stats.note(digest, found)
            return True
        if self.check(digest) is None:
            return True  # another process has put a good one in its place since: that one stays
        self.quarantine(digest, why)
        return False

    def check(self, digest: Digest) -> str | None:
        """Hashes an object whole: None when it is good, else what is wrong. Changes nothing."""
        return self._examine(digest)[0]

    def _examine(self, digest: Digest) -> tuple[str | None, os.stat_result | None]:
        """As `check`; with the object's stat where it was the same before and after the hash."""
        path = self.path_of(digest)
        with Guard(path):
            try:
                with opened(path, disk.LOOK) as fd:
                    before = os.fstat(fd)
                    if not disk.is_regular(before):
                        return _NO_FILE, None
                    found = disk.digest_fd(fd, before.st_size)
                    after = os.fstat(fd)
            except FileNotFoundError:
                return "missing", None
            except OSError:
                if os.path.islink(path):
                    return _NO_FILE, None
                raise
        if found != digest:
            return f"its content is {found}", None
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            return "it was being written to while it was read", None
        return None, after if before.st_ctime_ns == after.st_ctime_ns else None

    def open(self, digest: Digest) -> BinaryIO:
        """A Blob's bytes for reading, verified first where a stat raises doubt. IntegrityError when missing or bad."""
        while True:
            small, found = self.verified(digest)
            if small is not None:
                import io

                return io.BytesIO(small)
            path = self.path_of(digest)
            with Guard(path):
                file = open(path, "rb")  # noqa: SIM115
            if os.fstat(file.fileno()).st_ino == found.st_ino:
                return cast(BinaryIO, file)
            file.close()  # another process put the same content in its place: that one is to be verified too

    def read(self, digest: Digest) -> bytes:
        """A Blob's bytes, always verified."""
        path = self.path_of(digest)
        with Guard(path):
            try:
                with opened(path, disk.LOOK) as fd:
                    found = os.fstat(fd)
                    content = disk.read_all(fd, found.st_size) if disk.is_regular(found) else None
            except FileNotFoundError:
                raise self.missing(digest) from None
            except OSError:
                if not os.path.islink(path):
                    raise
                content = None
        if content is None:
            raise self.lost(digest, _NO_FILE)
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
        """A small Blob's verified bytes, None for a large one, hashed if its stat raises doubt; and its stat. IntegrityError."""
        path = self.path_of(digest)
        with Guard(path):
            for _ in range(2):
                try:
                    found = os.lstat(path)
                except FileNotFoundError:
                    break
                if disk.is_untouched(found):
                    if found.st_size <= disk.SMALL:
                        return self.read(digest), found
                    if self.stats.agrees(digest, found):
                        return None, found
                if not self.verify(digest):
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

    def quarantine(self, digest: Digest, why: str) -> None:
        """Moves a bad object aside, never deleting it; from now on it counts as missing."""
        self.sound_trees.clear()
        self.linked.pop(digest, None)
        self.stats.forget(digest)
        path = self.path_of(digest)
        if os.path.lexists(path):
            self.set_aside(path, hex_of(digest), why)

    def is_quarantined(self, digest: Digest) -> bool:
        """Whether a copy of this content was found bad here and set aside."""
        return os.path.lexists(os.path.join(self.quarantined, f"{hex_of(digest)}.1"))

    def set_aside(self, path: str, name: str, why: str) -> None:
        """Moves whatever is at `path` to ``quarantine/<name>.<n>`` with a note beside it."""
        with Guard(path):
            self.sharing.make_folder(self.quarantined)
            when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            for number in itertools.count(1):
                aside = os.path.join(self.quarantined, f"{name}.{number}")
                with (
                    suppress(FileExistsError),
                    opened(f"{aside}.txt", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644) as fd,
                ):
                    write_all(fd, f"{path}\n{why}\n{when}\n".encode("utf-8", "surrogateescape"))
                    break
            self.sharing.open_up(f"{aside}.txt")
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
        self.sound_trees.clear()
        self.stats.forget(digest)
        path = self.path_of(digest)
        with Guard(path), suppress(FileNotFoundError):
            os.unlink(path)

    def usage(self) -> StoreUsage:
        """What the store holds."""
        count = total = 0
        for _, size in self.iterate():
            count += 1
            total += size
        bad = [item for item in _files_in(self.quarantined) if not item[0].endswith(".txt")]
        temporary = _files_in(self.temporaries)
        return StoreUsage(
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
                with Guard(path), suppress(FileNotFoundError):
                    os.unlink(path)
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
                with suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False):
                        seen = entry.stat(follow_symlinks=False)
                        # The change time: the time of last writing is the canonical one already.
                        found.append((entry.path, seen.st_size, seen.st_ctime))
    return found
