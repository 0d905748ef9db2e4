"""A part of a directory that a step made: a file or folder of it, or all that matches a pattern, in its layout.

Links are followed as a program follows them, within the directory; what matches a pattern as a link is taken as what it leads to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from gitml.core.language.diagnostics import nearest
from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.links import MOST
from gitml.core.model.result import OutputRef
from gitml.core.model.tree import TreeEntry, decode_tree, encode_tree, link_stays_inside, tree_size
from gitml.core.text.path_pattern import PathPattern, State, is_pattern, path_pattern
from gitml.errors import InputError

MOST_ENTRIES = 1_000_000  # looked at for one part
DEEPEST = 256  # as a Store has it
_KINDS = {"f": "file", "x": "executable", "d": "directory"}

ReadContent = Callable[[Digest], bytes]
"""The content of a listing, or of a link; LookupError where it is not to be had here."""


class DirectoryPart(NamedTuple):
    """What a part is: `kind` is file, executable or directory; `listings` are those that no directory had, by Digest."""

    kind: str
    digest: Digest
    size: int
    listings: Mapping[Digest, bytes] = {}


class OutputPart(NamedTuple):
    """Of an output that is a directory, the part that is to be had, without the rest."""

    output: OutputRef
    part: DirectoryPart

    @property
    def size(self) -> int:
        """In bytes."""
        return self.part.size


def find_part(directory: Digest, part: str, read: ReadContent) -> DirectoryPart:
    """The part of a directory at a clean path, or all that matches a pattern.

    InputError for what is not there, and the LookupError of `read`.
    """
    look = _Directory(directory, read)
    if is_pattern(part):
        return look.matching(path_pattern(part), part)
    entry = look.at(part)
    if entry.kind == "d":
        look.refuse_links_out(entry, part)
    return DirectoryPart(_KINDS[entry.kind], entry.digest, entry.size)


class _Directory:
    def __init__(self, root: Digest, read: ReadContent) -> None:
        self.root = TreeEntry(b"", "d", root, 0)
        self.read = read
        self.left = MOST_ENTRIES
        self.known: dict[Digest, list[TreeEntry]] = {}
        self.heights: dict[Digest, int] = {}

    def entries(self, folder: TreeEntry) -> list[TreeEntry]:
        """The entries of a folder. InputError for what no step made."""
        if folder.digest not in self.known:
            try:
                self.known[folder.digest] = decode_tree(self.read(folder.digest))
            except ValueError as error:
                raise InputError(f"a directory whose listing can't be read: {error}") from error
        found = self.known[folder.digest]
        self.left -= len(found) + 1
        if self.left < 0:
            raise InputError(f"a part of a directory with more than {MOST_ENTRIES:,} files and folders")
        return found

    def at(self, path: str) -> TreeEntry:
        """The file or folder at a path, links followed."""
        trail = [self.root]
        names: list[str] = []
        todo = path.split("/")[::-1]
        hops = 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if len(trail) == 1:
                    raise InputError(f"{path!r} leads out of the directory")
                trail.pop()
                names.pop()
                continue
            if trail[-1].kind != "d":
                raise InputError(f"there is no {path!r}: {'/'.join(names)} is a file")
            here = {os.fsdecode(entry.name): entry for entry in self.entries(trail[-1])}
            entry = here.get(name)
            if entry is None:
                where = f" in {'/'.join(names)}" if names else ""
                raise InputError(f"there is no {path!r}{nearest(name, here) or _listed(where, here)}")
            if entry.kind != "l":
                trail.append(entry)
                names.append(name)
                continue
            hops += 1
            target = os.fsdecode(self.read(entry.digest))
            if hops > MOST or target.startswith("/"):
                what = "forms a cycle" if hops > MOST else "leads out of the directory"
                raise InputError(f"{path!r} is a link that {what}")
            todo.extend(target.split("/")[::-1])
        return trail[-1]

    def matching(self, pattern: PathPattern, text: str) -> DirectoryPart:
        """A directory of all that matches."""
        listings: dict[Digest, bytes] = {}
        digest, size = self.below(self.root, pattern, pattern.start(), "", listings) or (None, 0)
        if digest is None:
            names = [os.fsdecode(entry.name) for entry in self.entries(self.root)]
            raise InputError(f"nothing in it matches {text!r}{_listed('', names)}")
        return DirectoryPart("directory", digest, size, listings)

    def below(
        self, folder: TreeEntry, pattern: PathPattern, state: State, path: str, listings: dict[Digest, bytes]
    ) -> tuple[Digest, int] | None:
        """(Digest, size) of a folder with what matches below it; None where nothing does."""
        if path.count("/") > DEEPEST:
            raise InputError(f"a directory of more than {DEEPEST} folders in folders")
        taken: list[TreeEntry] = []
        for entry in self.entries(folder):
            name = os.fsdecode(entry.name)
            reached = pattern.after(state, name)
            place = f"{path}/{name}" if path else name
            if pattern.is_match(reached):
                meant = entry
                if entry.kind == "l":
                    meant = self.at(place)
                    if meant.kind == "d":  # which lies elsewhere then
                        self.refuse_links_out(meant, place)
                taken.append(meant._replace(name=entry.name))
            elif reached and entry.kind == "d":
                found = self.below(entry, pattern, reached, place, listings)
                if found is not None:
                    taken.append(TreeEntry(entry.name, "d", *found))
        if not taken:
            return None
        listing = encode_tree(taken)
        digest = digest_of(listing)
        listings[digest] = listing
        return digest, tree_size(taken)

    def refuse_links_out(self, folder: TreeEntry, place: str) -> None:
        """InputError where a link in the folder leads out of it: by itself, such a folder can't be given to a step."""
        if self.height(folder, 0) > 0:
            raise InputError(
                f"{place!r} holds a link that leads out of it, so it can't be had without the rest of the directory"
            )

    def height(self, folder: TreeEntry, deep: int) -> int:
        """How many folders above this one links in it lead, at most; 0 for none."""
        if deep > DEEPEST:
            raise InputError(f"a directory of more than {DEEPEST} folders in folders")
        if folder.digest not in self.heights:
            found = 0
            for entry in self.entries(folder):
                if entry.kind == "d":
                    found = max(found, self.height(entry, deep + 1) - 1)
                elif entry.kind == "l":
                    found = max(found, _height(os.fsdecode(self.read(entry.digest))))
            self.heights[folder.digest] = found
        return self.heights[folder.digest]


def _height(target: str) -> int:
    """How many folders above its own a link leads."""
    parts = [part for part in target.split("/") if part not in ("", ".")]
    up = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    return up if link_stays_inside("x/" * up, target) else DEEPEST + 1


def _listed(where: str, names: Iterable[str]) -> str:
    known = sorted(names)
    more = f" and {len(known) - 8:,} more" if len(known) > 8 else ""
    return f" (there is {', '.join(map(repr, known[:8]))}{more}{where})" if known else f" (nothing is there{where})"
