"""MemoryStore: the Store protocol over a dictionary, for tests of what uses a Store. Paths it takes and places are real."""

from __future__ import annotations

import io
import os
import shutil
import stat
from typing import BinaryIO

from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.paths import is_git_name
from gitml.core.model.tree import TreeEntry, decode_tree, encode_tree, link_stays_inside, tree_size
from gitml.errors import InputError, IntegrityError, MachineError


class MemoryStore:
    """Keeps content in `contents` and what was quarantined, with why, in `quarantined`."""

    def __init__(self) -> None:
        self.contents: dict[Digest, bytes] = {}
        self.quarantined: list[tuple[Digest, bytes, str]] = []

    def has(self, digest: Digest, size: int, *, tree: bool) -> bool:
        content = self.contents.get(digest)
        if content is None or digest_of(content) != digest:
            return False
        if not tree:
            return len(content) == size
        try:
            entries = decode_tree(content)
        except ValueError:
            return False
        return tree_size(entries) == size and all(self.has(e.digest, e.size, tree=e.kind == "d") for e in entries)

    def open(self, digest: Digest) -> BinaryIO:
        return io.BytesIO(self.read(digest))

    def read(self, digest: Digest) -> bytes:
        content = self.contents.get(digest)
        if content is not None and digest_of(content) != digest:
            self.quarantine(digest, "its content differs")
            content = None
        if content is None:
            raise IntegrityError(f"{digest} is missing", where="memory")
        return content

    def put(self, content: bytes) -> Digest:
        digest = digest_of(content)
        self.contents[digest] = content
        return digest

    def ingest_file(self, path: str) -> tuple[Digest, int]:
        if not os.path.lexists(path):
            raise InputError("there is no such file", where=path)
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise InputError("not a regular file", where=path)
        with open(path, "rb") as file:
            content = file.read()
        os.unlink(path)
        return self.put(content), len(content)

    def ingest_tree(self, path: str, *, leave: bool = False) -> tuple[Digest, int]:
        if not os.path.isdir(path) or os.path.islink(path):
            raise InputError("not a directory", where=path)
        taken = self._walk(path, "")
        shutil.rmtree(path)
        return taken

    def materialize_file(self, digest: Digest, path: str, *, executable: bool = False) -> None:
        content = self.read(digest)
        if os.path.lexists(path):
            raise MachineError("something is there already", where=path)
        with open(path, "xb") as file:
            file.write(content)
        os.chmod(path, 0o555 if executable else 0o444)

    def materialize_tree(self, digest: Digest, path: str) -> None:
        entries = self._entries(digest)
        os.mkdir(path)
        for entry in entries:
            target = os.path.join(path, os.fsdecode(entry.name))
            if is_git_name(os.fsdecode(entry.name)):
                raise InputError("not placed", where=target)
            if entry.kind == "d":
                self.materialize_tree(entry.digest, target)
            elif entry.kind == "l":
                os.symlink(os.fsdecode(self.read(entry.digest)), target)
            else:
                self.materialize_file(entry.digest, target, executable=entry.kind == "x")

    def quarantine(self, digest: Digest, why: str) -> None:
        content = self.contents.pop(digest, None)
        if content is not None:
            self.quarantined.append((digest, content, why))

    def verify_materialized(self, digest: Digest, *, tree: bool) -> list[Digest]:
        return []  # what is placed is a copy

    def release_materialized(self, digest: Digest, *, tree: bool) -> None:
        return None

    def disk_space(self) -> tuple[int, int]:
        return 2**40, 2**40

    def _entries(self, digest: Digest) -> list[TreeEntry]:
        try:
            return decode_tree(self.read(digest))
        except ValueError as error:
            raise IntegrityError(f"{digest} is not a tree", where="memory") from error

    def _walk(self, root: str, inside: str) -> tuple[Digest, int]:
        entries = []
        folder = os.path.join(root, inside)
        for name in sorted(os.listdir(folder)):
            shown = os.path.join(inside, name)
            path = os.path.join(root, shown)
            mode = os.lstat(path).st_mode
            if is_git_name(name):
                raise InputError("can't be kept", where=shown)
            if stat.S_ISLNK(mode):
                target = os.readlink(path)
                parts = target.split("/")
                climbs = ".." in [p for n, p in enumerate(parts) if parts[:n] != [".."] * n]
                if climbs or not link_stays_inside(inside, target):
                    raise InputError("a link that leads out", where=shown)
                entries.append(
                    TreeEntry(os.fsencode(name), "l", self.put(os.fsencode(target)), len(os.fsencode(target)))
                )
            elif stat.S_ISDIR(mode):
                entries.append(TreeEntry(os.fsencode(name), "d", *self._walk(root, shown)))
            elif stat.S_ISREG(mode):
                kind = "x" if mode & stat.S_IXUSR else "f"
                with open(path, "rb") as file:
                    content = file.read()
                entries.append(TreeEntry(os.fsencode(name), kind, self.put(content), len(content)))
            else:
                raise InputError("can't be kept", where=shown)
        return self.put(encode_tree(entries)), tree_size(entries)
