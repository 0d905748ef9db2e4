"""Projects in subfolders: hooks, the gate and the lock look at those that have a `gitml.yaml` of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.projects.project_with_hooks import FILES, PIPELINE, ProjectWithHooks

BELOW = {f"team/ml/{path}": content for path, content in FILES.items() if path != "README.md"}
MODULE = "steps:\n  a: {module: ann/count@^1, params: {}}\n"


@pytest.fixture
def nested(tmp_path: Path) -> ProjectWithHooks:
    """A repository without a pipeline at its top, a project two folders deep, and a folder of another tool's pipelines."""
    files = {
        **BELOW,
        "team/ml/gitml.yaml": "defaults: {pipeline: words}\n",
        "ci/pipelines/build.yaml": "jobs: []\n",
        "gitml.yaml": "hooks: {gate: true, send: []}\n",
    }
    project = ProjectWithHooks(tmp_path / "r", files)
    project.do("hooks", "install")
    project.repo.git("init", "-q", "--bare", "../remote.git")
    project.repo.git("remote", "add", "origin", "../remote.git")
    return project


def test_a_commit_with_a_mistake_in_one_is_refused(nested: ProjectWithHooks) -> None:
    nested.stage({"team/ml/pipelines/words.yaml": PIPELINE.replace("params:", "paramss:")})
    assert "team/ml/pipelines/words.yaml:1:1: unknown key 'paramss'" in nested.git("commit", "-m", "x", code=1).err
    nested.stage({"team/ml/pipelines/words.yaml": PIPELINE.replace("data/raw.txt", "data/none.txt")})
    told = nested.git("commit", "-m", "x", code=1).err
    assert "input 'raw' 'data/none.txt' is not in the commit" in told
    assert told.count("gitml: team/ml/pipelines/words.yaml:") == 1


def test_a_file_that_is_removed_is_missed_and_one_of_the_same_path_at_the_top_is_not(nested: ProjectWithHooks) -> None:
    nested.stage({"data/raw.txt": "of nobody\n"})
    nested.git("commit", "-q", "-m", "x")
    nested.repo.git("rm", "-q", "data/raw.txt")
    nested.git("commit", "-q", "-m", "x")
    nested.repo.git("rm", "-q", "team/ml/data/raw.txt")
    assert "'data/raw.txt' is not in the commit" in nested.git("commit", "-m", "x", code=1).err


def test_a_file_at_the_top_that_one_names_is_missed_too(nested: ProjectWithHooks) -> None:
    text = PIPELINE.replace("data/raw.txt", "//shared/raw.txt").replace(
        "outputs: {text: file}", "outputs: {text: file}\n    code: [//shared/s.sh]"
    )
    nested.stage({"shared/s.sh": "", "shared/raw.txt": "x", "team/ml/pipelines/words.yaml": text})
    nested.git("commit", "-q", "-m", "x")
    nested.repo.git("rm", "-q", "--cached", "shared/s.sh")
    assert "code 'shared/s.sh' matches no file of the commit" in nested.git("commit", "-m", "x", code=1).err
    nested.repo.git("add", "shared/s.sh")
    nested.repo.git("rm", "-q", "--cached", "shared/raw.txt")
    told = nested.git("commit", "-m", "x", code=1).err
    assert "team/ml/pipelines/words.yaml:" in told
    assert "input 'raw' '//shared/raw.txt' is not in the commit: git add it" in told


def test_a_folder_of_pipelines_without_a_config_is_another_tools(nested: ProjectWithHooks) -> None:
    nested.stage({"ci/pipelines/build.yaml": "jobs: [1]\n"})
    nested.git("commit", "-q", "-m", "x")


def test_the_gate_asks_for_a_run_and_names_the_command(nested: ProjectWithHooks) -> None:
    told = nested.git("push", "-q", "origin", "main", code=1).err
    oid = nested.repo.git("rev-parse", "HEAD")
    assert f"gitml run team/ml:words --at {oid[:12]}" in told
    nested.do("run", "-q", "team/ml:words", "--at", oid[:12])
    nested.git("push", "-q", "origin", "main")


def test_the_lock_names_the_modules_of_all(nested: ProjectWithHooks) -> None:
    nested.repo.write({"tried/notes.txt": "an untracked folder, which git names as a whole", "tried/a/b": "x"})
    nested.repo.write({"team/ml/pipelines/other.yaml": MODULE})
    assert "ann/count" in nested.do("lock", code=2).err
