"""What planning asks of a commit, so that a commit which answers the same need not be planned again.

A `TracedSource` writes down which names were looked at. `Questions` are such a list as a tree of names; asking them of another
commit gives a value, and equal values mean equal answers. Folders that are the same Git tree are asked once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gitml.core.model.protocols import Entry
from gitml.git.objects.reader import Objects
from gitml.git.objects.source import CommitSource

CONTENT, NAMES = "content", "names"
"""What was asked of a path: what it is, or (of the root) only which names are in it."""

Answer = str | int


class TracedSource(CommitSource):
    """The files of a commit, with all that was `asked` of them: path -> CONTENT or NAMES."""

    def __init__(self, objects: Objects, commit: str) -> None:
        super().__init__(objects, commit)
        self.asked: dict[str, str] = {}

    def lookup(self, path: str) -> Entry | None:
        """What is at `path`."""
        self.asked[path] = CONTENT
        return super().lookup(path)

    def top(self) -> Collection[str]:
        """The names at the root. All of them count as asked: which words of a command were held against them differs."""
        self.asked.setdefault("", NAMES)
        return super().top()


class _Node:
    """A name that was asked for, and the names in it."""

    __slots__ = ("below", "how")

    def __init__(self) -> None:
        self.how: str | None = None
        self.below: dict[str, _Node] = {}


class Questions:
    """What was `asked` of one commit, to be asked of others."""

    def __init__(self, asked: Mapping[str, str]) -> None:
        self._root = _Node()
        self._numbers: dict[tuple[Answer, ...], int] = {}
        self._known: dict[tuple[int, str], Answer] = {}
        for path, how in asked.items():
            node = self._root
            for name in path.split("/") if path else ():
                node = node.below.setdefault(name, _Node())
            node.how = how

    def ask(self, objects: Objects, tree: str) -> Answer:
        """A value that two trees share exactly when every question has the same answer in both."""
        return self._ask(self._root, Entry("40000", tree), objects)

    def _ask(self, node: _Node, entry: Entry | None, objects: Objects) -> Answer:
        if entry is None:
            return "-"
        if node.how == CONTENT:
            return f"{entry.mode} {entry.oid}"
        if not entry.is_tree:
            return entry.mode  # nothing is below it
        place = (id(node), entry.oid)
        known = self._known.get(place)
        if known is None:
            found = objects.tree(entry.oid)
            answers = [self._ask(below, found.get(name), objects) for name, below in node.below.items()]
            if node.how == NAMES:
                answers += sorted(found)
            known = self._known[place] = self._numbers.setdefault(tuple(answers), len(self._numbers))
        return known
