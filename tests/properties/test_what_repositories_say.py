"""The repository in a sandbox says of the files of its step what the user's own says of them, and plan and run agree on it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitml.core.planner.plan import REUSE
from tests.kit.projects.project import Project
from tests.kit.strategies import examples

PIPELINE = """\
steps:
  ask:
    shell: sh
    run: |
      { git rev-parse HEAD; git tag --points-at HEAD; git status --porcelain -uall; cat ${{ inputs.raw }}; } > ${{ outputs.o }}
    code: [src/]
    inputs: {raw: data/raw}
    repository: true
    outputs: {o: file}
"""
STEP = ("src", "data/raw")
FILES = {
    "pipelines/p.yaml": PIPELINE,
    "src/keep": "",
    "src/a": "0",
    "src/deep/b": "0",
    "data/raw": "0\n",
    "README": "0",
}
paths = st.sampled_from(["src/a", "src/deep/b", "src/new", "src/deep/new", "data/raw", "README", "left"])
edits = st.one_of(
    st.tuples(st.just("write"), paths, st.sampled_from("01")),
    st.tuples(st.just("delete"), paths.filter(lambda path: path != "data/raw"), st.just("")),
    st.tuples(st.just("stage"), st.just(""), st.just("")),
    st.tuples(st.just("commit"), st.just(""), st.just("")),
    st.tuples(st.just("tag"), st.sampled_from(["v1", "v2"]), st.sampled_from(["", "annotated"])),
)


def apply(project: Project, kind: str, what: str, how: str) -> None:
    if kind == "write":
        project.repo.write({what: f"{how}\n"})
    elif kind == "delete":
        Path(project.repo.file(what)).unlink(missing_ok=True)
    elif kind == "stage":
        project.repo.git("add", "--all")
    elif kind == "commit":
        project.repo.commit()
    else:
        project.repo.git("tag", "-f", *(["-a", "-m", "m"] if how else []), what)


def said_by_the_users_own(project: Project) -> list[str]:
    """What the repository of the user says of the files of the step, none of it staged."""
    project.repo.git("reset", "-q")
    ask = [["rev-parse", "HEAD"], ["tag", "--points-at", "HEAD"], ["status", "--porcelain", "-uall", "--", *STEP]]
    return [line for words in ask for line in project.repo.git(*words).split("\n") if line]


@pytest.mark.slow
@settings(max_examples=examples(6))
@given(st.lists(st.lists(edits, min_size=1, max_size=4), min_size=1, max_size=3))
def test_what_it_says_is_what_the_users_own_repository_says(turns: list[list[tuple[str, str, str]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = Project(os.path.join(folder, "r"), FILES)
        for changes in turns:
            for change in changes:
                apply(project, *change)
            planned = project.plan().decisions["ask"]
            run = project.run()
            (step,) = run.steps
            assert (step.key, run.status) == (planned.key, "succeeded")
            assert (step.outcome == "reused") == (planned.kind == REUSE)
            at_snapshot = project.plan(rev=run.commit).decisions["ask"]
            assert (at_snapshot.key, at_snapshot.kind) == (planned.key, REUSE)
            with project.workspace() as ws:
                said = ws.store.read(step.outputs[0].digest).decode().split("\n")
            raw = Path(project.repo.file("data/raw")).read_text()
            assert said == [*said_by_the_users_own(project), *raw.split("\n")]
