"""A metric along the commits that were run."""

from __future__ import annotations

from gitml.store.index.database import Database


class SeriesTables(Database):
    """Metrics of runs as the index has them."""

    def metric_names(self, pipeline: str, newest: int = 500) -> list[str]:
        """The metrics (``step.metric``) that the newest runs of a pipeline have, in order of name."""
        rows = self._rows(
            "SELECT DISTINCT key FROM (SELECT metrics FROM runs WHERE pipeline = ? ORDER BY started DESC LIMIT ?) AS some,"
            " json_each(some.metrics) ORDER BY key",
            (pipeline, newest),
        )
        return [row[0] for row in rows]

    def metric_by_commit(self, pipeline: str, metric: str) -> dict[str, float]:
        """For each commit that was run with a clean work tree, the metric of its newest run that has it as a finite number."""
        rows = self._rows(
            'SELECT runs."commit", json_each.value FROM runs, json_each(runs.metrics)'
            " WHERE pipeline = ? AND json_each.key = ? AND NOT dirty AND json_each.type != 'text' ORDER BY runs.started",
            (pipeline, metric),
        )
        return {commit: float(value) for commit, value in rows}
