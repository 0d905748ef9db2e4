"""The Git repository in a sandbox (`repository: true`): one commit without its history, HEAD detached, and an index to match.

It has the commit, its trees, the tags that point at it, and of its files the contents of those that the step has, up to a size.
Files that the step does not have are marked as left out, as in a sparse checkout. Nothing in it leads to another repository.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gitml.core.model.action import StepCommit
from gitml.core.model.paths import is_git_name
from gitml.core.model.protocols import Entry
from gitml.errors import InputError
from gitml.execute.interfaces import GitObjectReader
from gitml.execute.sandbox.git_files import IndexEntry, PackWriter, index_bytes

LARGEST = 1 << 20
"""Bytes of a file whose content the repository has; of a larger one it has the id, as of those that the step does not have."""
_MOST = 2_000_000  # files and folders
_LONGEST = 4096  # bytes of a path
_CONFIG = """\
[core]
\trepositoryformatversion = {version}
\tfilemode = true
\tbare = false
\tlogAllRefUpdates = false
\ttrustctime = false
\tautocrlf = false
\tfsmonitor = false
\tuntrackedCache = false
\tsparseCheckout = true
[gc]
\tauto = 0
"""


class SandboxFiles(NamedTuple):
    """What lies in a sandbox. `git` are the files of the commit, or of uncommitted work, by path.

    Paths: `pointers` of Git LFS whose content is there in their place, `copies` of config files, `placed` of other inputs,
    `folders` that the step has whole, `outputs`.
    """

    git: Mapping[str, Entry]
    pointers: set[str]
    copies: set[str]
    placed: set[str]
    folders: set[str]
    outputs: set[str]


def write_repository(work: str, objects: GitObjectReader, repository: StepCommit, files: SandboxFiles) -> None:
    """Writes ``.git`` into the folder `work`, in which all else lies already. InputError for a commit that Git would refuse."""
    place = os.path.join(work, ".git")
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        os.makedirs(os.path.join(place, folder))
    commit = objects.read(repository.commit)
    pack = PackWriter(os.path.join(place, "objects/pack"), len(repository.commit))
    pack.add(repository.commit, "commit", commit)
    tree = commit[5 : commit.index(b"\n")].decode("ascii")
    listed = _Listing(objects, pack).files(tree)
    entries = sorted(_index_entries(work, listed, files, _places(repository)), key=lambda item: item.path)
    for item in entries:
        if not item.skipped and (item.stat is not None or not item.assumed):
            _add_blob(pack, objects, item)
    for _, oid in repository.tags:
        if oid not in pack:
            pack.add(oid, "tag", objects.read(oid))
    pack.close()
    sha256 = len(repository.commit) == 64
    config = _CONFIG.format(version=1 if sha256 else 0) + ("[extensions]\n\tobjectFormat = sha256\n" if sha256 else "")
    _write(place, "config", config.encode())
    _write(place, "info/exclude", b"/.gitml/\n")
    _write(place, "packed-refs", _packed_refs(repository))
    if b"\nparent " in commit.partition(b"\n\n")[0]:
        _write(place, "shallow", f"{repository.commit}\n".encode())
    _write(place, "index", index_bytes(entries, len(repository.commit)))
    _write(place, "HEAD", f"{repository.commit}\n".encode())


class _Listing:
    """Lists the files of a commit, and puts its trees into a pack on the way."""

    def __init__(self, objects: GitObjectReader, pack: PackWriter) -> None:
        self._objects = objects
        self._pack = pack

    def files(self, tree: str) -> Iterator[tuple[str, Entry]]:
        """Every file, link and submodule by its path."""
        waiting = [("", tree)]
        count = 0
        while waiting:
            folder, oid = waiting.pop()
            if oid not in self._pack:
                self._pack.add(oid, "tree", self._objects.read(oid))
            names = self._objects.tree(oid)
            count += 1 + len(names)
            if count > _MOST:
                raise InputError(f"the commit has more than {_MOST:,} files: too many for repository: true")
            for name, entry in names.items():
                if is_git_name(name):
                    raise InputError("the commit holds a path that git itself refuses", where=f"{folder}{name}")
                if len(folder) + len(name) > _LONGEST:
                    raise InputError(f"a path of the commit is longer than {_LONGEST} bytes", where=f"{folder[:200]}…")
                if entry.is_tree:
                    waiting.append((f"{folder}{name}/", entry.oid))
                else:
                    yield folder + name, entry


def _places(repository: StepCommit) -> set[str]:
    return {"" if file.path == "." else file.path for file in repository.instead}


def _index_entries(
    work: str, listed: Iterator[tuple[str, Entry]], files: SandboxFiles, instead: set[str]
) -> Iterator[IndexEntry]:
    """What Git is to take the files of the commit for; `instead` are the places where the step has something else."""
    there = files.placed | files.folders
    for path, entry in listed:
        name = os.fsencode(path)
        has = files.git.get(path)
        if has == entry:
            stat = os.lstat(os.path.join(work, path))
            yield IndexEntry(name, entry, stat, assumed=path in files.pointers)
        elif has is not None:  # a form that gitml made of it is no change
            yield IndexEntry(name, entry, assumed=not covered(path, instead))
        elif covered(path, files.copies):
            yield IndexEntry(name, entry, assumed=True)
        else:
            is_here = not entry.is_submodule and covered(path, there) and not covered(path, files.outputs)
            yield IndexEntry(name, entry, skipped=not is_here)


def _add_blob(pack: PackWriter, objects: GitObjectReader, item: IndexEntry) -> None:
    oid = item.entry.oid
    if oid in pack or (item.stat is not None and item.stat.st_size > LARGEST and not item.assumed):
        return
    held: list[bytes] = []

    def take(chunk: bytes) -> None:
        if sum(map(len, held)) <= LARGEST:
            held.append(chunk)

    if objects.stream(oid, take) <= LARGEST:
        pack.add(oid, "blob", b"".join(held))


def _packed_refs(repository: StepCommit) -> bytes:
    lines = [b"# pack-refs with: peeled fully-peeled sorted \n"]
    for name, oid in sorted((os.fsencode(name), oid) for name, oid in repository.tags):
        lines.append(b"%s refs/tags/%s\n" % (oid.encode(), name))
        if oid != repository.commit:
            lines.append(f"^{repository.commit}\n".encode())
    return b"".join(lines)


def covered(path: str, by: set[str]) -> bool:
    """Whether `path` or a directory above it is in `by`; ``""`` is the one above all."""
    while path:
        if path in by:
            return True
        path = path[: max(path.rfind("/"), 0)]
    return "" in by


def _write(place: str, name: str, content: bytes) -> None:
    with open(os.path.join(place, name), "xb") as file:
        file.write(content)
