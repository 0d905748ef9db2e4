"""Project: a real repository with pipelines, planned and run by the library as the command line would."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from gitml.core.model.digest import Digest
from gitml.core.model.events import Event
from gitml.core.model.stop_signal import StopSignal
from gitml.core.model.tree import decode_tree
from gitml.core.planner.plan import Plan
from gitml.core.records.record import Run, StepRun
from gitml.engine.planning.load import load
from gitml.engine.planning.planner import Planner, make_plan, policy_for
from gitml.engine.planning.request import RunRequest
from gitml.engine.run import run_pipeline
from gitml.transfer.availability import Availability
from gitml.workspace import Workspace, open_workspace
from tests.kit.projects.repository import Repository, environment

Given = Sequence[tuple[str, str]]


class Project:
    """A repository and what gitml does in it; each call opens a Workspace of its own, as a command would."""

    def __init__(self, path: str | os.PathLike[str], files: Mapping[str, str | bytes] | None = None) -> None:
        self.repo = Repository(path)
        self.environ = {**environment(), "HOME": os.path.join(self.repo.path, ".git")}
        self.start = self.repo.path  # the folder in which commands are called
        self.events: list[Event] = []
        if files is not None:
            self.repo.commit("the project", files)

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """A Workspace, closed in the end."""
        ws = open_workspace(self.start, self.environ)
        try:
            yield ws
        finally:
            ws.close()

    def plan(self, name: str | None = None, rev: str | None = None, given: Given = (), **request: Any) -> Plan:
        """The Plan for what `run` with the same arguments would do."""
        asked = RunRequest(**request)
        with self.workspace() as ws:
            loaded = load(ws, name, rev, given)
            policy = policy_for(loaded, asked.wanted, force=asked.force, reuse=asked.reuse)
            return make_plan(ws, loaded, asked.wanted, policy)

    def run(
        self,
        name: str | None = None,
        rev: str | None = None,
        given: Given = (),
        *,
        stop: StopSignal | None = None,
        run_id: str | None = None,
        **request: Any,
    ) -> Run:
        """Runs a pipeline; `events` has what was told."""
        self.events = []
        with self.workspace() as ws:
            loaded = load(ws, name, rev, given)
            return run_pipeline(ws, loaded, RunRequest(**request), self.events.append, stop or StopSignal(), run_id)

    def planner(self, ws: Workspace, name: str | None = None, **request: Any) -> Planner:
        """A Planner of the work tree."""
        asked = RunRequest(**request)
        loaded = load(ws, name, None)
        return Planner(ws, loaded, policy_for(loaded, asked.wanted, force=asked.force, reuse=asked.reuse))

    def output(self, step: StepRun, port: str = "o") -> bytes:
        """The bytes of a file output."""
        ref = next(output for output in step.outputs if output.name == port)
        with self.workspace() as ws:
            Availability(ws).fetch_digest(ref.digest, tree=False)
            return ws.store.read(ref.digest)

    def files(self, digest: Digest) -> dict[str, bytes]:
        """The files of a directory output by path."""
        with self.workspace() as ws:
            Availability(ws).fetch_digest(digest, tree=True)
            found: dict[str, bytes] = {}
            todo = [("", digest)]
            while todo:
                prefix, tree = todo.pop()
                for entry in decode_tree(ws.store.read(tree)):
                    path = prefix + os.fsdecode(entry.name)
                    if entry.kind == "d":
                        todo.append((path + "/", entry.digest))
                    else:
                        found[path] = ws.store.read(entry.digest)
            return found

    def object_path(self, digest: Digest) -> str:
        """Where the Store keeps an object."""
        with self.workspace() as ws:
            return ws.store.path_of(digest)

    def objects(self) -> list[str]:
        """The paths of all objects of the Store, in order of name."""
        top = os.path.join(self.repo.path, ".git/gitml/objects")
        return sorted(
            os.path.join(place, name)
            for place, _, names in os.walk(top)
            for name in names
            if len(os.path.basename(place)) == 2
        )


def outcomes(run: Run) -> dict[str, str]:
    """Each step's outcome."""
    return {step.name: step.outcome for step in run.steps}


def reasons(run: Run) -> dict[str, str]:
    """Each step's reason."""
    return {step.name: step.reason for step in run.steps}
