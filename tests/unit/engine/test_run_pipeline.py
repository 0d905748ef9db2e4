"""Runs of odd but legal projects, from the file to the record."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gitml.core.records.record import encode_run
from gitml.engine.planning.load import load
from gitml.errors import GitmlError, InputError
from gitml.git.objects.source import CommitSource
from gitml.records.runs import read_run
from tests.kit.projects.project import Project, outcomes, reasons


def test_names_of_files_that_are_no_utf_8_run_are_recorded_and_reused(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"README.md": ""})
    os.makedirs(os.path.join(project.repo.path, "src"))
    with open(os.fsencode(project.repo.path) + b"/src/caf\xe9.txt", "wb") as file:
        file.write(b"coffee\n")
    text = "inputs: {d: src}\nsteps:\n  a: {shell: sh, run: 'cat ${{ inputs.d }}/* src/* > ${{ outputs.o }}', outputs: {o: file}}\n"
    text += "  b: {shell: sh, run: 'cat src/* > ${{ outputs.o }}', outputs: {o: file}, code: ['src/*.txt']}\n"
    project.repo.commit("odd", {"pipelines/p.yaml": text})
    project.repo.git("branch", "-m", "caf\udce9")
    run = project.run()
    assert (run.status, run.branch) == ("succeeded", "caf\udce9")
    assert project.output(run.steps[1]) == b"coffee\n"
    with project.workspace() as ws:
        assert encode_run(read_run(ws.index, ws.objects, run.id)) == encode_run(run)
        ws.rebuild_index()
    assert set(outcomes(project.run()).values()) == {"reused"}


def test_inputs_that_lie_in_one_another_or_are_the_same_are_all_there(tmp_path: Path) -> None:
    text = """\
inputs: {all: data, one: data/a.txt, same: data/a.txt, deep: data/sub}
steps:
  a:
    shell: sh
    run: cat ${{ inputs.one }} ${{ inputs.same }} ${{ inputs.all }}/b.txt ${{ inputs.deep }}/c.txt > ${{ outputs.o }}
    outputs: {o: file}
  b: {shell: sh, run: "cat data/a.txt ${{ inputs.all }}/b.txt > ${{ outputs.o }}", outputs: {o: file}, code: [data/a.txt]}
  c: {shell: sh, run: "cat data/b.txt ${{ inputs.one }} > ${{ outputs.o }}", outputs: {o: file}, code: [data]}
