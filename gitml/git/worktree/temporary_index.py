"""A copy of the index to write trees from; the index itself is never touched."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from gitml import layout
from gitml.core.model.protocols import Entry
from gitml.errors import machine_error
from gitml.git.command import Location, git
from gitml.git.repository import sharing_at

_STALE = 86_400.0
# The copy stands alone: it must not write shared parts of a split index, nor ask a monitor about the real one.
_CONFIG = (
    "-c",
    "core.splitIndex=false",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.safecrlf=false",
    "-c",
    "advice.all=false",
)


class TemporaryIndex:
    """An index under ``gitml/tmp`` of the Git folder that starts `empty`, or as the work tree's index or `index` is."""

    def __init__(self, location: Location, index: str | None = None, *, empty: bool = False) -> None:
        self._location = location
        folder = location.scratch or layout.own_folder(location.common_dir, layout.TMP)
        self._path = os.path.join(folder, f"index-{os.getpid()}-{os.urandom(6).hex()}")
        try:
            if not os.path.isdir(folder):
                sharing_at(location, os.environ).make_folder(folder)
            _clear_stale(folder)
            if not empty:
                self._copy(index or os.path.join(location.git_dir, "index"))
        except OSError as error:
            raise machine_error(error, folder, "can't copy Git's index") from error

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
        """Brings tracked `paths` up to what the work tree holds, as ``git add`` would: filters, line ends, modes, submodules."""
        self._update("--add", "--replace", "--remove", "-z", "--stdin", given="".join([path + "\0" for path in paths]))

    def remove(self, paths: Iterable[str]) -> None:
        """Takes `paths` out, wherever they lead now."""
        self._update("--force-remove", "-z", "--stdin", given="".join([path + "\0" for path in paths]))

    def put(self, entries: Mapping[str, Entry]) -> None:
        """Puts `entries`, by path, in place of whatever is in their way."""
        given = "".join([f"{entry.mode} {entry.oid}\t{path}\0" for path, entry in entries.items()])
        self._update("--add", "--replace", "-z", "--index-info", given=given)

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
        if entry.name.startswith("index-") and now - entry.stat().st_ctime > _STALE:
            with suppress(OSError):  # another user's, or taken away just now
                os.unlink(entry.path)
