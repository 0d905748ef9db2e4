"""Taking files and directories in: hashed where they lie, then renamed into the store, so that size costs one reading.

A file becomes canonical (mode and time) before it is hashed and must still be so afterwards: what writes to it at any
later moment changes its time, and is seen. A file that has other names, another owner or another file system is copied.
"""

from __future__ import annotations

import os
import stat
from types import TracebackType

from gitml.core.digest import Digest, digest_of
from gitml.core.paths import is_git_name
from gitml.core.tree import TreeEntry, encode_tree, link_stays_inside, tree_size
from gitml.errors import InputError, machine_error
from gitml.store import disk
from gitml.store.disk import Guard
from gitml.store.objects import MAX_DEPTH, STILL_RUNS, LocalStore, Pending

_BATCH = 4096  # files; bounds the memory that a large directory takes
_WRITE_EARLY = 32  # files in a directory from which on asking the kernel to write early pays


def take_file(store: LocalStore, path: str) -> tuple[Digest, int]:
    """Moves a regular file in; gives its Digest and size."""
    with Guard(path):
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            raise InputError("there is no such file", where=path, hint="let the step write it there") from None
    if not stat.S_ISREG(found.st_mode):
        raise _not_kept(found.st_mode, path)
    intake = _Intake(store, os.path.dirname(path) or ".")
    with intake:
        digest, size, _ = intake.file(os.path.basename(path), None, path)
        intake.flush()
    with Guard(path):
        if os.path.lexists(path):  # copied, or known already
            os.unlink(path)
    return digest, size


def take_tree(store: LocalStore, path: str, leave: bool = False) -> tuple[Digest, int]:
    """Moves a directory in; gives its Digest and the bytes of its files. Nothing is left at `path`, unless it may be.

    With `leave` what was copied, or known already, is left there: whoever removes the folders above need not be waited for.
    """
    intake = _Intake(store, path)
    with Guard(path):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise InputError("there is no such directory", where=path, hint="let the step make it there") from None
        except NotADirectoryError:
            raise InputError(
                f"{disk.kind_of(os.lstat(path).st_mode)}, not a directory",
                where=path,
                hint="let the step make a directory",
            ) from None
    with intake:
        try:
            digest, size = intake.directory(fd, "")
        finally:
            os.close(fd)
        intake.flush()
        intake.flush_listings(root=digest)
    if leave:
        return digest, size
    import shutil

    with Guard(path):
        shutil.rmtree(path)
    return digest, size


