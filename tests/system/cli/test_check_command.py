"""`gitml check`: mistakes in files, all at once, and nothing else is done."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.system.conftest import PIPELINE, Project

BAD = "steps: {a: {run: 'true', timeout: soon}, b: {run: 'true', inpust: 3}}\n"
MODULE = "name: m\nrun: echo\ninputs: {a: fiel}\n"


def places(project: Project, *files: str, cwd: Path | None = None) -> list[str]:
    """`path:line:column` of each mistake."""
    answer = project.gitml("check", *files, code=2, cwd=cwd)
    return [line.split(": ")[0] for line in answer.out.splitlines()]


def test_every_mistake_of_all_files_of_all_projects_is_reported_at_once(project: Project) -> None:
    assert project.gitml("check").err == "no mistakes in 1 file\n"
    project.write("pipelines/bad.yaml", BAD)
    project.write("pipelines/words.yaml", PIPELINE.replace("params.rate", "params.raet"))
    project.write("ml/gitml.yaml", "defualts: {}\n")
    project.write("ml/pipelines/far.yaml", "inputs: {x: none.csv}\nsteps:\n  a: {run: 'cat ${{ inputs.x }}'}\n")
    project.write("modules/m/module.yaml", MODULE)
    bad = ["pipelines/bad.yaml:1:35", "pipelines/bad.yaml:1:59"]
    every = ["ml/gitml.yaml:1:1", "ml/pipelines/far.yaml:1:13", *bad, "pipelines/words.yaml:11:61"]
    assert places(project) == every
    assert places(project, cwd=project.root / "ml") == every
    below = ("pipelines/far.yaml", "../pipelines/bad.yaml", "../modules/m/module.yaml", "../pipelines/bad.yaml")
    named = project.gitml("check", "--json", *below, code=2, cwd=project.root / "ml")
    assert [f"{m['path']}:{m['line']}" for m in named.data["mistakes"]] == [
        "ml/gitml.yaml:1",  # what the pipeline there means depends on it
        "ml/pipelines/far.yaml:1",
        "modules/m/module.yaml:3",
        "pipelines/bad.yaml:1",
        "pipelines/bad.yaml:1",
    ]
    assert named.data["files"] == ["ml/pipelines/far.yaml", "pipelines/bad.yaml", "modules/m/module.yaml"]
    assert named.err == ""
    quiet = project.gitml("check", "-q", "pipelines/bad.yaml", code=2)
    assert quiet.err == ""
    assert quiet.out.count("\n") == 2


def test_what_can_not_be_checked_is_a_mistake_of_that_file_and_the_others_are_checked(
    project: Project, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text(BAD)
    project.write(".gitignore", "own.yaml\n")
    project.write("own.yaml", BAD)
    project.write("\x1b[31m.yaml", "steps: {}\n")
    os.symlink("words.yaml", project.root / "pipelines/link.yaml")
    (project.root / "data/raw.txt").unlink()
    files = ("own.yaml", "pipelines/link.yaml", "data", "data/none.yaml", "src/train.sh", str(outside), "\x1b[31m.yaml")
    answer = project.gitml("check", *files, "pipelines/words.yaml", code=2)
    assert "\x1b" not in answer.out
    messages = dict(line.split(":1:1: ") for line in answer.out.splitlines() if ":1:1: " in line)
    assert messages["own.yaml"] == "Git ignores it: fix .gitignore"
    assert messages["pipelines/link.yaml"].startswith("a link, where a file must be")
    assert messages["data/none.yaml"] == "no such file"
    assert messages["src/train.sh"] == "neither a pipeline (.yaml, .yml) nor gitml.yaml or module.yaml"
    assert messages[str(outside)] == "it lies outside of this repository"
    assert "pipelines/words.yaml:5:8: input 'raw' 'data/raw.txt' is not there: it is tracked, but deleted" in answer.out
    assert answer.err == "8 mistakes; 8 files checked\n"


def test_a_module_that_nobody_knows_is_a_mistake_where_it_is_used(project: Project) -> None:
    project.write("pipelines/uses.yaml", "steps:\n  a:\n    module: nix@^1\n")
    assert places(project, "pipelines/uses.yaml") == ["pipelines/uses.yaml:3:13"]


def test_a_check_plans_runs_and_writes_nothing(project: Project) -> None:
    project.write("pipelines/words.yaml", PIPELINE.replace("default: 2", "default: 3"))
    runs = project.git("rev-parse", "refs/gitml/runs")
    project.gitml("check")
    assert project.git("rev-parse", "refs/gitml/runs") == runs
    assert list((project.root / ".git/gitml/live").glob("*")) == []


def test_in_a_bare_repository_what_is_committed_is_checked(project: Project, tmp_path: Path) -> None:
    project.write("pipelines/bad.yaml", BAD)
    project.commit()
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(project.root), str(bare)], env=project.env, check=True)
    assert places(project, cwd=bare) == ["pipelines/bad.yaml:1:35", "pipelines/bad.yaml:1:59"]
    assert places(project, "pipelines/bad.yaml", cwd=bare) == ["pipelines/bad.yaml:1:35", "pipelines/bad.yaml:1:59"]
