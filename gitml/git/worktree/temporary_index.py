"""A copy of the index to write trees from, and files hashed as Git would; the index itself is never touched."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from gitml import layout
from gitml.core.model.protocols import Entry
from gitml.errors import Guard, InputError
from gitml.git.command import Location, config_value, git
from gitml.git.integrity.quarantine import looks_empty, quarantine_object
from gitml.git.integrity.repairs import announce
from gitml.git.persistent_process import PersistentProcess
from gitml.git.repository import sharing_at

_STALE = 86_400.0
# The copy stands alone: it must not write shared parts of a split index, nor ask a monitor about the real one.
_CONFIG = "-c core.splitIndex=false -c core.fsmonitor=false -c core.safecrlf=false -c advice.all=false".split()


class TemporaryIndex:
    """An index under ``gitml/tmp`` of the Git folder that starts `empty`, or as the work tree's index or `index` is."""

    def __init__(self, location: Location, index: str | None = None, *, empty: bool = False) -> None:
        self._location = location
        folder = location.scratch or layout.own_folder(location.common_dir, layout.TMP)
        self._path = os.path.join(folder, f"index-{os.getpid()}-{os.urandom(6).hex()}")
        with Guard(folder, "can't copy Git's index"):
            if not os.path.isdir(folder):
                sharing_at(location, os.environ).make_folder(folder)
            _clear_stale(folder)
            if not empty:
                self._copy(index or os.path.join(location.git_dir, "index"))

    def _copy(self, index: str) -> None:
        if not os.path.exists(index):
            return
        with open(index, "rb") as source, open(self._path, "wb") as target:
            times = os.fstat(source.fileno())
            while chunk := source.read(1 << 20):
                target.write(chunk)
        # Git distrusts a recorded stat that is not older than the index. A copy that looks newer would hide a change made
        # in the same instant as the last `git add`.
        os.utime(self._path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def take(self, paths: Iterable[str]) -> None:
        """Updates tracked `paths` to what the work tree holds, as ``git add`` would: filters, line ends, modes, submodules."""
        self._update("--add", "--replace", "--remove", "-z", "--stdin", given="".join([path + "\0" for path in paths]))

    def remove(self, paths: Iterable[str]) -> None:
        """Takes `paths` out, wherever they lead now."""
        self._update("--force-remove", "-z", "--stdin", given="".join([path + "\0" for path in paths]))

    def put(self, entries: Mapping[str, Entry]) -> None:
        """Puts `entries`, by path, in place of whatever is in their way."""
        given = "".join([f"{entry.mode} {entry.oid}\t{path}\0" for path, entry in entries.items()])
        self._update("--add", "--replace", "-z", "--index-info", given=given)

    def read(self, tree: str) -> None:
        """Takes in all of a tree, in place of what it has."""
        self._git("read-tree", tree)

    def write_tree(self) -> str:
        """The id of the tree of all of it."""
        return self._git("write-tree").decode("ascii").strip()

    def write_every_tree(self) -> None:
        """Writes the tree and all below it, those too that Git remembers to have written and that are gone."""
        listed = self._git("ls-files", "--stage", "-z")
        without_memory = TemporaryIndex(self._location, empty=True)
        try:
            if listed:
                without_memory._git("update-index", "-z", "--index-info", input=listed)
            without_memory.write_tree()
        finally:
            without_memory.close()

    def close(self) -> None:
        """Removes the copy."""
        for path in (self._path, self._path + ".lock"):
            if os.path.exists(path):
                os.unlink(path)

    def _update(self, *args: str, given: str) -> None:
        if given:
            self._git("update-index", *args, input=os.fsencode(given))

    def _git(self, *args: str, input: bytes | None = None) -> bytes:
        return git(self._location, *_CONFIG, *args, input=input, env={"GIT_INDEX_FILE": self._path})


def _clear_stale(folder: str) -> None:
    """Removes copies that a killed process left behind a day ago or more (by change time: the other is the index's)."""
    now = time.time()
    for entry in os.scandir(folder):
        with suppress(OSError):  # another user's, or taken away just now
            if entry.name.startswith("index-") and now - entry.stat(follow_symlinks=False).st_ctime > _STALE:
                os.unlink(entry.path)


class Hasher:
    """Writes files of the work tree into Git's object store, unsynced, and says what a tree would hold for them.

    The caller calls `durability.sync_objects` at the end: an object that a power cut leaves empty can't be written again by Git.
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
        with Guard(path, "can't read it"):
            mode = os.lstat(full).st_mode
            if stat.S_ISLNK(mode):
                target = os.fsencode(os.readlink(full))
                return Entry("120000", self._whole(path, lambda: self._written_link(target)))
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
            self._process.close()

    def _executables(self) -> bool:
        """Whether the repository distinguishes executable files."""
        if self._modes_count is None:
            self._modes_count = config_value(self._location, "--type=bool", "core.fileMode") != "false"
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
