"""push and pull killed at any moment: what is there stays valid, and the same command goes on."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.kit.commandline import Project
from tests.kit.repository import Repository, environment
from tests.kit.team import Team

pytestmark = pytest.mark.slow


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def below(pid: int) -> list[int]:
    """All processes that descend from `pid`."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path(f"/proc/{name}/stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(name))
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def kill(person: Project, verb: str, after: float, *, all_of_it: bool) -> bool:
    """Starts ``gitml VERB`` and kills it after some seconds, with every git it started if `all_of_it`; whether it was alive."""
    process = person.start(verb)
    time.sleep(after)
    alive = process.poll() is None
    if alive:
        os.kill(process.pid, signal.SIGSTOP)  # so that what it started can't become orphans meanwhile
        for pid in below(process.pid) if all_of_it else []:
            with contextlib.suppress(ProcessLookupError):  # one ends by itself when another was killed
                os.kill(pid, signal.SIGKILL)
        process.kill()
    process.communicate()
    return alive


def checked(repo: Repository) -> None:
    """That Git finds nothing wrong. What a killed gitml started may be at work still: a look at objects and refs in between fails."""
    for tries in range(5):
        done = subprocess.run(
            ["git", "fsck", "--strict", "--no-dangling"],
            cwd=repo.path,
            env=environment(),
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            return
        time.sleep(0.2 * (1 + tries))
    raise AssertionError(f"{repo.path}: {(done.stdout + done.stderr).decode()}")


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
        killed += kill(bob, verb, moment * dice.uniform(0.2, 0.9), all_of_it=all_of_it)
        for repo in (bob.repo, team.hub):
            checked(repo)
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
