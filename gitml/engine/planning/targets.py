"""Where each step is to run: what the command line says, else the pipeline, else this machine."""

from __future__ import annotations

from collections.abc import Iterable

from gitml.core.config.project import LOCAL, Config, Target
from gitml.core.model.graph import Graph, GraphStep
from gitml.errors import InputError


def target_name(step: GraphStep, on: str | None) -> str:
    """The name of the target of a step; `on` is that of the command line, which has the last word."""
    return on or step.settings.target or LOCAL


def targets_of(graph: Graph, names: Iterable[str], on: str | None, config: Config) -> dict[str, Target | None]:
    """The cluster of each named step, None for this machine; InputError for a target that `gitml.yaml` does not know."""
    found: dict[str, Target | None] = {LOCAL: None}
    places = {}
    for name in names:
        step = graph.steps[name]
        target = target_name(step, on)
        if target not in found:
            try:
                found[target] = config.target(target)
            except InputError as error:
                where = error.where if on else f"step {step.base!r} of {graph.path}"
                raise InputError(error.message, where=where, hint=error.hint) from None
        places[name] = found[target]
    return places
