"""How two states of a record log differ.

Trees are compared a folder of a day at a time: git holds all of a difference before it writes any of it. So a first look at a
million records, or a fetch of as many, takes the memory of a day of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from gitml.core.model.protocols import Entry
from gitml.errors import IntegrityError
from gitml.git.command import Location, ended_by_nul, git, popen, stderr_file, translate
from gitml.git.objects.reader import EMPTY_TREES, SPARING, Objects, parse_tree


class Changes(NamedTuple):
    """(path, blob oid) of files that came, and the paths of files that went; a file that changed is in both."""

    added: list[tuple[str, str]]
    removed: list[str]


def changes_between(objects: Objects, known: str | None, tip: str, below: str) -> Changes:
    """How the files in the folder `below` differ between two records; against nothing when `known` is None."""
    found = Changes([], [])
    for path, ours, theirs in tree_changes(objects, known, tip, below):
        if ours is not None:
            found.removed.append(path)
        if theirs is not None:
            found.added.append((path, theirs.oid))
    return found


class AddedFile(NamedTuple):
    """A file that another log has: the mode as Git writes it, and the blob."""

    path: str
    mode: str
    oid: str


class LogDiff:
    """How the log at `theirs` differs from the one at `ours`: to be read once, in order of path.

    While it is read, `lacking` becomes how many files `theirs` lacks, and `other` the paths where both have something else.
    """

    def __init__(self, objects: Objects, ours: str | None, theirs: str) -> None:
        self.lacking = 0
        self.other: list[str] = []
        self._of = (objects, ours, theirs)

    def again(self) -> LogDiff:
        """The same, to be read once more."""
        return LogDiff(*self._of)

    def added(self) -> Iterator[AddedFile]:
        """The files that `theirs` has where `ours` has none."""
        for path, ours, theirs in tree_changes(*self._of):
            if theirs is None:
                self.lacking += 1
            elif ours is None:
                yield AddedFile(path, *theirs)
            else:
                self.other.append(path)


def is_ahead_of(location: Location, known: str, tip: str, within: int) -> bool:
    """Whether `known` is the record `tip` or is found among what the `within` records before it follow.

    False may be wrong. Asking git whether one is an ancestor of the other would walk everything younger than the oldest commit
    that was run.
    """
    if known == tip:
        return True
    args = ("rev-list", "--first-parent", "--parents", f"--max-count={within}", tip)
    return any(known in line.split() for line in git(location, *args).decode("ascii").splitlines())


_DEPTH = 4  # runs/<yyyy>/<mm>/<dd>
_WIDE = 200  # entries of a day's folder from which on its 256 folders are looked at one by one
_PAGES = 400  # folders that one git compares: their names, up to 130 bytes each, fit in a pipe, so that it never waits for us
_TREE = "40000"
_DIFF = (*SPARING, "diff-tree", "--stdin", "-r", "-z", "--no-renames", "--no-abbrev")


class TreeChange(NamedTuple):
    """A path that differs; the entry of each side, None where it has none."""

    path: str
    ours: Entry | None
    theirs: Entry | None


class _Page(NamedTuple):
    path: str
    ours: str
    theirs: str


def tree_changes(objects: Objects, ours: str | None, theirs: str, below: str = "") -> Iterator[TreeChange]:
    """The files that differ between two commits, in Git's order of path; `ours` None is a commit without files.

    With `below` those in that folder of the top.
    """
    size = len(theirs)
    before = "" if ours is None else _tree_of(objects, ours, below)
    found: list[_Page | TreeChange] = []
    pages = 0
    prefix, depth = (f"{below}/", 1) if below else ("", 0)
    for item in _compared(objects, prefix, before, _tree_of(objects, theirs, below), depth):
        found.append(item)
        pages += isinstance(item, _Page)
        if pages >= _PAGES:
            yield from _expanded(objects, found, size)
            found, pages = [], 0
    yield from _expanded(objects, found, size)


def _tree_of(objects: Objects, commit: str, below: str) -> str:
    tree = objects.resolve(f"{commit}^{{tree}}")
    if tree is None:
        raise IntegrityError(f"Git object {commit} is missing", where=objects.location.git_dir, hint="git fsck")
    return objects.resolve(f"{commit}:{below}") or "" if below else tree


def _entries(objects: Objects, oid: str) -> dict[bytes, Entry]:
    """Those of a tree by name, that of a folder with a slash: so Git orders them. Not remembered, there are too many."""
    if not oid:
        return {}
    found = parse_tree(objects.read(oid), len(oid) // 2)
    return {os.fsencode(name) + b"/" * (entry.mode == _TREE): entry for name, entry in found.items()}


def _compared(objects: Objects, prefix: str, ours: str, theirs: str, depth: int) -> Iterator[_Page | TreeChange]:
    if ours == theirs:
        return
    old, new = _entries(objects, ours), _entries(objects, theirs)
    if depth == _DEPTH and max(len(old), len(new)) < _WIDE:
        yield _Page(prefix, ours, theirs)
        return
    for name in sorted({*old, *new}):
        one, two = old.get(name), new.get(name)
        if one == two:
            continue
        path = prefix + os.fsdecode(name)
        if not name.endswith(b"/"):
            yield TreeChange(path, one, two)
            continue
        below = _Page(path, one.oid if one is not None else "", two.oid if two is not None else "")
        if depth < _DEPTH:
            yield from _compared(objects, *below, depth + 1)
        else:
            yield below


def _expanded(objects: Objects, items: list[_Page | TreeChange], size: int) -> Iterator[TreeChange]:
    """The items in their order, each page as what git says of it."""
    pages = [item for item in items if isinstance(item, _Page)]
    if not pages:
        yield from (item for item in items if isinstance(item, TreeChange))
        return
    none = EMPTY_TREES[size]
    request = "".join(f"{page.ours or none} {page.theirs or none}\n" for page in pages)
    number = -1
    answers = _answers(objects, request.encode("ascii"))
    pending = next(answers, None)
    for item in items:
        if isinstance(item, TreeChange):
            yield item
            continue
        number += 1
        while pending is not None and pending[0] == number:
            yield pending[1]._replace(path=item.path + pending[1].path)
            pending = next(answers, None)
    if pending is not None:
        raise AssertionError("git compared more than it was asked to")


def _answers(objects: Objects, request: bytes) -> Iterator[tuple[int, TreeChange]]:
    """(number of the page, what differs in it) of each file; a page begins with a line that names its trees."""
    location = objects.location
    number = -1
    with stderr_file() as errors, popen(location, *_DIFF, stderr=errors.fileno()) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request)
        process.stdin.close()
        meta: str | None = None
        for raw in ended_by_nul(process.stdout):
            field = os.fsdecode(raw)
            if meta is None:
                *heads, meta = field.split("\n")
                number += len(heads)
                continue
            old_mode, mode, old, new, _ = meta[1:].split(" ")
            meta = None
            yield number, TreeChange(field, _entry(old_mode, old), _entry(mode, new))
        if process.wait():
            errors.seek(0)
            raise translate(location.folder, _DIFF, process.returncode, errors.read())


def _entry(mode: str, oid: str) -> Entry | None:
    return None if mode == "000000" else Entry(mode, oid)
