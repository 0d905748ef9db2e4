"""A kind of executors is one entry of a table: the tests add one, and nothing of gitml knows it."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gitml.core.config.project import TARGET_PARSERS, Target
from gitml.core.language.diagnostics import SpecError
from gitml.core.language.fields import Fields
from gitml.core.model.digest import Digest
from gitml.core.model.environment import Environment, environment_of
from gitml.core.model.events import StepStarted
from gitml.core.model.protocols import Capabilities, Executor, Task, TaskEvent, TaskFinished, TaskStarted
from gitml.core.model.resources import Resources
from gitml.core.model.result import Cost, OutputRef
from gitml.engine.execution.executor_kind import ExecutorKind, TargetSession
from gitml.engine.execution.executor_kinds import EXECUTOR_KINDS, register, target_states
from gitml.engine.planning.load import load
from gitml.execute.environments.software import EnvironmentQuery
from gitml.workspace import Workspace
from tests.kit.projects.project import Project

PIPELINE = """\
name: p
steps:
  write:
    run: ["sh", "-c", "echo made elsewhere > $1", "sh", "${{ outputs.o }}"]
    outputs: {o: file}
    target: bench
  copy:
    run: ["sh", "-c", "cat $1 > $2; echo again >> $2", "sh", "${{ steps.write.outputs.o }}", "${{ outputs.o }}"]
    outputs: {o: file}
    target: bench
"""


class ToyExecutor:
    """Performs a Task at once, in a temporary folder, without any sandbox."""

    capabilities = Capabilities(shares_machine=True)

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.events: list[TaskEvent] = []
        self.reader, self.writer = os.pipe()

    def takes(self, resources: Resources, nodes: int = 1, environment: Digest | None = None) -> bool:
        return True

    def submit(self, task: Task) -> None:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            for mount in (*task.action.inputs, *task.action.outputs):
                os.makedirs(os.path.dirname(os.path.join(folder, mount.mount)), exist_ok=True)
            for item in task.action.inputs:
                self.ws.store.materialize_file(Digest(item.content), os.path.join(folder, item.mount))
            done = subprocess.run(task.action.argv, cwd=folder, env=self.ws.environ, check=False)
            outputs = []
            for output in task.action.outputs:
                digest, size = self.ws.store.ingest_file(os.path.join(folder, output.mount))
                outputs.append(OutputRef(output.name, output.kind, digest, size))
        cost = Cost(time.monotonic() - began)
        outcome = "done" if done.returncode == 0 else "failed"
        finished = TaskFinished(
            task.attempt, outcome, done.returncode, None, None, tuple(outputs), {}, cost, None, machine="bench-1"
        )
        self.events += [TaskStarted(task.attempt), finished]
        os.write(self.writer, b"x")

    def descriptors(self) -> Sequence[int]:
        return [self.reader]

    def wait(self, timeout: float | None) -> Sequence[TaskEvent]:
        events, self.events = self.events, []
        return events

    def cancel(self, attempt: str, *, now: bool = False) -> None:
        pass

    def dismiss(self) -> None:
        pass

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


class ToySession(TargetSession):
    def __init__(self, ws: Workspace) -> None:
        super().__init__()
        self.ws = ws

    def environment(self, target: Target, request: Resources, query: EnvironmentQuery) -> Environment:
        return environment_of({"kind": "toy", "image": target.options}, query.source)

    def executor(self, target: Target, run: str, folder: str) -> Executor:
        return ToyExecutor(self.ws)


class ToyKind(ExecutorKind):
    name = "toy"

    def parse(self, fields: Fields, name: str, pairs: Mapping[str, Any]) -> str:
        image = fields.text_of(pairs["toy"][1], "toy")
        if image == "latest":
            fields.report(pairs["toy"][1], "toy must name one image")
        return image or ""

    def session(self, ws: Workspace, jobs: int | None) -> TargetSession:
        return ToySession(ws)


@pytest.fixture(autouse=True)
def toy() -> Iterator[None]:
    register(ToyKind())
    yield
    del EXECUTOR_KINDS["toy"], TARGET_PARSERS["toy"]


def project_with(tmp_path: Path, image: str) -> Project:
    return Project(
        tmp_path / "r", {"gitml.yaml": f"targets: {{bench: {{toy: {image}}}}}\n", "pipelines/p.yaml": PIPELINE}
    )


def test_steps_of_a_target_of_a_new_kind_run_on_its_executor_and_are_reused(tmp_path: Path) -> None:
    project = project_with(tmp_path, "one")
    run = project.run("p")
    assert run.status == "succeeded", run.steps
    assert project.output(run.steps[1]) == b"made elsewhere\nagain\n"
    attempt = run.steps[0].attempts[0]
    assert (attempt.target, attempt.machine) == ("bench", "bench-1")
    assert [step.outcome for step in project.run("p").steps] == ["reused", "reused"]
    project.repo.commit("another image", {"gitml.yaml": "targets: {bench: {toy: two}}\n"})
    assert [step.outcome for step in project.run("p").steps] == ["executed", "executed"]
    assert sum(isinstance(event, StepStarted) for event in project.events) == 2


def test_a_kind_reports_the_mistakes_in_its_options(tmp_path: Path) -> None:
    project = project_with(tmp_path, "latest")
    with project.workspace() as ws, pytest.raises(SpecError, match="toy must name one image"):
        load(ws, "p", None)


def test_targets_of_a_new_kind_are_listed(tmp_path: Path) -> None:
    with project_with(tmp_path, "one").workspace() as ws:
        states = list(target_states(ws, load(ws, "p", None).config))
    assert [(state.name, state.about) for state in states] == [
        ("local", "this machine"),
        ("bench", "a target of the kind toy"),
    ]
