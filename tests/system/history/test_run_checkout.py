"""`gitml run --checkout`: outputs where the pipeline says, in the work tree, and never over what the user did there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.conftest import PIPELINE, Project

MATRIX = """\
checkout: [fit.model, fit.curve, whole.tree]
steps:
  fit:
    run: sh src/fit.sh ${{ matrix.kind }} ${{ outputs.model }} ${{ outputs.curve }} ${{ outputs.other }}
    matrix: {kind: [svm, a/b]}
    outputs:
      model: {type: file, path: models/model.txt}
      curve: {type: file, path: "curves/${{ matrix.kind }}.txt"}
      other: {type: file, path: other.txt}
  whole:
    run: sh src/whole.sh ${{ outputs.tree }}
    outputs: {tree: {type: directory, path: tree}}
"""


@pytest.fixture
def models(project: Project) -> Path:
    return project.root / "models/model.txt"


def text(rate: int) -> str:
    return f"SOME WORDS\n{rate}\n"


def refused(project: Project, *words: str) -> str:
    return project.gitml("run", "-q", "--checkout", *words, code=2).err


def test_what_gitml_put_there_is_replaced_and_what_the_user_did_never(project: Project, models: Path) -> None:
    plan = project.gitml("run", "-n", "--checkout", "-S", "rate=3").out
    assert plan.splitlines()[-1] == "write       models/model.txt  train.model"
    assert not models.exists()
    first = project.gitml("run", "-q", "--checkout")
    assert first.out == "written    models/model.txt  13 B\n", "a reused step counts as well"
    assert models.read_text() == text(2)
    assert project.run("--checkout")["checkout"][0]["state"] == "unchanged"
    assert project.gitml("run", "-q", "--checkout", "-S", "rate=3").out.startswith("replaced   models/model.txt")
    assert models.read_text() == text(3)
    models.write_text("mine\n")
    planned = project.gitml("run", "-n", "--checkout", "-S", "rate=4", "--json").data
    assert planned["checkout"] == [
        {"step": "train", "port": "model", "path": "models/model.txt", "state": "in the way"}
    ]
    error = refused(project, "-S", "rate=4")
    assert error.startswith(
        "gitml: what you changed or made is in the way, and nothing was written (models/model.txt): "
    )
    assert models.read_text() == "mine\n"
    run = project.gitml("show", "latest", "--json").data
    assert (run["status"], run["params"]) == ("succeeded", {"rate": 4}), "the run itself is done and recorded"
    project.commit("mine, but committed")
    assert project.gitml("run", "-q", "--checkout", "-S", "rate=4").out.startswith("replaced   ")
    assert models.read_text() == text(4)
    assert project.gitml("run", "-q", "--checkout", "-S", "rate=5").out.startswith("replaced   "), "gitml put it there"
    models.write_text("mine again\n")
    assert "models/model.txt" in refused(project)
    project.git("update-index", "--assume-unchanged", "models/model.txt")
    assert "models/model.txt" in refused(project)
    project.git("update-index", "--no-assume-unchanged", "models/model.txt")
    project.git("add", "models/model.txt")
    assert "models/model.txt" in refused(project), "staged is not committed"


def test_an_ignored_file_that_gitml_did_not_make_is_left_alone(project: Project, models: Path) -> None:
    project.write(".gitignore", "models/\n")
    project.write("models/model.txt", "by hand\n")
    project.commit()
    assert "models/model.txt" in refused(project)
    models.unlink()
    project.gitml("run", "--checkout", "-q")
    assert project.gitml("run", "--checkout", "-q", "-S", "rate=3").out.startswith("replaced ")


def test_the_key_says_which_and_combinations_at_one_place_get_a_folder_each(project: Project) -> None:
    project.write("pipelines/many.yaml", MATRIX)
    project.write("src/fit.sh", 'mkdir -p $(dirname $3); for o in "$2" "$3" "$4"; do echo "$1" > "$o"; done\n')
    project.write("src/whole.sh", "mkdir -p $1/in; echo a > $1/a; echo b > $1/in/b\n")
    project.commit()
    made = project.run("many", "--checkout")["checkout"]
    assert sorted(Path(item["path"]).relative_to(project.root).as_posix() for item in made) == [
        "curves/a/b.txt", "curves/svm.txt", "models/a_b/model.txt", "models/svm/model.txt", "tree",
    ]  # fmt: skip
    assert not (project.root / "other.txt").exists()
    assert (project.root / "models/a_b/model.txt").read_text() == "a/b\n"
    project.write("src/whole.sh", "mkdir -p $1/in; echo c > $1/in/c\n")
    project.write("tree/in/mine", "")
    project.write("src/fit.sh", (project.root / "src/fit.sh").read_text().replace('echo "$1"', 'echo "$1" again'))
    assert "(tree)" in refused(project, "many"), "what was added to a directory is the user's"
    assert (project.root / "models/svm/model.txt").read_text() == "svm\n", "nothing half"
    (project.root / "tree/in/mine").unlink()
    alone = project.gitml("run", "many", "fit[svm]", "--checkout", "-q")
    assert alone.out.splitlines() == ["replaced   models/svm/model.txt  10 B", "replaced   curves/svm.txt  10 B"]
    project.gitml("run", "many", "--checkout", "-q")
    assert sorted(path.name for path in (project.root / "tree").rglob("*")) == ["c", "in"]
    for name in ("svm", "a_b"):
        (project.root / f"models/{name}/model.txt").unlink()
    again = project.gitml("checkout", "latest:fit.model").out
    assert [line.split()[1] for line in again.splitlines()] == ["models/svm/model.txt", "models/a_b/model.txt"]


def test_only_a_run_of_what_lies_there_is_put_there(project: Project, tmp_path: Path) -> None:
    old = project.git("rev-parse", "HEAD")
    project.write("src/train.sh", "exit 1\n")
    project.commit()
    assert refused(project, "--at", old).startswith(f"gitml: this runs commit {old[:12]}, and the work tree is at ")
    assert project.gitml("run", "-q", "--checkout", code=1).out == "", "a run that failed is not put there"
    assert not (project.root / "models").exists()
    assert "--detach" in refused(project, "--detach")
    project.write("pipelines/bare.yaml", "steps: {a: {run: 'true'}}\n")
    assert refused(project, "bare").startswith("gitml: no output of pipeline 'bare' has a path (--checkout)")
    project.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    answer = project.gitml("run", "--checkout", "--at", "HEAD", code=2, cwd=tmp_path / "bare.git")
    assert answer.err.startswith("gitml: a bare repository has no work tree (--checkout)")


def test_a_wrong_name_is_a_mistake_with_its_place(project: Project) -> None:
    names = "checkout: [train.modle, trian.model, prepare.clean, train, 3, train.model]\n"
    project.write("pipelines/words.yaml", names + PIPELINE)
    assert project.gitml("check", code=2).out.splitlines() == [
        "pipelines/words.yaml:1:12: checkout: step 'train' has no output 'modle' (did you mean 'model'?)",
        "pipelines/words.yaml:1:25: checkout: there is no step 'trian' (did you mean 'train'?)",
        "pipelines/words.yaml:1:38: checkout: output prepare.clean has no path: give it one",
        "pipelines/words.yaml:1:53: checkout names outputs as STEP.PORT, not 'train'",
        "pipelines/words.yaml:1:60: checkout names outputs as STEP.PORT, not '3'",
    ]
    module = "name: m\nversion: 1.0.0\noutputs: {o: file}\nrun: touch ${{ outputs.o }}\n"
    project.write("modules/m/module.yaml", module)
    project.commit()
    project.gitml("module", "publish", "modules/m")
    project.write("pipelines/words.yaml", "checkout: [a.x]\nsteps:\n  a: {module: m@^1}\n")
    assert (
        project.gitml("check", code=2).out
        == "pipelines/words.yaml:1:12: checkout: step 'a' has no output 'x' (there is 'o')\n"
    )
