"""Files of the work tree as Git would store them: written as objects, with the filters their paths ask for."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from gitml.core.model.protocols import Entry
from gitml.errors import InputError, machine_error
from gitml.git.command import Location, git
from gitml.git.integrity.durability import announce
from gitml.git.integrity.object_check import looks_empty, quarantine_object
from gitml.git.persistent_process import PersistentProcess


class Hasher:
    """Writes files of the work tree into Git's object store, unsynced, and says what a tree would hold for them.

    Whoever is done calls `durability.sync_objects`: an object that a power cut leaves empty can't be written again by Git.
    """

    def __init__(self, location: Location) -> None:
        assert location.worktree is not None
        self._location = location
        self._root = location.worktree
        self._process = PersistentProcess(location, "-c", "core.safecrlf=false", "hash-object", "-w", "--stdin-paths")
        self._modes_count: bool | None = None

    def entry(self, path: str) -> Entry:
        """The Entry for the file or link at `path`. InputError when it is neither, or its filter fails."""
        full = os.path.join(self._root, path)
        try:
            mode = os.lstat(full).st_mode
            if stat.S_ISLNK(mode):
                target = os.fsencode(os.readlink(full))
                return Entry("120000", self._whole(path, lambda: self._written_link(target)))
        except OSError as error:
            raise machine_error(error, path, "can't read it") from error
        if not stat.S_ISREG(mode):
            raise InputError("neither a file nor a link", where=path)
        oid = self._whole(path, lambda: self._written(path))
        return Entry("100755" if mode & stat.S_IXUSR and self._executables() else "100644", oid)

    def _whole(self, path: str, write: Callable[[], str]) -> str:
        """The object that `write` writes; once more when a power cut had left an empty file of that name, which Git lets be."""
        oid = write()
        if looks_empty(self._location, oid):
            aside = quarantine_object(self._location, oid)
            announce(
                f"a power cut left a Git object of {path} empty: it is written again, and the empty file is {aside}"
            )
            oid = write()
        return oid

    def _written_link(self, target: bytes) -> str:
        return git(self._location, "hash-object", "-w", "--stdin", input=target).decode("ascii").strip()

    def _written(self, path: str) -> str:
        with self._process.lock:
            self._process.send(_quoted(path))
            return self._process.line().decode("ascii")

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
