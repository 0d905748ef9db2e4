"""Which runs, and which of what they made, an upload or download is about."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gitml.core.records.record import Run
from gitml.records.runs import read_run, recorded_runs
from gitml.store.index.runs import newest_runs
from gitml.store.remote.transfer.progress import TransferRoot
from gitml.workspace import Workspace


class RunSelection(NamedTuple):
    """What is chosen: `runs` by the beginning of their ids, those that started at `since` or later (seconds since 1970), those of
    a `pipeline`; of these the `outputs` that match a pattern ``step.port``; and which `remotes`. Nothing said means all.
    """

    runs: Sequence[str] = ()
    since: float | None = None
    pipeline: str | None = None
    outputs: Sequence[str] = ()
    remotes: Sequence[str] = ()

    @property
    def is_everything(self) -> bool:
        """Whether all that was ever recorded is meant."""
        return not self.runs and self.since is None and self.pipeline is None and not self.outputs


def selected_roots(ws: Workspace, choice: RunSelection, known: str | None = None) -> list[TransferRoot]:
    """Outputs and logs of the chosen runs, each content once; without a choice only of what was recorded after `known`."""
    runs = recorded_runs(ws.records, ws.objects, known) if choice.is_everything else _chosen(ws, choice)
    found: dict[str, TransferRoot] = {}
    for run in runs:
        for root in roots_of(run, choice.outputs):
            found.setdefault(root.digest, root)
    return list(found.values())


def roots_of(run: Run, patterns: Sequence[str] = ()) -> Iterator[TransferRoot]:
    """The outputs of a run, whether made or reused, that match, and with no pattern the logs too."""
    for step in run.steps:
        for output in step.outputs:
            name = f"{step.name}.{output.name}"
            if not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                yield TransferRoot(output.digest, output.size, output.is_tree, name)
        for attempt in step.attempts if not patterns else ():
            if attempt.log is not None:
                yield TransferRoot(attempt.log.digest, attempt.log.size, False, f"the log of {step.name}")


def _chosen(ws: Workspace, choice: RunSelection) -> Iterator[Run]:
    from gitml.history.runs import find_run

    if choice.runs:
        for text in choice.runs:
            run = find_run(ws, text).run
            if choice.pipeline in (None, run.pipeline) and run.started >= (choice.since or 0):
                yield run
        return
    for row in newest_runs(ws.index, pipeline=choice.pipeline, since=choice.since, limit=None):
        yield read_run(ws.index, ws.objects, row.id)
