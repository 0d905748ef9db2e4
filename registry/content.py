"""The content of a module: a Git tree of regular files, taken from a commit, checked before it is kept and when it is read.

Nothing in it is executed. Whatever is read is hashed, since Git itself trusts what lies in its own folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from gitml.errors import Guard, InputError, IntegrityError
from gitml.git.command import Location, git
from gitml.git.lfs.pointer import parse_lfs_pointer
from gitml.git.objects.reader import Objects, parse_tree
from gitml.git.objects.source import CommitSource
from gitml.git.objects.tree_checks import problem_with_names
from gitml.git.revisions import resolve_commit

MAX_SIZE = 64 << 20
MAX_FILES = 10_000
MAX_DEPTH = 32
MAX_PATH = 400

_FILE_MODES = ("100644", "100755", "100664")


class Content(NamedTuple):
    """A folder of a commit: its Git tree, the commit, and its path in it; files and bytes in all."""

    tree: str
    commit: str
    path: str
    files: int
    size: int


class ContentFile(NamedTuple):
    """A file of a module: its path within the content, whether it is executable, its blob."""

    path: str
    executable: bool
    oid: str


def content_at(location: Location, objects: Objects, directory: str, rev: str | None) -> Content:
    """The folder `directory` at the commit `rev`; at HEAD when None, and then refused when anything in it is uncommitted.

    InputError when it holds what a module can't: links, submodules, LFS pointers, more than 64 MiB or 10,000 files.
    """
    path = path_in(location, directory)
    commit = resolve_commit(objects, location, rev or "HEAD")
    entry = CommitSource(objects, commit).lookup(path)
    if rev is None:
        _refuse_uncommitted(location, path, directory)
    if entry is None or not entry.is_tree:
        what = "no such folder" if entry is None else "not a folder"
        raise InputError(f"{what} at {rev or 'HEAD'} ({commit[:12]})", where=path or directory, hint="git commit it")
    files, size = check_content(objects, entry.oid, path or ".")
    return Content(entry.oid, commit, path, files, size)


def path_in(location: Location, directory: str) -> str:
    """`directory` as a path from the root of the repository, empty for the root itself; InputError when it lies outside."""
    if location.worktree is None:
        path = os.path.normpath(directory)
    else:
        path = os.path.relpath(os.path.realpath(directory), os.path.realpath(location.worktree))
    if os.path.isabs(path) or path.split(os.sep)[0] == "..":
        raise InputError("not within this repository", where=directory, hint=f"the repository is {location.folder}")
    return "" if path == "." else path


def check_content(objects: Objects, tree: str, name: str, *, whole: bool = False) -> tuple[int, int]:
    """(files, bytes) of the tree; InputError with the first thing in it that a module can't hold.

    With `whole` every file's bytes are checked against their id too.
    """
    files = list(walk(objects, tree, name))
    if not files:
        raise InputError("an empty folder can't be a module", where=name)
    size = 0
    small = []
    for file, header in zip(files, objects.headers([file.oid for file in files]), strict=True):
        size += header.size
        if header.size < 1024:
            small.append(file)
    if size > MAX_SIZE:
        raise InputError(
            f"{size / 2**20:.0f} MiB are too much for a module, which may have {MAX_SIZE >> 20}",
            where=name,
            hint="let the data be an input",
        )
    for file, (_, data) in zip(small, objects.read_many([file.oid for file in small]), strict=True):
        if parse_lfs_pointer(data) is not None:
            raise InputError(
                "this file is in Git LFS; a module holds its files itself",
                where=f"{name}/{file.path}",
                hint="take it out of LFS (git lfs untrack), or let it be an input",
            )
    if whole:
        for file in files:
            read_checked(objects, file.oid, "blob")
    return len(files), size


def walk(objects: Objects, tree: str, name: str) -> Iterator[ContentFile]:
    """Every file below `tree`, each tree's bytes checked against its id; InputError for what a module can't hold."""
    raw_size = 32 if objects.location.object_format == "sha256" else 20
    waiting = [("", tree, 0)]
    count = 0
    while waiting:
        folder, oid, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise InputError(f"folders nested deeper than {MAX_DEPTH}", where=f"{name}/{folder}")
        try:
            entries = parse_tree(read_checked(objects, oid, "tree"), raw_size)
        except ValueError as error:
            raise IntegrityError(f"not a tree: {oid}", where=objects.location.git_dir) from error
        problem = problem_with_names(entries)
        if problem is not None:
            raise InputError(problem[1], where=ascii(f"{name}/{folder}{problem[0]}")[1:-1], hint="leave it out")
        lower: dict[str, str] = {}
        for leaf, entry in entries.items():
            path = f"{folder}{leaf}"
            where = f"{name}/{path}"
            _check_leaf(leaf, path, where)
            twin = lower.setdefault(leaf.casefold(), leaf)
            if twin != leaf:
                raise InputError(f"differs from {twin!r} by case only, which not every machine can keep", where=where)
            if entry.is_tree:
                waiting.append((path + "/", entry.oid, depth + 1))
            elif entry.is_link:
                raise InputError(
                    "a link; a module holds regular files only", where=where, hint="put the file itself there"
                )
            elif entry.is_submodule:
                raise InputError("a submodule; a module holds regular files only", where=where, hint="copy the files")
            elif entry.mode not in _FILE_MODES:
                raise InputError(f"of mode {entry.mode}; a module holds regular files only", where=where)
            else:
                count += 1
                if count > MAX_FILES:
                    raise InputError(f"more than {MAX_FILES:,} files are too many for a module", where=name)
                yield ContentFile(path, entry.mode == "100755", entry.oid)


def read_checked(objects: Objects, oid: str, kind: str) -> bytes:
    """The object's bytes; IntegrityError when they are not what the id says."""
    data = objects.read(oid)
    algorithm = "sha256" if objects.location.object_format == "sha256" else "sha1"
    digest = hashlib.new(algorithm, f"{kind} {len(data)}\0".encode(), usedforsecurity=False)
    digest.update(data)
    if digest.hexdigest() != oid:
        raise IntegrityError(
            f"Git object {oid} does not hold what its id says", where=objects.location.git_dir, hint="git fsck"
        )
    return data


