"""The actions on artifacts: write out, fetch, free, show the lineage or the run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType

from gitml.core.text.format import count, safe, size
from gitml.errors import InputError
from gitml.history.files.checkout import WrittenOutput, checkout
from gitml.history.files.selector import select
from gitml.maintenance.evict import Evicted, EvictionPlan, evict, plan_eviction
from gitml.store.index.artifacts import GONE, HERE, REMOTE, Artifact
from gitml.tui.page import Page
from gitml.tui.screens.artifacts.view import ArtifactContents, fetch_artifacts, freeing_lines
from gitml.tui.text import plain
from gitml.tui.widgets.table import LazyTable
from gitml.workspace import Workspace


class ArtifactActionsPage(Page):
    """A page with a table of artifacts, one under the cursor, and some that are marked."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "write", "Write out"),
        Binding("f", "fetch", "Fetch", show=False),
        Binding("x", "free", "Free"),
        Binding("L", "lineage", "Lineage"),
        Binding("o", "open_run", "Run"),
        Binding("y", "copy", "Copy digest", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.marked: dict[str, Artifact] = {}
        self._contents: ArtifactContents | None = None  # of the one that was looked into last

    @property
    def current(self) -> Artifact | None:
        """The artifact under the cursor."""
        row = self.query_one(LazyTable).current
        return row.value if row is not None else None

    @property
    def chosen(self) -> list[Artifact]:
        """Those that are marked, else the one under the cursor."""
        return list(self.marked.values()) or [artifact for artifact in [self.current] if artifact is not None]

    @property
    def contents(self) -> ArtifactContents | None:
        """What was found in it, when that is what was looked into last."""
        contents, artifact = self._contents, self.current
        known = contents is not None and artifact is not None and contents.details.artifact.digest == artifact.digest
        return contents if known else None

    def action_write(self) -> None:
        """Writes the artifact into a folder as a copy of one's own."""
        artifact = self.current
        if artifact is None:
            return
        contents = self.contents
        name = contents.details.file_name if contents is not None else artifact.port
        self.prompt(
            f"Write {plain(artifact.name)} where?",
            "A folder that exists gets it under its own name; a new path becomes the copy itself.",
            os.path.join(self.ui.queries.start, name or artifact.port),
            lambda text: self._write(artifact, text.strip()),
        )

    def _write(self, artifact: Artifact, place: str) -> None:
        if not place:
            return
        full = os.path.join(self.ui.queries.start, os.path.expanduser(place))

        def question(ws: Workspace) -> list[WrittenOutput]:
            if artifact.where in (REMOTE, GONE) and fetch_artifacts(ws, [artifact])[1]:
                raise _gone(artifact)
            return checkout(ws, select(ws, f"{artifact.run}:{artifact.step}.{artifact.port}"), full)

        def then(done: list[WrittenOutput]) -> None:
            for written in done:
                self.ui.report(f"{written.state}: {written.path}, {size(written.size)}")
                for note in written.notes:
                    self.notify(safe(note), severity="warning", markup=False, timeout=10)

        self.run_online("write", question, then)

    def action_fetch(self) -> None:
        """Fetches the marked artifacts, or the one under the cursor, from a remote store."""
        chosen = self.chosen
        away = [artifact for artifact in chosen if artifact.where in (REMOTE, GONE)]
        if not away:
            if chosen:
                self.ui.report("it is in the store already")
            return
        self.ui.report(f"fetching {size(sum(artifact.size or 0 for artifact in away))} …")
        self.run_online("fetch", lambda ws: fetch_artifacts(ws, away), self._fetched)

    def _fetched(self, fetched: tuple[int, int]) -> None:
        came, lost = fetched
        absent = f"no remote store has {'it' if lost == 1 else f'{lost:,} of them'}"
        self.ui.report(
            f"fetched {size(came)}; {absent}" if came and lost else absent if lost else f"fetched {size(came)}"
        )
        self.marked.clear()
        self.action_refresh()

    def action_free(self) -> None:
        """Deletes the marked artifacts, or the one under the cursor, after a confirmation that shows the consequences."""
        chosen = self.chosen
        here = [artifact for artifact in chosen if artifact.where == HERE]
        if not here:
            if chosen:
                self.ui.report("its bytes are not in the store" if len(chosen) == 1 else "none of them is in the store")
            return
        digests = [artifact.digest for artifact in here]
        self.ui.report("checking which runs keep it …")
        self.run_query(
            "consider", lambda ws: plan_eviction(ws, digests), partial(self._confirm_free, here), exclusive=True
        )

    def _confirm_free(self, chosen: Sequence[Artifact], freeing: EvictionPlan) -> None:
        name = plain(chosen[0].name) if len(chosen) == 1 else count(len(chosen), "artifact")

        def then() -> None:
            self.run_query("free", lambda ws: evict(ws, freeing.digests, though_kept=True), self._freed, exclusive=True)

        self.confirm(f"Free {name}?", freeing_lines(freeing), then, yes="Free", danger=bool(freeing.retaining_runs))

    def _freed(self, freed: Evicted) -> None:
        self.ui.report(f"freed {size(freed.bytes)}, {count(freed.objects, 'object')}")
        self.marked.clear()
        self.action_refresh()

    def action_lineage(self) -> None:
        """What it was made from."""
        artifact = self.current
        if artifact is not None:
            self.ui.go("lineage", thing=artifact.digest, direction="up")

    def action_open_run(self) -> None:
        """The run that made it last."""
        artifact = self.current
        if artifact is not None:
            self.ui.go("run", run=artifact.run, step=artifact.step)

    def action_copy(self) -> None:
        """Its digest."""
        artifact = self.current
        if artifact is not None:
            self.ui.copy(artifact.digest, "digest")


def _gone(artifact: Artifact) -> InputError:
    return InputError(
        f"{artifact.name} is not here and no remote store has it",
        where=f"run {artifact.run[:8]}",
        hint=f"make it again: gitml run {artifact.pipeline} {artifact.step}",
    )
