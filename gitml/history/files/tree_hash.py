"""What a folder on disk would be as a Tree, without keeping anything: for comparing."""

from __future__ import annotations

import hashlib
import os
import stat

from gitml.core.model.digest import PREFIX, Digest, digest_of
from gitml.core.model.tree import TreeEntry, encode_tree, tree_size
from gitml.core.records.special_files import Remarks


def tree_of_folder(path: str) -> list[TreeEntry] | None:
    """The entries of the folder at `path`; None when it holds what no Tree can."""
    entries = []
    with os.scandir(os.fsencode(path)) as found:
        for item in found:
            entry = _entry(item)
            if entry is None:
                return None
            entries.append(entry)
    return entries


def _entry(item: os.DirEntry[bytes]) -> TreeEntry | None:
    status = item.stat(follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(item.path)
        return TreeEntry(item.name, "l", digest_of(target), len(target))
    if stat.S_ISDIR(status.st_mode):
        below = tree_of_folder(os.fsdecode(item.path))
        if below is None:
            return None
        return TreeEntry(item.name, "d", digest_of(encode_tree(below)), tree_size(below))
    if not stat.S_ISREG(status.st_mode):
        return None
    kind = "x" if status.st_mode & 0o100 else "f"
    return TreeEntry(item.name, kind, digest_of_file(item.path), status.st_size)


def digest_of_file(path: str | bytes) -> Digest:
    """The Digest of a file."""
    with open(path, "rb") as file:
        return Digest(PREFIX + hashlib.file_digest(file, "sha256").hexdigest())


def notes_on(folder: str) -> tuple[str, ...]:
    """What a person should hear of the names below a folder that others filled."""
    remarks = Remarks()
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            remarks.look(os.path.join(place, name), name)
    return remarks.lines()
