"""Ingesting files and directories: hashed where they lie, then renamed into the store, so that size costs one reading.

A file becomes canonical (mode and time) before it is hashed and must still be so afterwards: what writes to it at any
later moment changes its time, and is seen. A file that has other names, another owner or another file system is copied.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType

from gitml.childprocess import ChildProcess, can_fork
from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.paths import is_git_name
from gitml.core.model.tree import TreeEntry, encode_tree, link_stays_inside, tree_size
from gitml.errors import Guard, InputError, machine_error
from gitml.files import closing_fd, opened
from gitml.platform.current import platform
from gitml.store.local import disk
from gitml.store.local.object_folder import MAX_DEPTH
from gitml.store.local.object_writer import STILL_RUNS, ObjectWriter, PendingObject

_BATCH = 16384  # files; bounds the memory that a large directory takes
_MANY = 2048  # names from which on half of them are worth a process
_ASKED_EACH = 16  # small files that are new, after as many in a row, of which one is looked for in the store
_WRITE_EARLY = 32  # files in a directory from which on asking the kernel to write early pays


def _nothing() -> None:
    """What to wait for where nothing was begun."""


def ingest_file(store: ObjectWriter, path: str) -> tuple[Digest, int]:
    """Moves a regular file in; gives its Digest and size."""
    with Guard(path):
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            raise InputError("there is no such file", where=path, hint="let the step write it there") from None
    if not stat.S_ISREG(found.st_mode):
        raise _not_kept(found.st_mode, path)
    intake = _Intake(store, "")
    with intake:
        digest, size, _ = intake.file(os.path.basename(path), None, path)
        intake.flush()
    with Guard(path):
        if os.path.lexists(path):  # copied, or known already
            os.unlink(path)
    return digest, size


def ingest_tree(store: ObjectWriter, path: str, leave: bool = False) -> tuple[Digest, int]:
    """Moves a directory in; gives its Digest and the bytes of its files. Nothing is left at `path`, unless it may be.

    With `leave` what was copied, or known already, is left there: the caller removes the folders above later.
    """
    intake = _Intake(store, path, leave=True)  # what is left is removed below
    with Guard(path):
        try:
            fd = os.open(path, _FOLDER_FLAGS)
        except FileNotFoundError:
            raise InputError("there is no such directory", where=path, hint="let the step make it there") from None
        except NotADirectoryError:
            raise InputError(
                f"{disk.kind_of(os.lstat(path).st_mode)}, not a directory",
                where=path,
                hint="let the step make a directory",
            ) from None
    with intake:
        with closing_fd(fd):
            digest, size = intake.directory(fd, "")
        intake.flush()
        intake.flush_listings(root=digest)
    if leave:
        return digest, size
    import shutil

    with Guard(path):
        shutil.rmtree(path)
    return digest, size


class _Intake:
    """Ingests what is below `root`: what was hashed and waits to be published, blobs before the listings that name them."""

    def __init__(self, store: ObjectWriter, root: str, leave: bool = False) -> None:
        self.store = store
        self.root = root
        self.leave = leave  # whether small files may keep their names there
        self.files: dict[Digest, PendingObject] = {}
        self.contents: dict[Digest, bytes] = {}  # targets of links
        self.listings: dict[Digest, bytes] = {}
        self.device: int | None = None
        self.was_known = False  # the last file: then the next may be, and is only read at first
        self.new = 0  # how many in a row were not known
        self.writing: Callable[[], None] | None = _nothing
        self.shared = False  # whether another process takes a part of it in
        self.copying: str | None = None  # a copy that `files` does not have yet: the end of all may come at any moment

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self.store.drop_temporaries(self.files.values())
            if self.copying is not None:
                with suppress(FileNotFoundError):
                    os.unlink(self.copying)

    def file(self, name: str, folder: int | None, shown: str, beside: int = 0) -> tuple[Digest, int, bool]:
        """Hashes one file (`name` in the open `folder`) and notes it; gives its Digest, its size, whether it is executable.

        `beside` is how many files there are in its folder.
        """
        path = f"{self.root}/{shown}" if self.root else shown
        try:
            fd = disk.open_to_read(path if folder is None else name, folder)
        except OSError as error:
            if isinstance(error, FileNotFoundError) or os.path.islink(path):
                raise _changed(shown) from error
            if isinstance(error, PermissionError):
                raise _unreadable(shown) from error
            raise machine_error(error, path) from error
        with Guard(path), closing_fd(fd):
            return self._noted(fd, path, shown, beside)

    def _noted(self, fd: int, path: str, shown: str, beside: int) -> tuple[Digest, int, bool]:
        store = self.store
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise _not_kept(found.st_mode, shown)
        executable = bool(found.st_mode & stat.S_IXUSR)
        size = found.st_size
        is_small = size <= disk.SMALL
        if self.was_known and is_small:
            content = disk.read_all(fd, size)
            digest = digest_of(content)
            if len(content) == size and (digest in self.files or store.has_bytes(digest, content)):
                return digest, size, executable
            os.lseek(fd, 0, os.SEEK_SET)
        if self._can_move(fd, found):
            if not is_small:
                found = os.fstat(fd)
                size = found.st_size
            digest = disk.digest_while_syncing(fd, size) if store.durable else disk.digest_fd(fd, size)
            pending = PendingObject(digest, path, found.st_ino, disk.changed_if_large(found), self.leave and is_small)
            after = os.fstat(fd)
            is_same = after.st_mtime_ns == disk.CANONICAL_NS and after.st_size == size
            is_same = is_same and (is_small or after.st_ctime_ns == found.st_ctime_ns)
        else:
            pending = self._copied(fd, found)
            digest = pending.digest
            after = os.fstat(fd)
            is_same = (after.st_ctime_ns, after.st_size) == (found.st_ctime_ns, found.st_size)
        if not is_same:
            store.drop_temporaries([pending])
            raise _changed(shown)
        # what may stay gets its name only where no object has it: so among new files not each is looked for in the store
        is_asked = not pending.stays or self.new < _ASKED_EACH or self.new % _ASKED_EACH == 0
        self.was_known = digest in self.files or (is_asked and store.holds(digest, size))
        self.new = 0 if self.was_known else self.new + 1
        if not self.was_known:
            self.files[digest] = pending
            if beside >= _WRITE_EARLY and store.durable:
                self._write_early(fd, beside)
        elif pending.path != path:
            os.unlink(pending.path)
        self.copying = None
        return digest, size, executable

    def _write_early(self, fd: int, beside: int) -> None:
        """Has a file that is new begin to go to the disk: all of them at once, when there are many, or it alone."""
        if self.writing is None:
            platform.start_writing(fd)
        elif self.writing is _nothing and len(self.files) > disk.FEW:
            place = self.store.objects
            whole = disk.is_worth_one_request(beside, place)
            self.writing = disk.begin_sync(place) if whole else None

    def directory(self, fd: int, shown: str, depth: int = 0) -> tuple[Digest, int]:
        """Walks an open directory; gives its Tree's Digest and size."""
        if depth > MAX_DEPTH:
            raise InputError(
                f"folders more than {MAX_DEPTH} deep",
                where=shown,
                hint="let the step write a flatter directory or an archive",
            )
        place = f"{self.root}/{shown}"
        with Guard(place):
            found = os.fstat(fd)
            if found.st_mode & stat.S_IRWXU != stat.S_IRWXU:
                os.fchmod(fd, 0o755)  # its files must be moved out
            with os.scandir(fd) as scanned:
                items = sorted(scanned, key=lambda item: os.fsencode(item.name))
            is_large = not self.shared and len(items) > 1 and can_fork() and _has_files(place, items, _MANY)
        entries = self._by_two(items, fd, shown, depth) if is_large else self._entries(items, fd, shown, depth)
        listing = encode_tree(entries)
        digest = digest_of(listing)
        self.listings[digest] = listing
        return digest, tree_size(entries)

    def _by_two(self, items: Sequence[os.DirEntry[str]], fd: int, shown: str, depth: int) -> list[TreeEntry]:
        """As `_entries`, half of it in a child process, which publishes what it takes in itself."""
        self.shared = True

        def half() -> tuple[list[TreeEntry], dict[Digest, bytes], dict[Digest, bytes]]:
            other = _Intake(self.store, self.root, self.leave)
            other.shared = True
            with other:
                entries = other._entries(items[1::2], fd, shown, depth)
                other.flush()
            return entries, other.contents, other.listings

        with Guard(self.root):
            self.store.new_temporary()  # the folder, which both need, is made once
        try:
            child = ChildProcess(half)
        except OSError:
            return self._entries(items, fd, shown, depth)
        try:
            mine = self._entries(items[::2], fd, shown, depth)
            self.flush()
        except BaseException:
            child.end()
            raise
        others, contents, listings = child.result()
        self.contents |= contents
        self.listings |= listings
        return mine + others

    def _entries(self, items: Sequence[os.DirEntry[str]], fd: int, shown: str, depth: int) -> list[TreeEntry]:
        """What these names of an open directory are."""
        entries = []
        for item in items:
            name = item.name
            inside = f"{shown}/{name}" if shown else name
            if is_git_name(name):
                raise InputError(
                    "a Git repository, or what a file system takes for one, can't be kept",
                    where=inside,
                    hint="git runs commands that its settings name: let the step remove it, or clone outside its outputs",
                )
            if item.is_file(follow_symlinks=False):
                digest, size, executable = self.file(name, fd, inside, len(items))
                entries.append(TreeEntry(os.fsencode(name), "x" if executable else "f", digest, size))
                if len(self.files) >= _BATCH:
                    self.flush()
            elif item.is_symlink():
                entries.append(self._link(os.fsencode(name), fd, shown, inside))
            elif item.is_dir(follow_symlinks=False):
                entries.append(self._below(name, fd, inside, depth))
            else:
                with Guard(f"{self.root}/{inside}"):
                    raise _not_kept(item.stat(follow_symlinks=False).st_mode, inside)
        return entries

    def _below(self, name: str, folder: int, inside: str, depth: int) -> TreeEntry:
        """The directory `name` in the open `folder`."""
        try:
            fd = os.open(name, _FOLDER_FLAGS, dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _changed(inside) from error
        except PermissionError as error:
            raise _unreadable(inside) from error
        except OSError as error:
            raise machine_error(error, f"{self.root}/{inside}") from error
        with closing_fd(fd):
            return TreeEntry(os.fsencode(name), "d", *self.directory(fd, inside, depth + 1))

    def flush(self) -> None:
        """Publishes the files noted so far."""
        writing, self.writing = self.writing, _nothing
        if writing is not None:
            with Guard(self.store.objects):
                writing()
        if self.files:
            self.store.publish(list(self.files.values()))
            self.files = {}

    def flush_listings(self, root: Digest) -> None:
        """Publishes the targets of links, then the listings below the root, then the root."""
        last = {root: self.listings.pop(root)}
        for contents in (self.contents, self.listings, last):
            new = [(name, data) for name, data in contents.items() if not self.store.holds(name, len(data))]
            for start in range(0, len(new), _BATCH):
                self.store.publish_contents(new[start : start + _BATCH])

    def _link(self, name: bytes, folder: int, shown: str, inside: str) -> TreeEntry:
        with Guard(os.path.join(self.root, inside)):
            target = os.readlink(os.fsdecode(name), dir_fd=folder)
        if not is_safe_link(shown, target):
            raise InputError(
                f"a symbolic link that leads out of the directory, to {target!r}",
                where=inside,
                hint="let the step copy what it links to, or link with a relative path within the directory",
            )
        content = os.fsencode(target)
        digest = digest_of(content)
        self.contents[digest] = content
        return TreeEntry(name, "l", digest, len(content))

    def _can_move(self, fd: int, found: os.stat_result) -> bool:
        """Makes the file canonical if it can be renamed into the store as it is."""
        if self.device is None:
            self.store.new_temporary()
            self.device = os.stat(self.store.temporaries).st_dev
        if found.st_nlink != 1 or found.st_dev != self.device:
            return False
        try:
            disk.make_canonical(fd)
        except PermissionError:  # another user's file
            return False
        return True

    def _copied(self, fd: int, found: os.stat_result) -> PendingObject:
        self.copying = temporary = self.store.new_temporary()
        with opened(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600) as target:
            if found.st_dev == self.device and platform.clone(fd, target):
                digest = disk.digest_fd(target, found.st_size)
            else:
                digest = disk.copy_and_digest(fd, target)
            disk.make_canonical(target)
            copied = os.fstat(target)
            return PendingObject(digest, temporary, copied.st_ino, disk.changed_if_large(copied))


def _has_files(path: str, items: Sequence[os.DirEntry[str]], many: int) -> bool:
    """Whether there are `many` names at least in the directory at `path` and below it; `items` are those in itself."""
    count = len(items)
    waiting = [f"{path}/{item.name}" for item in items if item.is_dir(follow_symlinks=False)] if count < many else []
    while waiting and count < many:
        try:
            with os.scandir(waiting.pop()) as scanned:
                for item in scanned:
                    count += 1
                    if item.is_dir(follow_symlinks=False):
                        waiting.append(item.path)
        except OSError:  # what can't be looked into is refused when its turn comes
            continue
    return count >= many


_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def is_safe_link(directory: str, target: str) -> bool:
    """Whether a link in `directory` of a Tree stays below its root, whatever other links it passes through.

    ``..`` counts only in front, where every folder it leaves is a real one: after a name it might leave the place a link
    leads to instead.
    """
    parts = [part for part in target.split("/") if part not in ("", ".")]
    while parts and parts[0] == "..":
        parts.pop(0)
    return ".." not in parts and link_stays_inside(directory, target)


def _changed(where: str) -> InputError:
    return InputError("it changed while it was taken", where=where, hint=STILL_RUNS)


def _unreadable(where: str) -> InputError:
    return InputError("it can't be read", where=where, hint="let the step leave its outputs readable")


def _not_kept(mode: int, where: str) -> InputError:
    return InputError(
        f"{disk.kind_of(mode)} can't be kept: only files, folders and links inside can",
        where=where,
        hint="let the step write a regular file, or remove it before it ends",
    )
