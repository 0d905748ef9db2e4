"""Projects that the screens show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.projects.command_line import Project

WORK = """\
import json, os, pathlib, sys, time
what, *rest = sys.argv[1:]
if what == "prepare":
    source, seed, out = rest
    print("preparing from", source, flush=True)
    pathlib.Path(out).write_text(seed)
elif what == "train":
    source, model, gamma, metrics, curve = rest
    print("one line of a log")
    for number in range(200):
        print(f"line {number}")
    value = float(gamma) * len(model)
    pathlib.Path(curve).write_text("epoch,loss\\n" + "".join(f"{e},{value / e}\\n" for e in range(1, 9)))
    pathlib.Path(metrics).write_text(json.dumps({"accuracy": value}))
elif what == "wait":
    source, gate, out = rest
    print("waiting for the gate", flush=True)
    while not os.path.exists(gate):
        time.sleep(0.05)
    pathlib.Path(out).write_text("passed")
else:
    raise SystemExit(3)
"""
PIPELINE = """\
help: Trains two models
params:
  seed: {default: 7, min: 0, help: where chance begins}
  gamma: {default: 0.25}
inputs: {data: data.csv}
steps:
  prepare:
    run: python3 work.py prepare ${{ inputs.data }} ${{ params.seed }} ${{ outputs.clean }}
    outputs: {clean: file}
  train:
    matrix: {model: [ada, bert]}
    run: >-
      python3 work.py train ${{ steps.prepare.outputs.clean }} ${{ matrix.model }} ${{ params.gamma }}
      ${{ outputs.metrics }} ${{ outputs.curve }}
    outputs: {metrics: metrics, curve: plot}
"""
GATED = """\
params: {gate: {type: str}}
inputs: {data: data.csv}
steps:
  first:
    run: python3 work.py prepare ${{ inputs.data }} 1 ${{ outputs.o }}
    outputs: {o: file}
  wait:
    run: python3 work.py wait ${{ steps.first.outputs.o }} ${{ params.gate }} ${{ outputs.o }}
    outputs: {o: file}
  last:
    run: python3 work.py prepare ${{ steps.wait.outputs.o }} 2 ${{ outputs.o }}
    outputs: {o: file}
"""
FILES = {
    "work.py": WORK,
    "data.csv": "1,2\n",
    "gitml.yaml": "defaults: {pipeline: models}\n",
    "pipelines/models.yaml": PIPELINE,
    "pipelines/gated.yaml": GATED,
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project in which nothing has run."""
    return Project(tmp_path / "p", FILES)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with three runs of the pipeline models: two that differ in gamma, one from cache. Nothing may change it."""
    project = Project(tmp_path_factory.mktemp("ran") / "p", FILES)
    project.run("models")
    project.run("models", "-S", "gamma=0.5", "-m", "twice the gamma")
    project.run("models")
    return project
