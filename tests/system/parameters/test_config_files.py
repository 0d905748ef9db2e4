"""Config files of a project: parameters by key, found by programs at their own place with the values of the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kit.projects.command_line import Project

PIPELINE = "pipelines/p.yaml"
PARAMS = """\
# how it learns
train:
  lr: 1e-3   # small
  epochs: 3
  layers: [64, 32]
data: {seed: 7, split: 0.2}
models: [svm, forest]
"""
SPEC = """\
params:
  from: params.yaml
  train.lr: {min: 0, max: 1, help: learning rate}
  extra: 1
steps:
  prepare:
    run: cp params.yaml ${{ outputs.o }}
    params: [data]
    outputs: {o: file}
  train:
    run: cp params.yaml ${{ outputs.o }}
    params: [train.lr, train.layers]
    outputs: {o: file}
  say:
    shell: bash
    run: |
      echo ${{ params.train.lr }} ${{ params.models[*] }} ${{ params.models[1] }} ${{ params.data }} > ${{ outputs.o }}
      env | sort | grep GITML_PARAM >> ${{ outputs.o }}
    outputs: {o: file}
"""


def make(path: Path, spec: str = SPEC, **files: str) -> Project:
    return Project(
        path / "p", {PIPELINE: spec, "params.yaml": PARAMS, **{k.replace("__", "/"): v for k, v in files.items()}}
    )


def ran(project: Project, *args: str) -> set[str]:
    return {name for name, outcome in project.outcomes(*args).items() if outcome == "executed"}


def test_each_key_counts_for_the_steps_that_use_it(tmp_path: Path) -> None:
    project = make(tmp_path)
    first = project.run()
    assert project.content(first, "prepare", "o") == b"data: {seed: 7, split: 0.2}\n"
    assert project.content(first, "train", "o") == b"train:\n  lr: 1e-3   # small\n  layers: [64, 32]\n"
    said = project.content(first, "say", "o").decode().splitlines()
    assert said[0] == '0.001 svm forest forest {"seed": 7, "split": 0.2}'
    assert said[1:] == [
        "GITML_PARAM_DATA_SEED=7",
        "GITML_PARAM_DATA_SPLIT=0.2",
        'GITML_PARAM_MODELS=["svm", "forest"]',
        "GITML_PARAM_MODELS_1_=forest",
        "GITML_PARAM_TRAIN_LR=0.001",
    ]
    assert first["params"]["train.lr"] == 0.001
    assert "train.epochs" not in first["params"]  # no step uses it

    def edit(old: str, new: str) -> None:
        text = (project.path / "params.yaml").read_text()
        assert old in text
        (project.path / "params.yaml").write_text(text.replace(old, new))

    edit("models:", "unused: {a: 1}\nmodels:")
    edit("epochs: 3", "epochs: 4")
    edit("# how it learns", "# how it learns, since spring")
    assert ran(project) == set()
    edit("1e-3", "0.001")
    assert ran(project) == {"train"}  # which could see it
    edit("split: 0.2", "split: 0.3")
    assert "param data.split: 0.2 -> 0.3" in project.do("plan").out
    assert ran(project) == {"prepare", "say"}
    edit("lr: 0.001", "lr: 2")
    assert "params.yaml" in project.do("plan", code=2).err


def test_values_of_one_run(tmp_path: Path) -> None:
    project = make(tmp_path)
    project.run()
    run = project.run("-S", "train.lr=0.00001", "-S", "train.layers=[8]", "-S", "models=['a b', 1e-3]")
    assert project.content(run, "train", "o") == b"train:\n  lr: 1.0e-05   # small\n  layers: [8]\n"
    assert project.content(run, "say", "o").decode().startswith("1e-05 a b 0.001 0.001 ")
    assert {step["name"] for step in run["steps"] if step["outcome"] == "executed"} == {"train", "say"}
    assert ran(project) == set()
    assert project.do("reproduce", run["run"]).code == 0
    diff = project.do("params", "diff", "--json").json
    assert any("train.lr" in json.dumps(item) for item in (diff if isinstance(diff, list) else [diff]))
    for given, message in (
        ("train.lrr=1", "parameter 'train' has no key 'lrr' (did you mean 'lr'?)"),
        ("train.lr=-1", "parameter 'train.lr' must be at least 0, not -1"),
        ("train.lr=fast", "parameter 'train.lr' must be float, not 'fast'"),
        ("train=1", "parameter 'train' is a mapping in params.yaml"),
        ("train.layers=8", "parameter 'train.layers' must be list, not '8'"),
        ("extra=0.5", "parameter 'extra' must be int, not '0.5'"),
        ("models[7]=x", "parameter 'models' has 2 items, counted from 0"),
        ("other=1", "unknown parameter 'other'"),
    ):
        assert message in project.do("run", "-S", given, code=2).err
    assert (
        ran(project, "-S", "train.epochs=2.5") == set()
    )  # a file that says 3 does not say that no other number will do


def test_a_step_that_has_the_file_as_code_is_not_run_with_another_value(tmp_path: Path) -> None:
    spec = """\
