"""After a checkout or a merge: what of each pipeline is cached, and what would run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from gitml.core.planner.plan import REUSE
from gitml.engine.planning.load import every_pipeline, load, open_source, read_config
from gitml.engine.planning.planner import make_plan
from gitml.errors import GitmlError
from gitml.workspace import Workspace


class PipelineStatus(NamedTuple):
    """How many steps of a pipeline are reused, and how many not, by what becomes of them; `wrong` when it can't be planned."""

    pipeline: str
    cached: int = 0
    others: tuple[tuple[str, int], ...] = ()
    wrong: bool = False


def pipeline_statuses(ws: Workspace, rev: str, hook: str) -> Iterator[PipelineStatus]:
    """Each pipeline of the commit `rev`, one after the other; nothing where the project leaves out the hook of that name."""
    source = open_source(ws, rev)
    try:
        if hook in read_config(ws, source).hooks.skip:
            return
    except GitmlError:
        return  # whatever is wrong with gitml.yaml, every command tells
    for name in sorted(every_pipeline(source)):
        try:
            plan = make_plan(ws, load(ws, name, None, source=source))
        except GitmlError:
            yield PipelineStatus(name, wrong=True)
            continue
        counts = Counter(decision.kind for decision in plan.decisions.values())
        cached = counts.pop(REUSE, 0)
        yield PipelineStatus(name, cached, tuple(counts.items()))
