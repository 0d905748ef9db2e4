"""A remote in a folder after a power cut: a push mends what it broke, and says "sent" only of what the folder has durably."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.kit.projects.team import Team


@pytest.fixture
def team(tmp_path: Path) -> Team:
    made = Team(tmp_path)
    ada = made.person("ada")
    ada.do("run", "-q")
    ada.do("push", "-q")
    return made


def test_what_is_sent_to_a_folder_is_kept_as_packs_and_none_of_it_as_loose_objects(team: Team) -> None:
    ada = team.people["ada"]
    loose = set(Path(team.hub.path).glob("objects/??/*"))
    ada.do("run", "-q", "-S", "who=you")
    ada.do("push", "-q")
    assert set(Path(team.hub.path).glob("objects/??/*")) == loose


@pytest.mark.parametrize("content", [b"", b"1" * 40 + b"\n"], ids=["empty", "names nothing"])
def test_a_ref_of_the_remote_that_a_cut_broke_is_sent_anew(team: Team, content: bytes) -> None:
    ada = team.people["ada"]
    (Path(team.hub.path) / "refs/gitml/runs").write_bytes(content)
    ada.do("run", "-q", "-S", "who=you")
    assert "the remote's refs/gitml/runs was broken" in ada.do("push").err
    bob = team.person("bob")
    bob.do("fetch")
    assert team.runs_of(bob) == team.runs_of(ada)


def test_objects_of_the_remote_that_a_cut_left_empty_are_sent_again(team: Team) -> None:
    ada = team.people["ada"]
    hub = Path(team.hub.path)
    ada.do("run", "-q", "-S", "who=you")
    team.hub.git("-C", str(ada.path), "push", "-q", "origin", "refs/gitml/runs:refs/gitml/runs")
    empty = list(hub.glob("objects/??/*"))
    tip = ada.repo.git("rev-parse", "refs/gitml/runs")
    doomed = hub / "objects" / tip[:2] / tip[2:]
    assert doomed in empty
    doomed.chmod(0o644)
    doomed.write_bytes(b"")
    ada.do("run", "-q", "-S", "who=them")
    ada.do("push")
    bob = team.person("bob")
    bob.do("fetch")
    assert team.runs_of(bob) == team.runs_of(ada)


def test_a_stale_lock_of_the_remote_is_removed(team: Team) -> None:
    ada = team.people["ada"]
    lock = Path(team.hub.path) / "refs/gitml/runs.lock"
    lock.touch()
    long_ago = time.time() - 3600
    os.utime(lock, (long_ago, long_ago))
    ada.do("run", "-q", "-S", "who=you")
    assert f"removed a lock file that a git which was ended left behind: {lock}" in ada.do("push").err
    assert not lock.exists()


@pytest.mark.slow
def test_a_lock_of_the_remote_that_does_not_go_is_said_soon(team: Team) -> None:
    ada = team.people["ada"]
    lock = Path(team.hub.path) / "refs/gitml/runs.lock"
    lock.touch()
    ada.do("run", "-q", "-S", "who=you")
    assert f"its lock file {lock} does not go" in ada.do("push", code=4).err
    lock.unlink()
    ada.do("push")
