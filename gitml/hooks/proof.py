"""What is recorded of a pipeline at a commit, whether or not any of the bytes are here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gitml.core.model.result import ActionResult
from gitml.core.planner.plan import decide
from gitml.engine.planning.action_builder import PartsFinder
from gitml.engine.planning.load import Loaded
from gitml.workspace import Workspace


class Proof(NamedTuple):
    """The recorded result of each step; `missing` is the first step that has none, with the reason, None when all have one."""

    results: Mapping[str, ActionResult]
    missing: tuple[str, str] | None


def proof_of(ws: Workspace, loaded: Loaded) -> Proof:
    """Looks each step's Action up, until one is not known or can't be. Needs Git objects and records, no data."""
    finder = PartsFinder(ws, loaded)
    results: dict[str, ActionResult] = {}
    missing: tuple[str, str] | None = None
    with ws.index.looking():
        for name, step in loaded.graph.steps.items():
            decision = decide(step, finder.parts(step, results), ws.index, lambda _: True, loaded.graph.pipeline)
            result = decision.result
            if result is None and decision.key is not None:  # it always runs; that it did is what counts here
                result = ws.index.result(decision.key)
            if result is not None:
                results[name] = result
            elif missing is None:
                missing = (name, decision.reason)
    return Proof(results, missing)
