"""Tracked links to folders: a path through one means in a step what it means in the work tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitml.errors import InputError
from tests.kit.projects.project import Project, outcomes

PIPELINE = """\
inputs: {x: link/x.csv, d: deep/link/sub}
steps:
  script: {run: python3 link/t.py}
  module: {run: python3 -m link.t}
  inputs: {shell: sh, run: "cat ${{ inputs.x }} ${{ inputs.d }}/y > ${{ outputs.o }}", outputs: {o: file}}
  both: {shell: sh, run: "python3 link/t.py; cat ${{ inputs.x }} > ${{ outputs.o }}", outputs: {o: file}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    files = {"real/t.py": "import helper, os\nprint(helper.X)\n", "real/helper.py": "X = 1\n", "real/x.csv": "x"}
    made = Project(tmp_path / "r", {**files, "real/__init__.py": "", "data/sub/y": "y"})
    (Path(made.repo.path) / "link").symlink_to("real")
    (Path(made.repo.path) / "deep").mkdir()
    (Path(made.repo.path) / "deep/link").symlink_to("../data")
    text = PIPELINE.replace("  module: {run: python3 -m link.t}", "  module: {run: python3 -m link.u}")
    made.repo.commit("links", {"pipelines/p.yaml": text, "real/u.py": "from link import helper\n"})
    return made


def test_scripts_modules_and_inputs_are_found_through_links(project: Project) -> None:
    run = project.run()
    assert {step.name: step.error for step in run.steps} == dict.fromkeys(["script", "module", "inputs", "both"])
    assert [project.output(step) for step in run.steps[2:]] == [b"xy", b"x"]
    assert set(outcomes(project.run()).values()) == {"reused"}


@pytest.mark.slow
def test_what_lies_behind_a_link_counts(project: Project) -> None:
    project.run()
    project.repo.commit("other", {"real/helper.py": "X = 2\n"})
    assert outcomes(project.run()) == {
        "script": "executed",
        "module": "executed",
        "inputs": "reused",
        "both": "executed",
    }
    project.repo.commit("other", {"real/x.csv": "z"})
    assert outcomes(project.run()) == {"script": "reused", "module": "reused", "inputs": "executed", "both": "executed"}


def test_a_link_that_is_not_tracked_yet_counts_with_what_it_leads_to(project: Project) -> None:
    (Path(project.repo.path) / "new").symlink_to("real")
    project.repo.write({"pipelines/q.yaml": "steps:\n  a: {run: python3 new/t.py}\n"})
    assert outcomes(project.run("q")) == {"a": "executed"}


@pytest.mark.parametrize(("target", "word"), [("/mnt", "leads out of the tree"), ("out", "forms a cycle")])
def test_an_input_through_a_link_that_leads_nowhere_is_an_error(project: Project, target: str, word: str) -> None:
    (Path(project.repo.path) / "out").symlink_to(target)
    text = "inputs: {i: out/x}\nsteps:\n  a: {run: 'cat ${{ inputs.i }}'}\n"
    project.repo.commit("out", {"pipelines/q.yaml": text})
    with pytest.raises(InputError, match=f"input 'out/x': link 'out/x' {word}"):
        project.run("q")


@pytest.mark.parametrize(
    ("git", "mend"),
    [
        (["rm", "-q", "--cached", "data/sub/y"], "git restore --source=HEAD --staged --worktree -- data/sub/y"),
        ([], "git restore -- data/sub/y"),
    ],
)
def test_an_input_that_was_deleted_in_the_work_tree_is_told_with_how_to_restore_it(
    project: Project, git: list[str], mend: str
) -> None:
    if git:
        project.repo.git(*git)
    (Path(project.repo.path) / "data/sub/y").unlink()
    text = "inputs: {i: data/sub/y}\nsteps:\n  a: {run: 'cat ${{ inputs.i }}'}\n"
    project.repo.write({"pipelines/q.yaml": text})
    with pytest.raises(InputError) as caught:
        project.run("q")
    assert caught.value.hint == f"it is tracked, but deleted in the work tree: {mend}"
