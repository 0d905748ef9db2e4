from __future__ import annotations

import os

import pytest

from gitml.errors import BusyError, InputError, IntegrityError, MachineError, RemoteError, TrustError
from gitml.git.command import git, translate
from gitml.git.repository import discover
from tests.kit.projects.repository import Repository, isolate


@pytest.fixture
def repo(tmp_path, monkeypatch):
    isolate(monkeypatch)
    return Repository(tmp_path / "r")


def test_what_a_hook_leaves_in_the_environment_does_not_reach_git(repo, monkeypatch):
    repo.commit("one", {"a": "1"})
    location = discover(repo.path, {})
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent/index")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nonexistent/objects")
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    assert git(location, "status", "--porcelain") == b""


def test_hooks_do_not_run(repo):
    repo.commit("one", {"a": "1"})
    repo.write({".git/hooks/post-index-change": "#!/bin/sh\ntouch ran\n"})
    os.chmod(repo.file(".git/hooks/post-index-change"), 0o755)
    git(discover(repo.path, {}), "update-index", "--force-write-index")
    assert not os.path.exists(repo.file("ran"))


def test_no_git_on_the_path_is_said(repo, monkeypatch):
    location = discover(repo.path, {})
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MachineError, match="git is not on PATH"):
        git(location, "status")


def test_a_work_tree_that_went_away_is_named(repo):
    location = discover(repo.path, {})
    with pytest.raises(InputError, match="no such folder"):
        git(location._replace(worktree=repo.file("gone")), "status")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("fatal: detected dubious ownership in repository at '/r'", TrustError),
        ("fatal: not a git repository (or any of the parent directories): .git", InputError),
        ("error: unable to write file x: No space left on device", MachineError),
        ("fatal: could not fetch 1234 from promisor remote", RemoteError),
        ("fatal: Unable to create '/r/.git/index.lock': File exists.", BusyError),
        ("error: object file .git/objects/12/34 is empty\nfatal: loose object 1234 is corrupt", IntegrityError),
        ("fatal: something nobody thought of", MachineError),
        ("", MachineError),
    ],
)
def test_what_git_says_becomes_the_kind_of_error_it_is(said, kind):
    error = translate("/r", ("-c", "a=b", "status"), 128, said.encode())
    assert type(error) is kind
    assert error.message.startswith("git status: ")
    assert "\n" not in error.message