"""
    project = Project(
        tmp_path / "r", {"data/a.txt": "a", "data/b.txt": "b", "data/sub/c.txt": "c", "pipelines/p.yaml": text}
    )
    run = project.run()
    assert [step.error for step in run.steps] == [None] * 3
    assert [project.output(step) for step in run.steps] == [b"aabc", b"ab", b"ba"]


@pytest.mark.parametrize(
    "step",
    [
        'env: {A: "x\\0y"}, run: "true"',
        'matrix: {m: ["x\\0y"]}, run: "true"',
        'matrix: {m: ["x\\0y"]}, run: "echo ${{ matrix.m }}"',
        'code: ["x\\0y"], run: "true"',
        'environment: "x\\0y", run: "true"',
        'shell: sh, run: "true\\0"',
        'matrix: {m: ["\\0"]}, shell: sh, run: "echo ${{ matrix.m }}"',
        'env: {A: "${{ matrix.m }}"}, matrix: {m: ["\\0"]}, run: "true"',
    ],
)
def test_a_nul_character_anywhere_is_an_error_that_says_where_never_a_traceback(tmp_path: Path, step: str) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": f"steps:\n  a: {{{step}}}\n"})
    with pytest.raises(GitmlError) as caught:
        project.run()
    assert caught.value.where


def test_a_blocked_step_refuses_the_run_before_anything_ran_and_names_all(tmp_path: Path) -> None:
    text = "inputs: {i: gone.csv}\nsteps:\n  ok: {run: 'true'}\n  a: {run: 'cat ${{ inputs.i }}'}\n  b: {run: 'ls ${{ inputs.i }}'}\n"
    project = Project(tmp_path / "r", {"pipelines/p.yaml": text})
    with pytest.raises(
        InputError, match=r"step 'a' can't run: input 'gone.csv' is not in the commit \(also blocked: b\)"
    ):
        project.run()
    assert project.objects() == []


def test_a_dirty_run_is_planned_and_recorded_from_the_same_snapshot(tmp_path: Path) -> None:
    text = "inputs: {i: in.txt}\nsteps:\n  a: {run: 'cp ${{ inputs.i }} ${{ outputs.o }}', outputs: {o: file}}\n"
    project = Project(tmp_path / "r", {"in.txt": "one", "pipelines/p.yaml": text})
    clean = project.run()
    project.repo.write({"in.txt": "two"})
    dirty = project.run()
    assert (dirty.dirty, dirty.base, reasons(dirty)) == (True, clean.commit, {"a": "input i changed"})
    assert project.repo.git("show", f"{dirty.commit}:in.txt") == "two"
    assert (
        project.repo.git("status", "--porcelain") == "M in.txt"
        or project.repo.git("status", "--porcelain") == " M in.txt"
    )
    project.repo.commit("now committed")
    committed = project.run()
    assert (committed.dirty, outcomes(committed)) == (False, {"a": "reused"})


def test_a_module_beside_the_script_is_found_by_a_package_of_it_in_a_real_run(tmp_path: Path) -> None:
    files = {
        "src/train.py": "import sys, models.net\nopen(sys.argv[1], 'w').write(models.net.NAME)\n",
        "src/models/__init__.py": "",
        "src/models/net.py": "from models.layers import NAME\nimport common\n",
        "src/models/layers.py": "NAME = 'deep'\n",
        "src/common.py": "",
        "pipelines/p.yaml": "steps:\n  a: {run: 'python3 src/train.py ${{ outputs.o }}', outputs: {o: file}}\n",
    }
    project = Project(tmp_path / "r", files)
    run = project.run()
    assert run.steps[0].error is None
    assert project.output(run.steps[0]) == b"deep"


def test_a_value_reaches_a_real_step_whole_through_a_here_document(tmp_path: Path) -> None:
    text = 'params: {p: x}\nsteps:\n  a:\n    shell: bash\n    run: |\n      cat > ${{ outputs.o }} <<EOF\n      [${{ params.p }}] "$(printf %s ${{ params.p }})"\n      EOF\n    outputs: {o: file}\n'
    project = Project(tmp_path / "r", {"pipelines/p.yaml": text})
    value = 'it\'s $(touch /tmp/never) `id` "two  words"'
    run = project.run(given=[("p", value)])
    assert project.output(run.steps[0]).decode() == f'[{value}] "{value}"\n'


def test_git_itself_finds_nothing_wrong_after_runs(tmp_path: Path) -> None:
    project = Project(
        tmp_path / "r", {"pipelines/p.yaml": "steps:\n  a: {run: 'touch ${{ outputs.o }}', outputs: {o: file}}\n"}
    )
    project.run()
    project.run(force=True)
    done = subprocess.run(
        ["git", "fsck", "--strict", "--full"], cwd=project.repo.path, capture_output=True, env=project.environ
    )
    assert done.returncode == 0, done.stderr
    project.repo.git("gc", "--prune=now", "-q")
    assert outcomes(project.run()) == {"a": "reused"}


def test_a_name_that_is_a_tag_and_a_branch_is_the_tag_and_that_is_told(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": "steps:\n  a: {run: 'true'}\n"})
    project.repo.git("tag", "one")
    tagged = project.repo.git("rev-parse", "HEAD").strip()
    project.repo.commit("more", {"x": ""})
    project.repo.git("branch", "one")
    with project.workspace() as ws:
        loaded = load(ws, "p", "one")
        assert isinstance(loaded.source, CommitSource)
        assert loaded.source.commit == tagged
        assert loaded.warnings == ("'one' is a tag and a branch: the tag is taken, as by Git; the branch is heads/one",)
        for rev in ("heads/one", "HEAD", "HEAD~1", tagged[:10], "main"):
            assert load(ws, "p", rev).warnings == ()
