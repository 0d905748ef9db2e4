"""An append-only log of records in a Git ref.

Each record is one commit whose parents are the record before it and the commit it is about, so that nothing that a record
names is ever collected. The first parent of the first record is a fixed commit without files, the same in every log: logs
that grew apart have it in common. The tree holds records only.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from gitml.errors import BusyError, InputError, IntegrityError, TrustError
from gitml.git.command import DURABLE, Location, git_status, is_refused_by_machine, popen, translate
from gitml.git.integrity.durability import UPDATE, sync_objects, sync_refs
from gitml.git.log.remote_refs import ref_file
from gitml.git.objects.reader import Objects

if TYPE_CHECKING:
    from gitml.git.integrity.ref_recovery import RecoveredRef
    from gitml.git.log.diff import Changes, LogDiff

_PATIENCE = 20.0
_COMMITTER = "gitml <gitml@localhost>"
_ROOT = f"commit %s\nmark :1\ncommitter {_COMMITTER} 0 +0000\ndata 10\ngitml log\n\n"
# One small pack syncs three times faster than the dozen loose objects of a record; `maintain` joins packs.
_IMPORT = (*DURABLE, "-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", "--date-format=raw-permissive")

_NOTHING: Mapping[str, str] = {}


class GitRecordLog:
    """The log in `ref`. `lock` gives a context that keeps other writers of this machine waiting; without it they retry."""

    def __init__(
        self,
        location: Location,
        objects: Objects,
        ref: str,
        lock: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        if not ref.startswith("refs/") or any(c <= " " or c in "~^:?*[\\\x7f" for c in ref) or ".." in ref:
            raise InputError(f"not a ref that can hold a log: {ref!r}")
        self._location = location
        self._objects = objects
        self._ref = ref
        self._lock = lock
        self._ready: dict[str, subprocess.Popen[bytes]] = {}

    def prepare(self) -> None:
        """Starts what the next `append` will need, so that its start overlaps with other work."""
        if not self._ready:
            asked = {"import": _IMPORT, "update": UPDATE}
            self._ready = {name: popen(self._location, *args, local=True) for name, args in asked.items()}

    def close(self) -> None:
        """Ends what was prepared and not needed."""
        # By the end of its input: fast-import leaves its new pack behind when it is killed.
        for process in self._ready.values():
            process.communicate()
        self._ready = {}

    def tip(self) -> str | None:
        """The newest record commit."""
        oid = ref_file(self._location, self._ref)
        if oid is not None and self._objects.is_oid(oid):
            return oid
        return self._objects.resolve(self._ref)  # packed, kept otherwise, or not there: git knows

    def recover_ref(self, known: str | None, folder: str) -> RecoveredRef | None:
        """Restores the ref where it is damaged or gone; `known` is the record that it ended at, the files lie in `folder`."""
        from gitml.git.integrity.ref_recovery import recover_ref

        return recover_ref(self._location, self._objects, self._ref, known, folder, self._lock)

    def is_gone(self) -> bool:
        """Whether there is no such ref, not even one that names a commit that is missing."""
        from gitml.git.integrity.ref_recovery import is_gone

        return is_gone(self._location, self._objects, self._ref)

    def append(self, files: Mapping[str, bytes], message: str, source_commit: str | None) -> str:
        """Adds files (paths that no record has yet) in one durable commit whose parents are the tip and `source_commit`.

        IntegrityError when a path is taken, BusyError when other writers came first for 20 seconds.
        """
        parents = () if source_commit is None else (source_commit,)
        deadline = time.monotonic() + _PATIENCE
        tries = 0
        while True:
            with self._lock():
                tip = self.tip()
                commit = self.compose(tip, files, message, parents)
                problem = self._advance(tip, commit)
            if problem is None:
                return commit
            if time.monotonic() > deadline:
                raise BusyError(
                    f"{self._ref} can't be moved: {problem}", where=self._location.common_dir, hint="try again"
                )
            tries += 1
            time.sleep(0.005 * min(2**tries, 64) * (0.5 + os.urandom(1)[0] / 256))

    def has(self, path: str) -> bool:
        """Whether a record has a file at this path."""
        tip = self.tip()
        return tip is not None and self._objects.header(f"{tip}:{path}") is not None

    def append_missing(self, files: Mapping[str, bytes], message: str, source_commit: str | None) -> None:
        """Adds those of `files` that no record has, as `append` does.

        Another process, or the git of one that was killed, may add some of them meanwhile: what they say is in their names.
        """
        missing = {path: content for path, content in files.items() if not self.has(path)}
        while missing:
            try:
                self.append(missing, message, source_commit)
            except IntegrityError:
                left = {path: content for path, content in missing.items() if not self.has(path)}
                if left == missing:
                    raise
                missing = left
            else:
                return

    def compose(
        self,
        tip: str | None,
        files: Mapping[str, bytes],
        message: str,
        parents: Sequence[str] = (),
        *,
        trees: Mapping[str, str] = _NOTHING,
        sign: bool = False,
    ) -> str:
        """Writes the record that `append` would put behind `tip` and leaves the log as it is; `move` makes it part of it.

        `parents` are further parents. `trees` puts Git trees that are there already (by object id) at paths, without copying what
        is in them. With `sign` the commit is the user's own and signed with their key.
        """
        for path in (*files, *trees):
            _check_path(path)
        for oid in (*parents, *trees.values()):
            if not self._objects.is_oid(oid):
                raise InputError(f"not an object id: {oid[:80]!r}")
        if tip is not None:
            self._refuse_taken(tip, (*files, *trees))
        commit = self._write(tip, files, message, parents, trees)
        return self._signed(commit, message) if sign else commit

    def merge(self, ours: str | None, theirs: str, files: Mapping[str, str], message: str) -> str:
        """Writes the record that follows `ours` and `theirs`: it holds what `ours` does, and `files` (path -> blob) of `theirs`.

        The log stays as it is; `move` makes it part of it.
        """
        for path, oid in files.items():
            _check_path(path)
            if not self._objects.is_oid(oid):
                raise InputError(f"not an object id: {oid[:80]!r}")
        return self._write(ours, {}, message, (theirs,), {}, files)

    def move(self, old: str | None, new: str) -> bool:
        """Makes the log end at the record commit `new`, durably, if it still ends at `old`; whether it did."""
        with self._lock():
            return self._advance(old, new) is None

    def difference(self, ours: str | None, theirs: str) -> LogDiff:
        """How the log at the record `theirs` differs from that at `ours`."""
        from gitml.git.log.diff import LogDiff

        return LogDiff(self._objects, ours, theirs)

    def is_ahead_of(self, known: str, tip: str, within: int) -> bool:
        """Whether the record `tip` is, or comes after, `known`, found by looking at no more than `within` records."""
        from gitml.git.log.diff import is_ahead_of

        return is_ahead_of(self._location, known, tip, within)

    def changes(self, known: str | None, tip: str, below: str) -> Changes:
        """What the folder `below` has at the record `tip` and not at the record `known`, and the other way round."""
        from gitml.git.log.diff import changes_between

        return changes_between(self._objects, known, tip, below)

    def read(self, oid: str) -> bytes:
        """A blob of the log."""
        return self._objects.read(oid)

    def maintain(self) -> bool:
        """Joins packs in the background when records have left many; cheap to call after every run."""
        from gitml.git.integrity.packs import repack

        return repack(self._location)

    def _refuse_taken(self, tip: str, paths: Sequence[str]) -> None:
        for path in paths:
            if self._objects.find(f"{tip}:{path}") is not None:
                raise IntegrityError("a record of this name is there already; records never change", where=path)

    def _write(
        self,
        tip: str | None,
        files: Mapping[str, bytes],
        message: str,
        parents: Sequence[str],
        trees: Mapping[str, str],
        blobs: Mapping[str, str] = _NOTHING,
    ) -> str:
        """Writes the commit without moving the ref.

        fast-import's own test that a ref only moves forward would walk all records whenever a parent is older than they are.
        """
        branch = os.fsencode(self._ref)
        text = message.encode("utf-8", "surrogateescape")
        parts = [b"feature done\n"]
        if tip is None:
            parts.append((_ROOT % self._ref).encode())
        parts.append(b"commit %s\nmark :2\ncommitter %s %d +0000\n" % (branch, _COMMITTER.encode(), time.time()))
        parts.append(b"data %d\n%s\n" % (len(text), text))
        parts.append(b"from %s\n" % (tip.encode("ascii") if tip else b":1"))
        parts += [b"merge %s\n" % parent.encode("ascii") for parent in parents]
        for path, content in files.items():
            parts.append(b"M 100644 inline %s\ndata %d\n" % (os.fsencode(path), len(content)))
            parts += (content, b"\n")
        parts += [b"M 040000 %s %s\n" % (oid.encode("ascii"), os.fsencode(path)) for path, oid in trees.items()]
        parts += [b"M 100644 %s %s\n" % (oid.encode("ascii"), os.fsencode(path)) for path, oid in blobs.items()]
        parts.append(b"\nget-mark :2\nreset %s\n\ndone\n" % branch)
        with self._ready.pop("import", None) or popen(self._location, *_IMPORT) as process:
            out, stderr = process.communicate(b"".join(parts))
        code = process.returncode
        if code:
            report = os.path.join(self._location.git_dir, f"fast_import_crash_{process.pid}")
            if os.path.exists(report):
                os.unlink(report)
        commit = out.decode("ascii", "replace").strip()
        if code or not self._objects.is_oid(commit):
            raise translate(self._location.folder, ("fast-import",), code, stderr)
        return commit

    def _signed(self, commit: str, message: str) -> str:
        """The same commit with the user as its author and their signature."""
        head = self._objects.read(commit).partition(b"\n\n")[0].decode("ascii", "replace").split("\n")
        tree = head[0].removeprefix("tree ")
        parents = [word for line in head if line.startswith("parent ") for word in ("-p", line[7:])]
        text = message.encode("utf-8", "surrogateescape")
        args = (*DURABLE, "commit-tree", "-S", *parents, "-F", "-", tree)
        out, stderr, code = git_status(self._location, *args, input=text)
        made = out.decode("ascii", "replace").strip()
        if code or not self._objects.is_oid(made):
            said = stderr.decode("utf-8", "replace").strip().split("\n")[-1]
            raise TrustError(
                f"the record can't be signed: {said.removeprefix('fatal: ')}",
                where="git config commit.gpgSign",
                hint="fix user.signingKey, gpg.format and their like, or switch signing off",
            )
        return made

    def _advance(self, tip: str | None, commit: str) -> str | None:
        """Moves the ref from `tip` to `commit`, durably; what git says when somebody else moved or locks it.

        A lock file of Git is waited for until it goes, or is stale and removed; BusyError when it stays.
        """
        sync_objects(self._location)
        problem = self._update(tip, commit)
        if problem is not None and ".lock" in problem:
            from gitml.git.integrity.stale_locks import wait_for_ref

            for _ in wait_for_ref(self._location, self._ref):
                problem = self._update(tip, commit)
                if problem is None or ".lock" not in problem:
                    break
        if problem is None:
            sync_refs(self._location, (self._ref,))
        return problem

    def _update(self, tip: str | None, commit: str) -> str | None:
        old = tip or "0" * len(commit)
        with self._ready.pop("update", None) or popen(self._location, *UPDATE) as process:
            _, stderr = process.communicate(
                b"update %s\0%s\0%s\0" % (os.fsencode(self._ref), commit.encode(), old.encode())
            )
        if process.returncode == 0:
            return None
        if not is_refused_by_machine(stderr) and _MOVED.search(stderr) is not None:
            return stderr.decode("utf-8", "replace").strip().split("\n")[0].removeprefix("fatal: ")
        raise translate(self._location.folder, UPDATE, process.returncode, stderr)


_MOVED = re.compile(b"cannot lock ref|cannot update ref|nable to create")


def _check_path(path: str) -> None:
    names = path.split("/")
    if (
        path.startswith('"')
        or any(c < " " or c == "\x7f" for c in path)
        or any(n in ("", ".", "..", ".git") for n in names)
    ):
        raise InputError("not a path for a record", where=path)
