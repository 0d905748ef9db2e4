"""``//path``: what a project in a subfolder uses of the rest of the repository, and where its steps find it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gitml.analysis.explain import explain
from gitml.core.language.diagnostics import SpecError
from gitml.core.model.action import Action, decode_action
from gitml.core.records.rules import check_action
from gitml.engine.planning.load import load
from gitml.engine.watch import files_of
from gitml.errors import InputError
from gitml.history.files.checkout import checkout
from gitml.history.files.selector import select
from tests.kit.projects.project import Project, outcomes

TRAIN = """\
extends: //shared/base.yaml
params: {from: [//shared/conf/model.yaml]}
inputs: {rows: //data/rows.csv}
steps:
  prep:
    run: cp ${{ inputs.rows }} ${{ outputs.o }}
    outputs: {o: file}
  train:
    run: python3 src/train.py ${{ steps.prep.outputs.o }} --config ../shared/conf/more.yaml --n ${{ outputs.n }} --out ${{ outputs.m }}
    code: [//shared/lib.py]
    params: [rate]
    env: {PYTHONPATH: "../shared"}
    outputs: {m: {type: file, path: models/m.txt}, logs: {type: directory, pattern: "**/*.log"}, n: file}
  plain:
    run: cp ${{ steps.train.outputs.m }} ${{ outputs.x }}
    outputs: {x: {type: file, path: out/x.txt}}
"""
SCRIPT = """\
import os, sys, lib
text = open("../shared/conf/model.yaml").read() + open("../shared/conf/more.yaml").read()
open(sys.argv[-1], "w").write(text + lib.X + os.environ["SAID"] + os.path.basename(os.getcwd()))
open("a.log", "w").write("a")
open(os.environ["GITML_OUTPUT_N"], "w").write("n")
open(os.environ["GITML_OUTPUT_N"] + ".log", "w").write("of gitml's own folder")
"""
FILES = {
    "ml/pipelines/train.yaml": TRAIN,
    "ml/src/train.py": SCRIPT,
    "shared/base.yaml": "env: {SAID: hello}\n",
    "shared/conf/model.yaml": "rate: 0.1\nrest: 1\n",
    "shared/conf/more.yaml": "q: 1\n",
    "shared/lib.py": "from beside import X\n",
    "shared/beside.py": "X = 'x'\n",
    "data/rows.csv": "a,b\n",
}


def action_of(project: Project, pipeline: str, step: str) -> Action:
    """The Action of a step that can be planned."""
    found = project.plan(pipeline).decisions[step].action
    assert found is not None
    return found


def steps_of(text: str, **more: str) -> dict[str, str | bytes]:
    """The files of a project in ``ml/`` with one pipeline."""
    return {**FILES, "ml/pipelines/train.yaml": text, **more}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "r", FILES)
    made.start = f"{made.repo.path}/ml"
    return made


def test_a_script_of_a_subproject_finds_what_lies_beside_it_as_in_the_repository(project: Project) -> None:
    run = project.run("train")
    assert outcomes(run) == dict.fromkeys(("prep", "train", "plain"), "executed")
    train = run.steps[1]
    assert project.output(train, "m") == b"rate: 0.1\nq: 1\nxhelloml"
    logs = next(output.digest for output in train.outputs if output.name == "logs")
    assert project.files(logs) == {"a.log": b"a"}
    assert set(outcomes(project.run("train")).values()) == {"reused"}
    project.start = project.repo.path
    assert set(outcomes(project.run("ml:train")).values()) == {"reused"}
    action = action_of(project, "ml:train", "train")
    assert (action.project, action.workdir) == ("ml", "ml")
    assert [file.path for file in action.code] == [
        "ml/src/train.py",
        *(f"shared/{n}" for n in ("beside.py", "conf/more.yaml", "lib.py")),
    ]
    assert {output.mount for output in action.outputs} >= {"ml/models/m.txt", "ml/.gitml/out/n"}
    assert decode_action(action.preimage()) == action
    check_action(action)
    with project.workspace() as ws:
        checkout(ws, select(ws, run.id), None)
        assert sorted(path.name for path in Path(project.repo.file("ml/models")).iterdir()) == ["m.txt"]
        assert Path(project.repo.file("ml/out/x.txt")).is_file()
        watched = files_of(ws, load(ws, "ml:train", None)).paths
        assert {"shared/lib.py", "shared/beside.py", "shared/base.yaml", "data/rows.csv", "ml/src/train.py"} <= {
            *watched
        }


def test_only_steps_with_something_beside_the_project_have_another_sandbox(project: Project) -> None:
    project.run("train")
    assert action_of(project, "train", "plain").project == ""
    assert b"project" not in action_of(project, "train", "plain").preimage()
    project.repo.commit("more", {"shared/beside.py": "X = 'y'\n"})
    assert outcomes(project.run("train")) == {"prep": "reused", "train": "executed", "plain": "executed"}
    with project.workspace() as ws:
        found = explain(ws, "train", "train", "HEAD~1..HEAD")[0].changes
    assert [str(change) for change in found] == ["code shared/beside.py changed"]


def test_at_the_top_a_path_with_slashes_is_the_same_as_without(tmp_path: Path) -> None:
    text = TRAIN.replace("../shared", "shared")
    files = {name.removeprefix("ml/"): content for name, content in steps_of(text).items()}
    with_slashes = Project(tmp_path / "a", files)
    without = Project(tmp_path / "b", {**files, "pipelines/train.yaml": text.replace("//", "")})
    plans = [one.plan("train").decisions["prep"] for one in (with_slashes, without)]
    assert plans[0].key == plans[1].key is not None
    with with_slashes.workspace() as one, without.workspace() as two:
        steps = [load(ws, "train", None).graph.steps for ws in (one, two)]
    assert steps[0] == steps[1]


def test_in_its_own_folder_too(tmp_path: Path) -> None:
    plain = "steps:\n  a: {run: cat src/train.py, code: [src/x.py]}\n"
    keys = []
    for name, text in (("a", plain), ("b", plain.replace("src/x.py", "//ml/src/x.py"))):
        project = Project(tmp_path / name, steps_of(text, **{"ml/src/x.py": ""}))
        keys.append(project.plan("ml:train").decisions["a"].key)
    assert keys[0] == keys[1] is not None


def test_an_input_with_a_place_in_the_project_needs_no_other_sandbox(tmp_path: Path) -> None:
    text = "steps:\n  a: {run: cat here.csv, inputs: {r: {from: //data/rows.csv, path: here.csv}}}\n"
    project = Project(tmp_path / "r", steps_of(text))
    action = action_of(project, "ml:train", "a")
    assert (action.project, [item.mount for item in action.inputs]) == ("", ["here.csv"])
    assert outcomes(project.run("ml:train")) == {"a": "executed"}


def test_an_optional_input_at_the_top_may_be_missing(tmp_path: Path) -> None:
    text = "inputs: {r: {from: //data/none.csv, optional: true}}\nsteps:\n  a: {run: 'echo --rows ${{ inputs.r }}'}\n"
    project = Project(tmp_path / "r", steps_of(text))
    assert action_of(project, "ml:train", "a").argv == ("echo",)
    project.repo.commit("more", {"data/none.csv": ""})
    assert action_of(project, "ml:train", "a").argv == ("echo", "--rows", "../data/none.csv")


def test_a_notebook_the_package_and_the_environment_may_lie_beside_the_project(tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "metadata": {}, "source": "import lib", "outputs": [], "execution_count": None}]
    notebook = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    text = """\
steps:
  n: {notebook: //shared/n.ipynb, outputs: {o: {type: file, path: o.ipynb}}}
  i: {run: python3 -m pkg, environment: {install: //pack}}
  e: {run: cat src/train.py, environment: {requirements: //env/r.txt}}
"""
    package = {"pack/pyproject.toml": "[project]\nname = 'pkg'\nversion = '1'\n", "pack/pkg/__main__.py": "print(1)\n"}
    locked = {"env/r.txt": ""}
    project = Project(tmp_path / "r", steps_of(text, **{"shared/n.ipynb": notebook}, **package, **locked))
    action = action_of(project, "ml:train", "n")
    assert action.argv == ("python3", "../.gitml/execute_notebook.py", "../shared/n.ipynb", "o.ipynb")
    assert [file.path for file in action.code] == [
        ".gitml/execute_notebook.py",
        *(f"shared/{n}" for n in ("beside.py", "lib.py", "n.ipynb")),
    ]
    assert action_of(project, "ml:train", "i").project == "ml"
    assert outcomes(project.run("ml:train", wanted=("i",))) == {"i": "executed"}
    described = action_of(project, "ml:train", "e")
    assert described.project == ""  # what describes it is no part of its sandbox


HOSTILE = {
    "//": "the whole repository",
    "//.": "the whole repository",
    "//../x": "a path that leaves the tree",
    "//shared/../../x": "a path that leaves the tree",
    "///x": "an absolute path",
    "////x": "an absolute path",
    "/x": "an absolute path",
    "//.git/config": "a path into .git",
    "//shared/.GIT": "a path into .git",
    "//shared\\x": "a backslash",
    "//ml": "a folder that holds the project ml/",
}
PLACES = {
    "code": "steps:\n  a: {run: 'true', code: [%s]}\n",
    "input of the pipeline": "inputs: {x: %s}\nsteps:\n  a: {run: 'cat ${{ inputs.x }}'}\n",
    "input": "steps:\n  a: {run: 'true', inputs: {x: %s}}\n",
    "base file": "extends: %s\nsteps:\n  a: {run: 'true'}\n",
    "config file": "params: {from: [%s.yaml]}\nsteps:\n  a: {run: 'true'}\n",
    "parameter": "params: {p: {default: %s}}\ninputs: {x: '${{ params.p }}'}\nsteps:\n  a: {run: 'cat ${{ inputs.x }}'}\n",
}


@pytest.mark.parametrize("path", HOSTILE)
def test_what_leaves_the_repository_is_refused_in_one_line(tmp_path: Path, path: str) -> None:
    project = Project(tmp_path / "r", FILES)
    for place, text in PLACES.items():
        if place == "config file" and path in ("//", "//.", "//ml", "//shared\\x", "//shared/.GIT"):
            continue
        project.repo.write(
            {"ml/pipelines/train.yaml": text % (f'"{path}"'.replace("\\", "\\\\") if place != "config file" else path)}
        )
        with pytest.raises(InputError) as refused:
            project.plan("ml:train")
        assert HOSTILE[path] in str(refused.value), place


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("{run: 'true', workdir: //shared}", "workdir is a path from the top of the repository"),
        ("{run: 'true', outputs: {o: {type: file, path: //x}}}", "output 'o' is a path from the top of the repository"),
        ("{run: 'true', inputs: {x: {from: src, path: //x}}}", "path of input 'x' is a path from the top"),
        ("{run: 'true', cache: {c: {path: //x}}}", "a path from the top of the repository"),
    ],
)
def test_where_a_step_writes_is_in_its_project(tmp_path: Path, step: str, said: str) -> None:
    project = Project(tmp_path / "r", steps_of(f"steps:\n  a: {step}\n"))
    with pytest.raises(InputError, match=said):
        project.plan("ml:train")


def test_a_value_of_two_points_is_no_way_out(tmp_path: Path) -> None:
    text = "params: {p: {default: ../shared/lib.py}}\nsteps:\n  a: {run: 'true', code: ['${{ params.p }}']}\n"
    project = Project(tmp_path / "r", steps_of(text))
    with pytest.raises(InputError, match="leaves the tree"):
        project.plan("ml:train")


def test_a_link_at_the_top_leads_within_the_repository_or_is_refused(tmp_path: Path) -> None:
    text = "steps:\n  a: {run: cat ../shared/to, code: [//shared/to]}\n  b: {run: cat ../shared/out, code: [//shared/out]}\n"
    project = Project(tmp_path / "r", steps_of(text))
    Path(project.repo.file("shared/to")).symlink_to("../ml/src/train.py")
    Path(project.repo.file("shared/out")).symlink_to("../../out")
    project.repo.commit("links")
    decisions = project.plan("ml:train").decisions
    assert "leads out of the tree" in decisions["b"].reason
    assert [file.path for file in action_of(project, "ml:train", "a").code] == ["ml/src/train.py", "shared/to"]


def test_a_pipeline_of_another_project_is_no_base_file(tmp_path: Path) -> None:
    other = {"pipelines/top.yaml": "steps:\n  t: {run: 'true'}\n"}
    project = Project(tmp_path / "r", steps_of("extends: //pipelines/top.yaml\nsteps:\n  a: {run: 'true'}\n", **other))
    with pytest.raises(InputError, match="directly in pipelines/"):
        project.plan("ml:train")


def test_a_mistake_in_a_file_at_the_top_is_shown_at_its_place(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", steps_of(TRAIN, **{"shared/base.yaml": "envv: {}\n"}))
    with pytest.raises(SpecError) as refused:
        project.plan("ml:train")
    mistake = refused.value.diagnostics[0]
    assert (mistake.path, mistake.line) == ("shared/base.yaml", 1)
    project.repo.commit(
        "x",
        {
            "shared/base.yaml": "extends: //ml/pipelines/base/b.yaml\n",
            "ml/pipelines/base/b.yaml": "extends: //shared/base.yaml\n",
        },
    )
    with pytest.raises(InputError, match=r"extend each other: \.\./shared/base\.yaml -> pipelines/base/b\.yaml"):
        project.plan("ml:train")


def test_a_repository_in_the_sandbox_is_that_of_the_whole(tmp_path: Path) -> None:
    text = (
        "steps:\n  a: {run: git -C .. status --porcelain -uno, shell: sh, repository: true, code: [//shared/lib.py]}\n"
    )
    project = Project(tmp_path / "r", steps_of(text))
    assert action_of(project, "ml:train", "a").repository is not None
    assert outcomes(project.run("ml:train")) == {"a": "executed"}


def test_what_a_program_missed_beside_its_project_is_named(tmp_path: Path) -> None:
    text = "steps:\n  a: {run: cat ../shared/lib.py}\n  b: {run: cat ../shared/lib.py ../data/rows.csv, code: [//shared/lib.py]}\n  c: {run: cat ../shared/conf/none, code: [//shared/lib.py]}\n"
    script = "open('../shared/conf/more.yaml')\n"
    text += "  d: {run: python3 src/s.py, code: [//shared/lib.py]}\n"
    project = Project(tmp_path / "r", steps_of(text, **{"ml/src/s.py": script}))
    run = project.run("ml:train", keep_going=True)
    errors = {step.name: f"{step.error} {hint_of(project, step.name)}" for step in run.steps}
    assert run.steps[1].outcome == "executed"
    assert "add //shared/lib.py to code: of step a" in errors["a"]
    assert "//shared/conf/more.yaml is in the commit but not declared" in errors["d"]


def hint_of(project: Project, step: str) -> str:
    """The hint of a step's failure."""
    found: list[Any] = [
        event for event in project.events if getattr(event, "step", "") == step and getattr(event, "hint", None)
    ]
    return str(found[-1].hint) if found else ""


def test_the_settings_of_the_top_count_at_the_top_alone(tmp_path: Path) -> None:
    one = "steps:\n  a: {run: cat src/x.py}\n"
    files = {
        "gitml.yaml": "defaults: {pipeline: same, environment: {host: [pip]}}\n",
        "pipelines/same.yaml": one,
        "src/x.py": "top",
        "ml/pipelines/same.yaml": one,
        "ml/pipelines/other.yaml": one,
        "ml/gitml.yaml": "defaults: {pipeline: same}\n",
        "ml/src/x.py": "ml",
        "web/pipelines/same.yaml": one,
        "web/src/x.py": "web",
    }
    project = Project(tmp_path / "r", files)
    kinds = {}
    for start in ("", "/ml", "/web"):
        project.start = project.repo.path + start
        with project.workspace() as ws:
            loaded = load(ws, None, None)
            spec = loaded.graph.steps["a"].settings.environment
            kinds[loaded.graph.pipeline] = spec.option("packages")
    assert kinds == {"same": ("pip",), "ml:same": None, "web:same": None}
