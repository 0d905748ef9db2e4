"""The builder of a pipeline's graph: makes it from what a commit and the user say, and again once steps made lists for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from gitml.core.model.graph import FORMAT, Graph, graph_as_json, graph_from_json
from gitml.core.parameters.made_list import MadeLists
from gitml.store.index.index import Index

_KIND = f"graph-{FORMAT}"
_NONE: MadeLists = {}


class GraphBuilder:
    """Builds graphs by `make`. With a `memo`, which all that they depend on is in, they are remembered."""

    def __init__(self, index: Index, make: Callable[[MadeLists], Graph], memo: str = "") -> None:
        self._index = index
        self._make = make
        self._memo = memo

    def graph(self, lists: MadeLists = _NONE, *, known: bool = True) -> Graph:
        """The Graph with the lists that steps made so far; `known` says whether one may be remembered.

        SpecError for what does not fit together.
        """
        if not self._memo:
            return self._make(lists)
        made = [f"{source} {made.digest} {made.problem}" for source, made in sorted(lists.items())]
        memo = hashlib.sha256("\n".join([self._memo, *made]).encode()).hexdigest()
        kept = self._index.fact(_KIND, memo) if known else None
        if kept is not None:
            return graph_from_json(kept)
        graph = self._make(lists)
        self._index.remember(_KIND, memo, graph_as_json(graph))
        return graph
