"""The lists of matrices that steps make, in one plan or run: read once their steps are done, and with them the graph grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from gitml.core.model.digest import Digest
from gitml.core.model.graph import Graph
from gitml.core.model.result import ActionResult, Cost, OutputRef
from gitml.core.model.stop_signal import StopSignal
from gitml.core.parameters.made_list import LARGEST, ListSource, MadeList, read_list
from gitml.core.records.record import Run
from gitml.engine.planning.load import Loaded
from gitml.errors import InputError
from gitml.store.index.results import performed_actions
from gitml.transfer.availability import Availability
from gitml.workspace import Workspace

_NOTHING = Digest("")
_MOST = 100_000  # steps of a run with lists; a record of more is too large for a clone


class DynamicLists:
    """Those of a Loaded pipeline. `lost` are the steps that must run again, as nobody has the list that they made."""

    def __init__(self, ws: Workspace, loaded: Loaded, availability: Availability | None = None) -> None:
        self.ws = ws
        self.availability = availability or Availability(ws)
        self.lost: set[str] = set()
        self._builder = loaded.builder
        self._lists: dict[ListSource, MadeList] = {}

    def grown(
        self,
        graph: Graph,
        results: Mapping[str, ActionResult | None],
        check: Callable[[Graph], object] = lambda graph: None,
    ) -> Graph | None:
        """The graph with the lists that `results` have; None where these say nothing new.

        What is wrong with a list, for `check` too, which raises InputError, is in the steps that stand for its combinations.
        """
        if not graph.dynamic or self._builder is None:
            return None
        before = dict(self._lists)
        for source in dict.fromkeys(source for sources in graph.dynamic.values() for source in sources):
            result = results.get(source.step)
            if result is not None:
                self._learn(source, result)
        if self._lists == before:
            return None
        try:
            found = self._builder.graph(self._lists)
            if len(found.steps) > _MOST:
                raise InputError(f"a run of {len(found.steps):,} steps; at most {_MOST:,}")
            check(found)
            return found
        except InputError as error:  # of values that can't be used: paths that lead out, two outputs at one place
            for source in [source for source, made in self._lists.items() if before.get(source) != made]:
                self._lists[source] = self._lists[source]._replace(problem=f"can't be used: {error.message}")
            return self._builder.graph(self._lists)

    def last_counts(self, graph: Graph) -> dict[str, int]:
        """How many combinations each step has with the lists that were made last, as far as these are here."""
        if self._builder is None:
            return {}
        lists = dict(self._lists)
        while True:
            before = len(lists)
            for source in [source for sources in graph.dynamic.values() for source in sources if source not in lists]:
                made = self._last(graph.pipeline, source)
                if made is not None and not made.problem:
                    lists[source] = made
            if len(lists) == before:
                break
            try:
                graph = self._builder.graph(lists)
            except InputError:
                return {}
        counts = Counter(step.base for step in graph.steps.values() if not step.pending)
        listed = {step.base for step in graph.steps.values() if step.pending}
        return {base: counts[base] for base in graph.dynamic if base not in listed}

    def _last(self, pipeline: str, source: ListSource) -> MadeList | None:
        """The list that a step made when it last ran, where that is here."""
        for performed in performed_actions(self.ws.index, pipeline, source.step, 1):
            result = self.ws.index.result(performed.key)
            output = result.output(source.port) if result is not None else None
            if output is None or output.is_tree or output.size > LARGEST or not self.availability.is_here(output):
                return None
            content = self._content(output)
            return None if content is None else read_list(output.digest, content)
        return None

    def _learn(self, source: ListSource, result: ActionResult) -> None:
        output = result.output(source.port)
        if output is None:
            self._lists[source] = MadeList(_NOTHING, problem="was left out")
            return
        known = self._lists.get(source)
        if known is not None and known.digest == output.digest:
            return
        if output.is_tree or output.size > LARGEST:
            what = (
                "is a directory" if output.is_tree else f"has {output.size:,} bytes, and a list has {LARGEST:,} at most"
            )
            self._lists[source] = MadeList(output.digest, problem=what)
            return
        content = self._content(output)
        if content is None:
            if output.digest not in self.availability.unasked:
                self.lost.add(source.step)
            return
        self.lost.discard(source.step)
        self._lists[source] = read_list(output.digest, content)

    def _content(self, output: OutputRef) -> bytes | None:
        """The bytes of a list; None where they can't be had, or not by a command that only looks."""
        here = self.availability
        content = here.content_here(output.digest)
        if content is not None or not here.has(output):
            return content
        if self.ws.consent.offline:
            here.unasked.add(output.digest)
            return None
        from gitml.transfer.download import fetch_outputs

        if fetch_outputs(self.ws, [output], lambda _: None, StopSignal()).lost:
            here.lost(output)
            return None
        return self.ws.store.read(output.digest)


def results_of(run: Run) -> dict[str, ActionResult | None]:
    """What the steps of a run made."""
    return {
        step.name: ActionResult(step.outputs, {}, Cost(0.0, 0.0, 0), run.id, run.started)
        for step in run.steps
        if step.outcome in ("executed", "reused")
    }


def grown_by(ws: Workspace, loaded: Loaded, results: Mapping[str, ActionResult | None]) -> Graph:
    """The graph of a Loaded pipeline with all lists that the results of a run have."""
    lists, graph = DynamicLists(ws, loaded), loaded.graph
    while (grown := lists.grown(graph, results)) is not None:
        graph = grown
    return graph