params: {from: params.yaml}
steps:
  whole: {run: cat params.yaml}
  none: {run: "echo ${{ params.data.seed }}"}
"""
    project = make(tmp_path, spec)
    project.run()
    blocked = project.do("run", "-S", "data.seed=8", code=2).err
    assert "params.yaml is code or input of the step" in blocked
    assert "params: [data.seed]" in blocked
    assert project.outcomes("p", "none", "-S", "data.seed=8") == {"none": "executed"}


def test_programs_that_miss_the_file_or_a_key_are_told_what_to_declare(tmp_path: Path) -> None:
    spec = """\
params: {from: [params.yaml, conf/more.json]}
steps:
  a: {run: python3 src/read.py params.yaml data}
  b: {run: python3 src/read.py conf/more.json depth, params: [model.wide]}
"""
    code = "import json, re, sys\ntext = open(sys.argv[1]).read()\njson.loads(text)['model'][sys.argv[2]]\n"
    project = make(tmp_path, spec)
    project.repo.commit("code", {"src/read.py": code, "conf/more.json": '{"model": {"depth": 3, "wide": 1}}'})
    failed = project.do("run", "-k", code=1).err
    assert "conf/more.json has model.depth, which step b does not declare: add it to its params" in failed


def test_mistakes_are_named_with_their_places(tmp_path: Path) -> None:
    project = make(tmp_path)
    for spec, mistakes in (
        ("params: {from: parms.yaml}\nsteps: {a: {run: x}}\n", ["p.yaml:1:16: parms.yaml is not in the commit"]),
        (
            "params: {from: [params.yaml, ../x.yaml]}\nsteps: {a: {run: x}}\n",
            ["p.yaml:1:30: the config file '../x.yaml' is"],
        ),
        (
            "params: {from: [params.yaml, two.toml]}\nsteps: {a: {run: x}}\n",
            ["p.yaml:1:30: params.yaml and two.toml both have the key 'data'"],
        ),
        (
            "params: {from: params.yaml, train: 3, data.seed: {default: 1}, train.x: {}, data.split: {max: 0.1}}\n"
            "steps:\n  a: {run: 'x ${{ params.train.lx }} ${{ params.train.lr[0] }} ${{ params.data[*] }}', params: [moels]}\n",
            [
                "p.yaml:1:36: 'train' has its value in params.yaml",
                "p.yaml:1:51: 'data.seed' is a key of params.yaml, so it has no default here",
                "p.yaml:1:64: parameter 'train' has no key 'x'",
                "p.yaml:1:89: parameter 'data.split' must be at most 0.1, not 0.2 (params.yaml)",
                "p.yaml:3:15: parameter 'train' has no key 'lx'",
                "p.yaml:3:38: parameter 'train.lr' is a number, not a list",
                "p.yaml:3:64: params.data[*]: params.data is a mapping, not a list",
                "p.yaml:3:3: step 'a': unknown parameter 'moels' (did you mean 'models'?)",
            ],
        ),
        ("params: {from: bad.yaml}\nsteps: {a: {run: x}}\n", ["bad.yaml:2:1: duplicate key 'a', first on line 1"]),
        ("params: {from: bad.json}\nsteps: {a: {run: x}}\n", ["bad.json:1:2: not JSON"]),
        (
            "params: {from: null.yaml}\nsteps: {a: {run: 'x ${{ params.n }}'}}\n",
            ["p.yaml:2:21: params.n is null in null.yaml"],
        ),
    ):
        project.repo.write(
            {
                PIPELINE: spec,
                "two.toml": "[data]\nseed = 1\n",
                "bad.yaml": "a: 1\na: 2\n",
                "bad.json": "{'a': 1}",
                "null.yaml": "n:\n",
            }
        )
        said = project.do("plan", code=2).err
        for mistake in mistakes:
            assert mistake in said, said


def test_a_file_of_another_form_at_another_commit(tmp_path: Path) -> None:
    spec = "params: {from: params.yaml}\nsteps:\n  a: {run: 'echo ${{ params.models }}', params: ['*']}\n"
    project = make(tmp_path, spec)
    run = project.run()
    project.repo.commit("other", {"params.yaml": "models: {svm: 1}\n"})
    assert "param models.svm added: 1" in project.do("plan", "-v").out + project.do("explain", "a").out
    assert project.outcomes() == {"a": "executed"}
    assert project.outcomes("--at", "HEAD~1") == {"a": "reused"}
    assert project.do("rerun", run["run"], code=None).code in (0, 2)


def test_a_parameter_may_be_called_from(tmp_path: Path) -> None:
    spec = "params: {from: here}\nsteps:\n  a: {run: 'echo ${{ params.from }}'}\n"
    assert make(tmp_path, spec).run("-S", "from=there")["params"] == {"from": "there"}


def test_lists_and_mappings_of_the_pipeline_itself(tmp_path: Path) -> None:
    spec = """\
