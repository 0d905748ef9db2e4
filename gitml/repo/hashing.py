"""Files of the work tree as Git would store them: written as objects, with the filters their paths ask for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping

from gitml.core.protocols import Entry
from gitml.errors import InputError, machine_error
from gitml.repo.git import Location, git
from gitml.repo.lasting import Lasting
from gitml.repo.objects import Objects


class Hasher:
    """Writes files of the work tree into Git's object store, unsynced, and says what a tree would hold for them."""

    def __init__(self, location: Location) -> None:
        assert location.worktree is not None
        self._location = location
        self._root = location.worktree
        self._process = Lasting(location, "-c", "core.safecrlf=false", "hash-object", "-w", "--stdin-paths")
        self._modes_count: bool | None = None

    def entry(self, path: str) -> Entry:
        """The Entry for the file or link at `path`. InputError when it is neither, or its filter fails."""
        full = os.path.join(self._root, path)
        try:
            mode = os.lstat(full).st_mode
            if stat.S_ISLNK(mode):
                target = os.fsencode(os.readlink(full))
                return Entry(
                    "120000", git(self._location, "hash-object", "-w", "--stdin", input=target).decode().strip()
                )
        except OSError as error:
            raise machine_error(error, path, "can't read it") from error
        if not stat.S_ISREG(mode):
            raise InputError("neither a file nor a link", where=path)
        with self._process.lock:
            self._process.send(_quoted(path))
            oid = self._process.line().decode("ascii")
        return Entry("100755" if mode & stat.S_IXUSR and self._executables() else "100644", oid)

    def close(self) -> None:
        """Ends its process."""
        with self._process.lock:
            self._process.stop()

    def _executables(self) -> bool:
        """Whether the repository tells executable files apart."""
        if self._modes_count is None:
            answer = git(self._location, "config", "--type=bool", "core.fileMode", check=False)
            self._modes_count = answer.strip() != b"false"
        return self._modes_count


def sync_new_objects(objects: Objects, old_tree: str | None, commit: str, tree: str) -> None:
    """Makes durable what `commit` has beyond `old_tree`: each object that lies by itself (packs are synced by Git)."""
    new = [commit]
    waiting = [(old_tree, tree)]
    while waiting:
        before, after = waiting.pop()
        if before == after:
            continue
        new.append(after)
        had: Mapping[str, Entry] = objects.tree(before) if before else {}
        for name, entry in objects.tree(after).items():
            old = had.get(name)
            if entry.is_tree:
                waiting.append((old.oid if old and old.is_tree else None, entry.oid))
            elif entry != old and not entry.is_submodule:
                new.append(entry.oid)
    _sync(os.path.join(objects.location.common_dir, "objects"), new)


def _sync(folder: str, oids: Iterable[str]) -> None:
    folders = set()
    try:
        for oid in oids:
            path = os.path.join(folder, oid[:2], oid[2:])
            if os.path.exists(path):
                _fsync(path)
                folders.add(os.path.dirname(path))
        for path in folders:
            _fsync(path)
    except OSError as error:
        raise machine_error(error, folder, "can't write to disk") from error


def _fsync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _quoted(path: str) -> bytes:
    """`path` as a line that may hold anything: Git unquotes what stands in quotes."""
    raw = os.fsencode(path)
    if raw.isalnum():
        return raw + b"\n"
    out = bytearray(b'"')
    for byte in raw:
        if byte < 32 or byte in b'"\\' or byte == 127:
            out += b"\\%03o" % byte
        else:
            out.append(byte)
    return bytes(out + b'"\n')
