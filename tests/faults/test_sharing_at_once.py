"""Many who push to one repository at once: everybody's records land, and everybody ends with one log."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitml.git.log.record_log import GitRecordLog
from gitml.git.objects.reader import Objects
from gitml.git.repository import discover
from tests.kit.projects.repository import Repository, environment
from tests.kit.record_files import record_files

pytestmark = pytest.mark.slow

_PUSHER = """
import os, sys
from gitml.core.records.record import Run
from gitml.core.config.project import Config
from gitml.engine.journal.recorder import record_run
from gitml.transfer.records import push
from gitml.workspace import open_workspace
path, who, times = sys.argv[1:]
ws = open_workspace(path, os.environ)
head = ws.objects.resolve("HEAD")
for number in range(int(times)):
    at = 1_700_000_000.0 + number
    run = Run(f"{int(who):04x}{number:012x}", "p", "pipelines/p.yaml", "p", "succeeded", head, at, at, "x", "h", "0")
    record_run(ws, run, Config())
    moved = push(ws)
    assert moved.runs_sent >= 1 and not moved.refused, moved
ws.close()
"""


@pytest.mark.campaign
@pytest.mark.parametrize(("people", "times"), [(2, 25), (12, 2)])
def test_pushers_at_once_lose_nothing(tmp_path: Path, people: int, times: int) -> None:
    check(tmp_path, people, times)


def check(folder: Path, people: int, times: int) -> None:
    hub = Repository(folder / "hub.git", bare=True)
    seed = Repository(folder / "seed")
    seed.commit("begin", {"a": "a"})
    seed.git("push", "-q", hub.path, "main")
    for who in range(people):
        hub.git("clone", "-q", hub.path, str(folder / str(who)))
    pushers = [
        subprocess.Popen(
            [sys.executable, "-c", _PUSHER, str(folder / str(who)), str(who), str(times)],
            env={**environment(), "PYTHONPATH": os.getcwd()},
        )
        for who in range(people)
    ]
    assert [pusher.wait(300) for pusher in pushers] == [0] * people
    location = discover(str(folder / "0"), {})
    hub.git("fsck", "--strict")
    with Objects(location) as objects:
        Repository(folder / "0").git("fetch", "-q", "origin", "+refs/gitml/runs:refs/gitml/all")
        paths = [path for _, path, _ in record_files(GitRecordLog(location, objects, "refs/gitml/all"))]
    assert len(set(paths)) == len(paths) == people * times