params:
  models: {type: list, default: [svm, forest], choices: [svm, forest, knn]}
  sizes: [1, 2]
  net: {type: mapping, default: {depth: 3, name: a}}
steps:
  a: {run: "cp ${{ params.net.name }} ${{ outputs.o }} ${{ params.models[*] }}", outputs: {o: file}}
  b: {run: "echo ${{ params.models[*] }} ${{ params.net }} ${{ params.sizes[0] }}"}
"""
    project = make(tmp_path, spec)
    run = project.run("p", "b", "-S", "models=[knn]", "-S", "net.depth=4")
    assert run["params"]["models"] == '["knn"]'
    assert '"depth": 4' in run["params"]["net"]
    assert '{"depth": 4, "name": "a"}' in project.do("logs", run["run"], "b").out
    assert "must be one of svm, forest, knn, not 'x'" in project.do("run", "-S", "models=[x]", code=2).err
    assert project.do("reproduce", run["run"]).code == 0


@pytest.mark.parametrize("folder", ["", "ml"])
def test_config_files_of_projects_in_subfolders(tmp_path: Path, folder: str) -> None:
    place = f"{folder}/" if folder else ""
    files = {f"{place}{PIPELINE}": SPEC, f"{place}params.yaml": PARAMS, f"{place}gitml.yaml": "{}\n"}
    project = Project(tmp_path / "p", files)
    run = project.run(cwd=project.path / folder)
    assert project.content(run, "prepare", "o") == b"data: {seed: 7, split: 0.2}\n"
    project.repo.write({f"{place}params.yaml": "a: [\n"})
    assert f"{place}params.yaml:2:1" in project.do("plan", cwd=project.path / folder, code=2).err


def test_a_change_of_a_base_file_is_a_change_of_the_pipelines_that_extend_it(project: Project) -> None:
    project.write(
        "conf/base.yaml", "params: {n: 1}\nsteps: {one: {run: 'echo ${{ params.n }}'}, two: {run: echo two}}\n"
    )
    project.write("pipelines/p.yaml", "extends: conf/base.yaml\nsteps: {two: null, three: {run: echo three}}\n")
    project.commit()
    first = project.run("p")
    assert {step["name"] for step in first["steps"]} == {"one", "three"}
    project.write("conf/base.yaml", (project.root / "conf/base.yaml").read_text().replace("n: 1", "n: 2"))
    again = project.run("p")
    assert {step["name"]: step["outcome"] for step in again["steps"]} == {"one": "executed", "three": "reused"}
    assert {step["outcome"] for step in project.run("p")["steps"]} == {"reused"}
    project.gitml("rerun", first["run"])

    # a mistake in it is one of each pipeline, and the hook finds it though no pipeline changed
    project.gitml("hooks", "install")
    project.write("conf/base.yaml", "params: {n: 1}\nsteps:\n  one: {run: 'echo ${{ params.m }}'}\n")
    assert "conf/base.yaml:3:20: unknown parameter 'm'" in project.gitml("check", code=2).out
    project.git("add", "-A")
    said = project.gitml("hooks", "run", "pre-commit", code=None)
    assert said.code != 0
    assert "conf/base.yaml:3:20" in said.out + said.err
    project.git("rm", "-q", "-f", "conf/base.yaml")
    assert "conf/base.yaml is not in the commit" in project.gitml("check", code=2).out
