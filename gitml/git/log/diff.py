"""What a record log gained, in the order it gained it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from gitml.git.command import Location, git
from gitml.git.log.tree_diff import changes
from gitml.git.objects.reader import Objects

_LOG = (
    "log",
    "--first-parent",
    "--diff-merges=first-parent",
    "--reverse",
    "--raw",
    "-z",
    "--no-renames",
    "--no-abbrev",
    "--diff-filter=A",
    "--root",
    "--no-show-signature",
    "--no-color",
    "--format=%x00%H %P",
)


class Changes(NamedTuple):
    """(path, blob oid) of files that came, and the paths of files that went; a file that changed is in both."""

    added: list[tuple[str, str]]
    removed: list[str]


def changes_between(location: Location, known: str | None, tip: str, below: str) -> Changes:
    """How the files in the folder `below` differ between two records; against nothing when `known` is None."""
    added: list[tuple[str, str]] = []
    removed: list[str] = []
    if known is None:
        for line in os.fsdecode(git(location, "ls-tree", "-r", "-z", "--full-tree", tip, "--", below)).split("\0")[:-1]:
            meta, _, path = line.partition("\t")
            added.append((path, meta.split(" ")[2]))
        return Changes(added, removed)
    answer = git(location, "diff-tree", "-r", "-z", "--no-renames", "--no-abbrev", known, tip, "--", below)
    fields = os.fsdecode(answer).split("\0")[:-1]
    for meta, path in zip(fields[::2], fields[1::2], strict=True):
        _, _, _, oid, status = meta.split(" ")
        if status != "A":
            removed.append(path)
        if status != "D":
            added.append((path, oid))
    return Changes(added, removed)


class Offered(NamedTuple):
    """A file that another log has: the mode as Git writes it, and the blob."""

    path: str
    mode: str
    oid: str


class Difference:
    """How the log at `theirs` differs from the one at `ours`: to be read once, in order of path.

    While it is read, `lacking` becomes how many files `theirs` lacks, and `other` the paths where both have something else.
    """

    def __init__(self, objects: Objects, ours: str | None, theirs: str) -> None:
        self.lacking = 0
        self.other: list[str] = []
        self._of = (objects, ours, theirs)

    def again(self) -> Difference:
        """The same, to be read once more."""
        return Difference(*self._of)

    def added(self) -> Iterator[Offered]:
        """The files that `theirs` has where `ours` has none."""
        for path, ours, theirs in changes(*self._of):
            if theirs is None:
                self.lacking += 1
            elif ours is None:
                yield Offered(path, *theirs)
            else:
                self.other.append(path)


def follows(location: Location, known: str, tip: str, within: int) -> bool:
    """Whether `known` is the record `tip` or is found among what the `within` records before it follow.

    False may be wrong. Asking git whether one is an ancestor of the other would walk everything younger than the oldest commit
    that was run.
    """
    if known == tip:
        return True
    args = ("rev-list", "--first-parent", "--parents", f"--max-count={within}", tip)
    return any(known in line.split() for line in git(location, *args).decode("ascii").splitlines())


def added_since(location: Location, objects: Objects, tip: str, known: str | None) -> Iterator[tuple[str, str, str]]:
    """(commit, path, blob oid) of the files that `tip` has and `known` has not, oldest first.

    Along the first parents each commit adds what it adds to its first parent. Where histories were joined that may name files
    `known` has already, or leave out some: then the trees of both decide, and what no commit on the way names comes last.
    """
    limits = [tip] if known is None else [tip, "^" + known]
    walked, straight = _walk(git(location, *_LOG, *limits, "--"), known)
    if straight or known is None:
        yield from walked
        return
    new = _added(location, known, tip)
    for commit, path, oid in walked:
        if new.pop(path, None) is not None:
            yield commit, path, oid
    for path, oid in sorted(new.items()):
        yield tip, path, oid


def _walk(answer: bytes, known: str | None) -> tuple[list[tuple[str, str, str]], bool]:
    """What `git log` named, and whether it came to `known` by first parents alone."""
    found: list[tuple[str, str, str]] = []
    commit = ""
    first_parent: str | None = None
    fields = iter(os.fsdecode(answer).split("\0"))
    for raw in fields:
        field = raw.strip("\n")
        if field.startswith(":"):
            found.append((commit, next(fields), field.split(" ")[3]))
        elif field:
            commit, *parents = field.split()
            if first_parent is None:
                first_parent = parents[0] if parents else ""
    return found, known is not None and first_parent == known


def _added(location: Location, known: str, tip: str) -> dict[str, str]:
    answer = git(location, "diff-tree", "-r", "-z", "--no-renames", "--no-abbrev", "--diff-filter=A", known, tip)
    fields = os.fsdecode(answer).split("\0")[:-1]
    return {path: meta.split(" ")[3] for meta, path in zip(fields[::2], fields[1::2], strict=True)}
