"""What commits and the index name is found to be missing, whichever object it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitml.git.command import Location, clean_environment
from gitml.git.integrity import object_check
from gitml.git.integrity.object_check import is_connected
from gitml.git.repository import discover
from tests.kit.projects.repository import Repository


@pytest.fixture(params=["sha1", "sha256"])
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    """Files in folders, a merge, a removal, a submodule, a file that is only in the index; no object of it is in a pack."""
    repo = Repository(tmp_path / "r", object_format=request.param)
    repo.git("config", "gc.auto", "0")
    repo.commit("one", {"a": "1", "d/e/f": "2", "d/g": "3", ":odd name": "4"})
    repo.git("checkout", "-qb", "side")
    repo.commit("two", {"d/e/f": "5", "side/only": "6"})
    repo.git("checkout", "-q", "-")
    repo.commit("three", {"d/g": "7", "h": "8"})
    repo.git("merge", "-q", "--no-edit", "side")
    repo.git("rm", "-q", "a")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * len(repo.git('rev-parse', 'HEAD').strip())},sub")
    repo.git("commit", "-qm", "four")
    repo.git("commit-graph", "write", "--reachable")
    repo.write({"staged/new": "9"})
    repo.git("add", "staged/new")
    repo.git("write-tree")  # as `git status` after a commit does: the index names trees too
    return repo


def location_of(repo: Repository) -> Location:
    return discover(repo.path, clean_environment(os.environ))


def test_each_object_that_is_missing_is_noticed(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    location, head = location_of(repo), repo.git("rev-parse", "HEAD").strip()
    needed = set(repo.git("rev-list", "--objects", "--no-object-names", "--indexed-objects", "HEAD").split())
    every = set(repo.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split())
    assert len(needed) > 20
    monkeypatch.setattr(object_check, "_PAGE", 2)
    monkeypatch.setattr(object_check, "_ASKED", 3)
    assert is_connected(location, [head])
    for oid in sorted(every):
        path = Path(repo.file(f".git/objects/{oid[:2]}/{oid[2:]}"))
        aside = path.rename(repo.file("aside"))
        assert is_connected(location, [head]) == (oid not in needed), oid
        aside.rename(path)


def test_a_tip_that_is_no_commit_or_not_here_and_a_partial_clone_are_left_to_git(repo: Repository) -> None:
    location, head = location_of(repo), repo.git("rev-parse", "HEAD").strip()
    assert not is_connected(location, [head, repo.git("rev-parse", "HEAD^{tree}").strip()])
    assert not is_connected(location, [head, head.translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))])
    assert is_connected(location, [])
    Path(repo.file(".git/objects/pack/pack-1.promisor")).write_text("")
    assert not is_connected(location, [head])
