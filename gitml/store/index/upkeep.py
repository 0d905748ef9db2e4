"""Questions that scheduling and housekeeping ask of the index."""

from __future__ import annotations

from collections.abc import Iterator

from gitml.core.model.digest import Digest
from gitml.core.model.result import ActionResult
from gitml.store.index.database import Database
from gitml.store.index.results import decoded


class UpkeepTables(Database):
    """Results as a whole."""

    def expected_seconds(self, pipeline: str) -> dict[str, float]:
        """For each step of a pipeline the wall seconds of the last time it was performed."""
        rows = self._rows(
            "SELECT performed.step, max(performed.at), results.result FROM performed"
            " JOIN results ON results.key = performed.key WHERE performed.pipeline = ? GROUP BY performed.step",
            (pipeline,),
        )
        return {step: result.cost.wall for step, _, text in rows if (result := decoded(text)) is not None}

    def output_digests(self) -> Iterator[Digest]:
        """The Digest of every output of every known result; one may come several times."""
        for result in self._every_result():
            for output in result.outputs:
                yield output.digest

    def output_trees(self) -> Iterator[tuple[Digest, int]]:
        """The Digest and size of every directory output of every known result; one may come several times."""
        for result in self._every_result():
            for output in result.outputs:
                if output.is_tree:
                    yield output.digest, output.size

    def file_size(self, digest: Digest) -> int | None:
        """The size of a file output of a known result; None when it is none."""
        for result in self._every_result():
            for output in result.outputs:
                if output.digest == digest and not output.is_tree:
                    return output.size
        return None

    def runs_of_results(self) -> Iterator[str]:
        """The run that gave each known result; one may come several times."""
        for result in self._every_result():
            yield result.run

    def _every_result(self) -> Iterator[ActionResult]:
        for (text,) in self._run("SELECT result FROM results"):
            result = decoded(text)
            if result is not None:
                yield result
