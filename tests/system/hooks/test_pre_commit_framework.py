"""The pre-commit framework itself: with the hooks that this repository provides for it, and beside gitml's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.projects.project_with_hooks import ProjectWithHooks
from tests.kit.projects.repository import Repository

ROOT = Path(__file__).parents[3]
BROKEN = {"pipelines/words.yaml": "stepss: {}\n"}
REFUSED = "pipelines/words.yaml:1:1: unknown key 'stepss'"
ALONE = """\
repos:
  - repo: local
    hooks: [{id: own, name: own, entry: echo of the framework, language: system, verbose: true, always_run: true, pass_filenames: false}]
"""
STAGES = ("pre-commit", "pre-push", "post-checkout", "post-merge")


@pytest.fixture
def framed(project: ProjectWithHooks, tmp_path: Path) -> ProjectWithHooks:
    """A project with `gitml` on PATH and a framework that keeps its own things in a folder of the test."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gitml").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gitml "$@"\n')
    (programs / "gitml").chmod(0o755)
    project.env |= {"PATH": f"{programs}:{project.env['PATH']}", "PRE_COMMIT_HOME": str(tmp_path / "framework")}
    return project


def framework(project: ProjectWithHooks, *args: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", *args], cwd=project.path, env=project.env, capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def provided(tmp_path: Path) -> Repository:
    """A repository with nothing but what the framework reads of this one."""
    repository = Repository(tmp_path / "provided")
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", repository.path)
    repository.commit("hooks")
    repository.git("tag", "v1")
    return repository


@pytest.mark.slow
def test_the_framework_runs_the_hooks_that_this_repository_provides(framed: ProjectWithHooks, tmp_path: Path) -> None:
    place = provided(tmp_path).path
    ids = ["gitml", "gitml-pre-push", "gitml-post-checkout", "gitml-post-merge"]
    config = f"repos:\n  - repo: {place}\n    rev: v1\n    hooks: [{', '.join(f'{{id: {id}}}' for id in ids)}]\n"
    framed.stage({".pre-commit-config.yaml": config, "gitml.yaml": "hooks: {gate: true, send: []}\n"})
    framed.git("commit", "-q", "-m", "the framework")
    framework(framed, "install", *[word for stage in STAGES for word in ("--hook-type", stage)])
    framed.stage(BROKEN)
    framed.repo.write({"pipelines/words.yaml": "steps: {a: {run: 'true'}}\n"})  # not staged: the framework puts it away
    assert REFUSED in framed.git("commit", "-m", "x", code=1).err
    framed.git("reset", "-q", "--hard")
    framed.stage({"src/count.sh": 'printf \'{"letters": 0}\' > "$3"\n'})
    framed.git("commit", "-q", "-m", "never ran")
    framed.repo.git("init", "-q", "--bare", "../remote.git")
    pushed = framed.git("push", "../remote.git", "main", code=1)
    assert "has not run: words, step count" in pushed.out + pushed.err
    assert "gitml: words 1 cached, 1 to run" in framed.git("checkout", "-q", "--detach", "main~0").err + _seen(framed)
    framed.run()
    framed.git("push", "-q", "../remote.git", "main")


def _seen(framed: ProjectWithHooks) -> str:
    framed.git("checkout", "-q", "HEAD~1")
    done = framed.git("checkout", "main")
    return done.out + done.err


@pytest.mark.slow
def test_run_on_all_files_checks_every_pipeline(framed: ProjectWithHooks, tmp_path: Path) -> None:
    place = provided(tmp_path).path
    framed.stage(
        {".pre-commit-config.yaml": f"repos: [{{repo: {place}, rev: v1, hooks: [{{id: gitml}}]}}]\n", **BROKEN}
    )
    framed.git("commit", "-q", "-m", "wrong already")
    assert REFUSED in framework(framed, "run", "--all-files", code=1)


@pytest.mark.slow
def test_gitmls_hooks_run_the_frameworks_first(framed: ProjectWithHooks) -> None:
    framed.stage({".pre-commit-config.yaml": ALONE})
    framed.git("commit", "-q", "-m", "the framework")
    framework(framed, "install")
    framed.do("hooks", "install")
    framed.stage(BROKEN)
    said = framed.git("commit", "-m", "x", code=1).err
    assert said.index("of the framework") < said.index(REFUSED)
    framework(framed, "install")  # which puts gitml's script aside, to be run by its own, that is still behind gitml's
    assert "called by the script that is there" in framed.do("hooks").out
    said = framed.git("commit", "-m", "x", code=1).err
    assert said.count("of the framework") == 1
    assert REFUSED in said


@pytest.mark.slow
def test_the_framework_installed_later_runs_gitmls_part_too_and_uninstalling_either_leaves_the_other(
    framed: ProjectWithHooks,
) -> None:
    framed.stage({".pre-commit-config.yaml": ALONE})
    framed.git("commit", "-q", "-m", "the framework")
    framed.do("hooks", "install", "pre-commit")
    framework(framed, "install")
    framed.stage(BROKEN)
    said = framed.git("commit", "-m", "x", code=1).err
    assert "of the framework" in said
    assert REFUSED in said
    assert "called    pre-commit" in framed.do("hooks", "install", "pre-commit").out
    framed.do("hooks", "uninstall")
    assert REFUSED not in framed.git("commit", "-q", "-m", "x").err
    framed.do("hooks", "install", "pre-commit")
    assert "pre-commit     installed, after" in framed.do("hooks").out
