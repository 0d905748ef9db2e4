"""Histories and what names their commits."""

from __future__ import annotations

from pathlib import Path

from gitml.git.repository import discover
from gitml.git.revisions import branches_of, history_of, names_of_commits
from tests.kit.projects.repository import Repository


def test_a_history_is_newest_first_and_leaves_merged_branches_out_unless_asked(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "r")
    first = repo.commit("first")
    repo.git("checkout", "-q", "-b", "side")
    side = repo.commit("side")
    repo.git("checkout", "-q", "main")
    main = repo.commit("main")
    dates = {"GIT_AUTHOR_DATE": "1700000900 +0000", "GIT_COMMITTER_DATE": "1700000900 +0000"}
    repo.git("merge", "-q", "--no-edit", "side", env=dates)
    tip = repo.git("rev-parse", "HEAD")
    location = discover(repo.path, {})
    assert history_of(location, tip) == [tip, main, first]
    assert set(history_of(location, tip, first_parent=False)) == {tip, main, side, first}


def test_branches_come_before_tags_and_annotated_tags_name_their_commit(tmp_path: Path) -> None:
    repo = Repository(tmp_path / "r")
    first = repo.commit("first")
    repo.git("tag", "-a", "-m", "it", "v1", env={"GIT_COMMITTER_DATE": "1700000000 +0000"})
    repo.git("update-ref", "refs/remotes/origin/main", first)
    repo.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    second = repo.commit("second")
    repo.git("branch", "b/c", first)
    location = discover(repo.path, {})
    assert names_of_commits(location) == {first: ["b/c", "v1", "origin/main"], second: ["main"]}
    assert branches_of(location) == ["main", "b/c", "origin/main"]


def test_a_repository_without_commits_has_no_names(tmp_path: Path) -> None:
    location = discover(Repository(tmp_path / "r").path, {})
    assert (names_of_commits(location), branches_of(location)) == ({}, [])
