from __future__ import annotations

import os
import subprocess

import pytest

from gitml.errors import InputError, TrustError
from gitml.git.command import git
from gitml.git.repository import discover
from tests.kit.projects.repository import Repository, isolate


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    isolate(monkeypatch)


@pytest.fixture
def no_process(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f"started {args}")

    return lambda: monkeypatch.setattr(subprocess, "Popen", refuse)


def test_a_subfolder_finds_its_repository_without_a_process(tmp_path, no_process):
    repo = Repository(tmp_path / "r")
    repo.write({"deep/down/file": ""})
    no_process()
    found = discover(repo.file("deep/down"), {})
    assert found == (repo.file(".git"), repo.file(".git"), repo.path, "sha1", False, False, "", ())


def test_a_linked_worktree_shares_the_common_folder_without_a_process(tmp_path, no_process):
    repo = Repository(tmp_path / "r")
    repo.commit("one", {"a": "1"})
    repo.git("worktree", "add", "-q", str(tmp_path / "w"))
    no_process()
    found = discover(str(tmp_path / "w"), {})
    assert found.git_dir == repo.file(".git/worktrees/w")
    assert found.common_dir == repo.file(".git")
    assert found.worktree == str(tmp_path / "w")


def test_a_sha256_repository_says_so(tmp_path):
    repo = Repository(tmp_path / "r", object_format="sha256")
    assert discover(repo.path, {}).object_format == "sha256"


def test_a_bare_repository_has_no_worktree(tmp_path):
    repo = Repository(tmp_path / "r.git", bare=True)
    found = discover(repo.path, {})
    assert (found.bare, found.worktree, found.git_dir) == (True, None, repo.path)


def test_a_submodule_is_a_repository_of_its_own(tmp_path):
    inner = Repository(tmp_path / "inner")
    inner.commit("one", {"a": "1"})
    outer = Repository(tmp_path / "outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", inner.path, "sub")
    found = discover(outer.file("sub"), {})
    assert found.worktree == outer.file("sub")
    assert found.git_dir == outer.file(".git/modules/sub")
    assert git(found, "rev-parse", "--show-toplevel").decode().strip() == outer.file("sub")


def test_outside_any_repository_the_hint_is_git_init(tmp_path):
    with pytest.raises(InputError) as caught:
        discover(str(tmp_path), {})
    assert caught.value.hint == "git init"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        discover(str(tmp_path / "none"), {})


def test_git_dir_in_the_environment_wins(tmp_path):
    repo = Repository(tmp_path / "r")
    repo.commit("one", {"a": "1"})
    (tmp_path / "work").mkdir()
    environ = {"PATH": os.environ["PATH"], "GIT_DIR": repo.file(".git"), "GIT_WORK_TREE": str(tmp_path / "work")}
    found = discover(str(tmp_path / "work"), environ)
    assert (found.git_dir, found.worktree, found.explicit) == (repo.file(".git"), str(tmp_path / "work"), True)
    assert git(found, "status", "--porcelain") == b" D a\n"


def test_ceiling_directories_hide_a_repository(tmp_path):
    repo = Repository(tmp_path / "r")
    repo.write({"sandbox/in/file": ""})
    environ = {**os.environ, "GIT_CEILING_DIRECTORIES": repo.file("sandbox")}
    with pytest.raises(InputError) as caught:
        discover(repo.file("sandbox/in"), environ)
    assert caught.value.hint == "git init"


def test_core_worktree_in_the_configuration_is_honoured(tmp_path):
    repo = Repository(tmp_path / "r")
    (tmp_path / "elsewhere").mkdir()
    repo.git("config", "core.worktree", str(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match="not inside the work tree"):
        discover(repo.path, {"PATH": os.environ["PATH"]})


@pytest.mark.root
def test_a_repository_of_somebody_else_is_refused_as_git_refuses_it(tmp_path):
    repo = Repository(tmp_path / "r")
    os.chown(repo.path, 12345, 12345)
    os.chown(repo.file(".git"), 12345, 12345)
    with pytest.raises(TrustError) as caught:
        git(discover(repo.path, {}), "rev-parse", "HEAD")
    assert "safe.directory" in caught.value.hint
