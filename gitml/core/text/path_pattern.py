"""Patterns of paths: ``*``, ``?``, ``[…]`` within a name, ``**`` across folders; a folder that matches stands for all in it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import NamedTuple

State = frozenset[int]
"""How far into a pattern the names of a path lead: numbers of its parts, and the number of all where it matches."""


def is_pattern(text: str) -> bool:
    """Whether a text has what stands for several paths."""
    return any(char in text for char in "*?[")


class PathPattern(NamedTuple):
    """A pattern by its parts. A path is followed name by name, so that folders in which nothing can match need no look."""

    parts: tuple[str, ...]

    def start(self) -> State:
        """Before the first name."""
        return self._onward({0})

    def after(self, state: State, name: str) -> State:
        """After one more name; empty where nothing below can match."""
        reached: set[int] = set()
        for at in state:
            if at == len(self.parts):
                continue
            part = self.parts[at]
            if part == "**":
                reached.add(at)
                if at + 1 == len(self.parts):
                    reached.add(at + 1)
            elif fnmatch.fnmatchcase(name, part):
                reached.add(at + 1)
        return self._onward(reached)

    def is_match(self, state: State) -> bool:
        """Whether the names so far match."""
        return len(self.parts) in state

    def covers(self, path: str) -> bool:
        """Whether a path, or a folder that it lies in, matches."""
        state = self.start()
        for name in path.split("/"):
            state = self.after(state, name)
            if self.is_match(state):
                return True
        return False

    def _onward(self, reached: Iterable[int]) -> State:
        """With those that ``**`` for no folder at all leads to."""
        found: set[int] = set()
        for at in reached:
            found.add(at)
            while at + 1 < len(self.parts) and self.parts[at] == "**":
                at += 1
                found.add(at)
        return frozenset(found)


def path_pattern(text: str) -> PathPattern:
    """The pattern in a clean path."""
    parts = text.split("/")
    return PathPattern(tuple(part for at, part in enumerate(parts) if part != "**" or parts[at - 1 : at] != ["**"]))