def write_content(objects: Objects, tree: str, destination: str, name: str) -> int:
    """Writes the content into `destination`, a new or empty folder, whole or not at all; how many files."""
    destination = os.path.abspath(destination)
    with Guard(destination, "can't write it"):
        if os.path.lexists(destination) and (os.path.islink(destination) or os.listdir(destination)):
            raise InputError("there is something already", where=destination, hint="name a new or empty folder")
        import tempfile  # only what writes files needs it

        os.makedirs(os.path.dirname(destination), exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".gitml-get-", dir=os.path.dirname(destination)) as scratch:
            made = os.path.join(scratch, "content")
            os.mkdir(made)
            count = 0
            for file in walk(objects, tree, name):
                path = os.path.join(made, file.path)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                with open(os.open(path, flags, 0o777 if file.executable else 0o666), "wb") as out:
                    out.write(read_checked(objects, file.oid, "blob"))
                count += 1
            os.rename(made, destination)  # replaces an empty folder
    return count


def _check_leaf(leaf: str, path: str, where: str) -> None:
    try:
        raw = leaf.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError("a name that is not UTF-8", where=ascii(where)) from None
    if not leaf.isprintable() or "\\" in leaf or leaf in ("", ".", "..") or "/" in leaf:
        raise InputError("a name that not every machine can keep", where=ascii(where)[1:-1])
    if len(raw) > 255 or len(path) > MAX_PATH:
        raise InputError(f"a path of more than {MAX_PATH} characters", where=where[:100] + "…")


def _refuse_uncommitted(location: Location, path: str, directory: str) -> None:
    if location.worktree is None:
        return
    spec = f":(top,literal){path}" if path else ":(top)"
    said = git(location, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--", spec)
    changed = [os.fsdecode(line[3:]) for line in said.split(b"\0") if line]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise InputError(
            f"uncommitted changes: {changed[0]}{more}",
            where=directory,
            hint="commit them, or name the commit to publish with --at",
        )