class _Intake:
    """One taking: what was hashed and waits to be published, blobs before the listings that name them."""

    def __init__(self, store: LocalStore, root: str) -> None:
        self.store = store
        self.root = root
        self.files: dict[Digest, Pending] = {}
        self.contents: dict[Digest, bytes] = {}  # targets of links
        self.listings: dict[Digest, bytes] = {}
        self.device: int | None = None
        self.was_known = False  # the last file: then the next may be, and is only read at first

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self.store.drop_temporaries(self.files.values())

    def file(self, name: str, folder: int | None, shown: str, early: bool = False) -> tuple[Digest, int, bool]:
        """Hashes one file (`name` in the open `folder`) and notes it; gives its Digest, its size, whether it is executable."""
        store = self.store
        path = shown if folder is None else os.path.join(self.root, shown)
        try:
            fd = os.open(name if folder is not None else path, _FILE_FLAGS, dir_fd=folder)
        except OSError as error:
            if isinstance(error, FileNotFoundError) or os.path.islink(path):
                raise _changed(shown) from error
            if isinstance(error, PermissionError):
                raise _unreadable(shown) from error
            raise machine_error(error, path) from error
        with Guard(path):
            try:
                found = os.fstat(fd)
                if not stat.S_ISREG(found.st_mode):
                    raise _not_kept(found.st_mode, shown)
                executable = bool(found.st_mode & stat.S_IXUSR)
                if self.was_known and found.st_size <= disk.SMALL:
                    digest = disk.digest_fd(fd, found.st_size)
                    if _moment(os.fstat(fd)) != _moment(found):
                        raise _changed(shown)
                    if digest in self.files or store.holds(digest, found.st_size):
                        return digest, found.st_size, executable
                    os.lseek(fd, 0, os.SEEK_SET)
                if self._can_move(fd, found):
                    found = os.fstat(fd)
                    hashed = disk.digest_while_syncing if store.durable else disk.digest_fd
                    digest = hashed(fd, found.st_size)
                    pending = Pending(digest, path, found.st_ino, disk.changed_if_large(found))
                else:
                    pending = self._copied(fd, found)
                    digest = pending.digest
                if _moment(os.fstat(fd)) != _moment(found):
                    store.drop_temporaries([pending])
                    raise _changed(shown)
                self.was_known = digest in self.files or store.holds(digest, found.st_size)
                if not self.was_known:
                    self.files[digest] = pending
                    if early and store.durable:
                        disk.start_writing(fd)
            finally:
                os.close(fd)
        if self.was_known and pending.path != path:
            os.unlink(pending.path)
        return digest, found.st_size, executable

    def directory(self, fd: int, shown: str, depth: int = 0) -> tuple[Digest, int]:
        """Walks an open directory; gives its Tree's Digest and size."""
        if depth > MAX_DEPTH:
            raise InputError(
                f"folders more than {MAX_DEPTH} deep",
                where=shown,
                hint="let the step write a flatter directory or an archive",
            )
        with Guard(os.path.join(self.root, shown)):
            found = os.fstat(fd)
            if found.st_mode & stat.S_IRWXU != stat.S_IRWXU:
                os.fchmod(fd, 0o755)  # its files must be moved out
            with os.scandir(fd) as scanned:
                names = sorted((os.fsencode(item.name), item) for item in scanned)
        early = len(names) >= _WRITE_EARLY
        entries = []
        for name, item in names:
            inside = f"{shown}/{item.name}" if shown else item.name
            if is_git_name(item.name):
                raise InputError(
                    "a Git repository, or what a file system takes for one, can't be kept",
                    where=inside,
                    hint="git runs commands that its settings name: let the step remove it, or clone outside its outputs",
                )
            if item.is_symlink():
                entries.append(self._link(name, fd, shown, inside))
            elif item.is_dir(follow_symlinks=False):
                try:
                    below = os.open(item.name, _FOLDER_FLAGS, dir_fd=fd)
                except (FileNotFoundError, NotADirectoryError) as error:
                    raise _changed(inside) from error
                except PermissionError as error:
                    raise _unreadable(inside) from error
                except OSError as error:
                    raise machine_error(error, os.path.join(self.root, inside)) from error
                try:
                    entries.append(TreeEntry(name, "d", *self.directory(below, inside, depth + 1)))
                finally:
                    os.close(below)
            elif item.is_file(follow_symlinks=False):
                digest, size, executable = self.file(item.name, fd, inside, early)
                entries.append(TreeEntry(name, "x" if executable else "f", digest, size))
                if len(self.files) >= _BATCH:
                    self.flush()
            else:
                with Guard(os.path.join(self.root, inside)):
                    raise _not_kept(item.stat(follow_symlinks=False).st_mode, inside)
        listing = encode_tree(entries)
        digest = digest_of(listing)
        self.listings[digest] = listing
        return digest, tree_size(entries)

    def flush(self) -> None:
        """Publishes the files noted so far."""
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
            self.store.temporary()
            self.device = os.stat(self.store.temporaries).st_dev
        if found.st_nlink != 1 or found.st_dev != self.device:
            return False
        try:
            disk.make_canonical(fd)
        except PermissionError:  # another user's file
            return False
        return True

    def _copied(self, fd: int, found: os.stat_result) -> Pending:
        temporary = self.store.temporary()
        target = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if found.st_dev == self.device and disk.clone(fd, target):
                digest = disk.digest_fd(target, found.st_size)
            else:
                digest = disk.copy_and_digest(fd, target)
            disk.make_canonical(target)
            copied = os.fstat(target)
            return Pending(digest, temporary, copied.st_ino, disk.changed_if_large(copied))
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(target)


_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
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


def _moment(found: os.stat_result) -> tuple[int, int, int]:
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns)


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
