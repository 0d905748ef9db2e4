"""push and pull killed at any moment: what is there stays valid, and the same command goes on."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.kit.processes import kill
from tests.kit.projects.command_line import Project
from tests.kit.projects.team import Team

pytestmark = pytest.mark.slow


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def kill_after(person: Project, verb: str, after: float, *, all_of_it: bool) -> bool:
    """Starts ``gitml VERB`` and kills it after some seconds, with every git it started if `all_of_it`; whether it was alive."""
    process = person.start(verb)
    time.sleep(after)
    alive = kill(process, all_of_it=all_of_it)
    process.communicate()
    return alive


KILLS = 3  # of each kind


@pytest.mark.campaign
@pytest.mark.parametrize("all_of_it", [False, True], ids=["gitml", "gitml-and-git"])
@pytest.mark.parametrize("verb", ["push", "pull"])
def test_killed_at_any_moment_it_goes_on_and_nothing_is_lost(team: Team, verb: str, all_of_it: bool) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    ran: set[str] = set()
    dice = random.Random(verb)
    moment, killed = 1.0, 0
    for number in range(40):
        ran.add(ann.run("-S", f"who=ann{number}")["run"])
        ann.do("push")
        ran.add(bob.run("-S", f"who=bob{number}")["run"])
        if number % 2 == 0:  # how long it takes here and now, undisturbed, bounds the moments of the kills
            begun = time.monotonic()
            bob.do(verb)
            moment = time.monotonic() - begun
            continue
        killed += kill_after(bob, verb, moment * dice.uniform(0.2, 0.9), all_of_it=all_of_it)
        for repo in (bob.repo, team.hub):
            repo.git("fsck", "--strict", "--no-dangling")
        assert bob.do("log", "--json").json
        if killed == KILLS:
            break
    assert killed == KILLS
    bob.do(verb)
    assert team.runs_of(bob) == ran
    bob.do("push")
    ann.do("pull")
    assert team.runs_of(ann) == ran
    assert bob.do("fsck").code == 0
