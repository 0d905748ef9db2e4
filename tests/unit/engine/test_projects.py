"""Projects in subfolders: their pipelines run from there, with paths that count from there."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitml.core.model.environment import ON_HOST
from gitml.engine.planning.load import UnknownPipelineError, list_pipelines, load, load_recorded, pipeline_summaries
from gitml.errors import InputError
from gitml.history.files.checkout import checkout
from gitml.history.files.selector import select
from tests.kit.projects.project import Project, outcomes, reasons

TRAIN = """\
inputs: {x: data/x}
steps:
  t:
    run: python3 src/t.py ${{ inputs.x }} ${{ outputs.o }}
    outputs: {o: {type: file, path: out/o.txt}}
"""
FILES = {
    "ml/pipelines/train.yaml": TRAIN,
    "ml/src/t.py": "import sys, helper\nopen(sys.argv[2], 'w').write(helper.X + open('data/x').read())\n",
    "ml/src/helper.py": "X = 'x'\n",
    "ml/data/x": "1",
    "ml/deep/down/file": "",
    "pipelines/train.yaml": "steps:\n  top: {run: 'true'}\n",
    "src/t.py": "raise SystemExit(1)\n",
    "data/x": "top",
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "r", FILES)
    made.start = f"{made.repo.path}/ml"
    return made


def test_a_pipeline_runs_where_it_lies_and_below_and_its_paths_count_from_there(project: Project) -> None:
    run = project.run("train")
    assert (run.pipeline, run.path, run.dirty) == ("ml:train", "ml/pipelines/train.yaml", False)
    assert project.output(run.steps[0]) == b"x1"
    project.start += "/deep/down"
    assert outcomes(project.run()) == {"t": "reused"}
    project.start = project.repo.path
    for name in ("ml:train", "ml/pipelines/train.yaml"):
        assert outcomes(project.run(name)) == {"t": "reused"}
    assert outcomes(project.run("train")) == {"top": "executed"}


def test_of_an_old_commit_and_of_a_record_it_runs_as_well(project: Project) -> None:
    first = project.run("train")
    project.repo.commit("gone", {"ml/pipelines/train.yaml": "steps:\n  u: {run: 'true'}\n"})
    assert outcomes(project.run("train", "HEAD~1")) == {"t": "reused"}
    with project.workspace() as ws:
        loaded = load_recorded(ws, first)
        assert (loaded.project, list(loaded.graph.steps)) == ("ml", ["t"])


def test_what_changes_in_the_project_counts_and_what_changes_outside_does_not(project: Project) -> None:
    project.run("train")
    project.repo.write({"src/helper.py": "X = 'no'\n", "data/x": "no", "ml/src/helper.py": "X = 'y'\n"})
    run = project.run("train")
    assert reasons(run) == {"t": "code src/helper.py changed"}
    assert project.output(run.steps[0]) == b"y1"
    project.repo.write({"data/x": "more", "src/t.py": "raise SystemExit(2)\n"})
    assert outcomes(project.run("train")) == {"t": "reused"}


def test_untracked_files_of_the_project_are_used_by_the_step_that_names_them_alone(project: Project) -> None:
    text = "steps:\n  a: {run: cat new/file}\n"
    project.repo.write({"ml/pipelines/new.yaml": text, "ml/new/file": "n", "ml/new/other": "o", "ml/src/more.py": ""})
    run = project.run("new")
    assert (run.pipeline, run.dirty, outcomes(run)) == ("ml:new", True, {"a": "executed"})
    assert "ml/new/file" in project.repo.git("ls-tree", "-r", "--name-only", run.commit)
    assert "other" not in project.repo.git("ls-tree", "-r", "--name-only", run.commit)


def test_lists_name_the_pipelines_of_the_project_that_one_is_in(project: Project) -> None:
    with project.workspace() as ws:
        assert list_pipelines(ws) == list_pipelines(ws, "HEAD") == ["ml:train"]
        assert [offer.name for offer in pipeline_summaries(ws)] == ["ml:train"]
    project.start = project.repo.path
    with project.workspace() as ws:
        assert list_pipelines(ws) == ["train"]


def test_outputs_are_checked_out_into_the_project(project: Project) -> None:
    run = project.run("train")
    with project.workspace() as ws:
        checkout(ws, select(ws, f"{run.id}:t.o"), None)
    assert (Path(project.repo.path) / "ml/out/o.txt").read_text() == "x1"
    assert outcomes(project.run("train")) == {"t": "reused"}


def test_defaults_are_those_of_the_project_and_targets_those_of_the_top(project: Project) -> None:
    top = "defaults: {environment: nowhere.txt, experiment: top, sandbox: strict}\ntargets: {local: {cpus: 3}}\n"
    project.repo.write({"gitml.yaml": top})
    with project.workspace() as ws:
        config = load(ws, "train", None).config
        assert (config.defaults.environment, config.defaults.strict, config.experiment) == (ON_HOST, True, None)
        assert dict(config.local)
    project.repo.write(
        {"ml/gitml.yaml": "defaults: {pipeline: other, experiment: tries}\n", "ml/pipelines/other.yaml": TRAIN}
    )
    with project.workspace() as ws:
        loaded = load(ws, None, None)
        assert (loaded.graph.pipeline, loaded.graph.experiment, loaded.config.defaults.strict) == (
            "ml:other",
            "tries",
            False,
        )
        assert dict(loaded.config.local)


def test_what_is_not_there_is_told_with_what_is(project: Project) -> None:
    with pytest.raises(UnknownPipelineError, match=r"no pipeline 'trai' \(did you mean 'ml:train'\?\)"):
        project.run("trai")
    project.start = project.repo.path
    project.repo.git("rm", "-rq", "pipelines")
    with pytest.raises(UnknownPipelineError, match="no pipeline here") as caught:
        project.run()
    assert caught.value.hint == "go to ml, or name one: ml:NAME"


def test_what_lies_outside_the_project_is_no_input_of_it(project: Project) -> None:
    project.repo.write({"ml/pipelines/out.yaml": "inputs: {i: ../data/x}\nsteps:\n  a: {run: 'cat ${{ inputs.i }}'}\n"})
    with pytest.raises(InputError, match="leaves the tree"):
        project.run("out")
