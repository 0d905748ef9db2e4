"""What planning asks of a commit, so that a commit which answers the same need not be planned again.

A `TracedSource` writes down which names were looked at. `Questions` are such a list as a tree of names; asking them of another
commit gives a number, and equal numbers mean equal answers. Folders that are the same Git tree are asked once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from gitml.core.protocols import Entry
from gitml.repo.objects import Objects
from gitml.repo.source import CommitSource

EXACT, THERE = "exact", "there"
"""How a name was looked at: what it is, or only whether it is there."""


class TracedSource(CommitSource):
    """The files of a commit, with all that was `asked` of them: path -> EXACT or THERE."""

    def __init__(self, objects: Objects, commit: str) -> None:
        super().__init__(objects, commit)
        self.asked: dict[str, str] = {}

    def lookup(self, path: str) -> Entry | None:
        """What is at `path`."""
        self.asked[path] = EXACT
        return super().lookup(path)

    def top(self) -> Collection[str]:
        """The names at the root."""
        return _Names(super().top(), self.asked)


class _Names(Collection[str]):
    """Names at the root: asking for one writes it down, going through them writes down the root."""

    def __init__(self, names: Collection[str], asked: dict[str, str]) -> None:
        self._names = names
        self._asked = asked

    def __contains__(self, name: object) -> bool:
        if isinstance(name, str) and name:
            self._asked.setdefault(name, THERE)
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        self._asked[""] = EXACT
        return iter(self._names)

    def __len__(self) -> int:
        self._asked[""] = EXACT
        return len(self._names)


class _Node:
    """A name that was asked for, and the names in it."""

    __slots__ = ("below", "how")

    def __init__(self) -> None:
        self.how: str | None = None
        self.below: dict[str, _Node] = {}


Answer = str | int


class Questions:
    """What was `asked` of one commit, to be asked of others."""

    def __init__(self, asked: dict[str, str]) -> None:
        self._root = _Node()
        self._numbers: dict[tuple[Answer, ...], int] = {}
        self._known: dict[tuple[int, str], Answer] = {}
        for path, how in asked.items():
            node = self._root
            for name in path.split("/") if path else ():
                node = node.below.setdefault(name, _Node())
            node.how = EXACT if EXACT in (how, node.how) else THERE

    def ask(self, objects: Objects, tree: str) -> Answer:
        """A value that two trees share exactly when every question has the same answer in both."""
        return self._ask(self._root, Entry("40000", tree), objects)

    def _ask(self, node: _Node, entry: Entry | None, objects: Objects) -> Answer:
        if entry is None:
            return "-"
        if node.how == EXACT:
            return f"{entry.mode} {entry.oid}"
        if not node.below or not entry.is_tree:
            return "+" if node.how == THERE and not node.below else entry.mode
        place = (id(node), entry.oid)
        known = self._known.get(place)
        if known is None:
            found = objects.tree(entry.oid)
            answers = tuple([self._ask(below, found.get(name), objects) for name, below in node.below.items()])
            known = self._known[place] = self._numbers.setdefault(answers, len(self._numbers))
        return known
