"""Many processes at once, and processes killed at any moment: every record is there whole, or not at all."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

import pytest

from gitml.git.repository import discover
from registry.registry import Registry
from registry.state import ModuleManifest
from tests.kit.patience import PATIENCE
from tests.kit.processes import kill
from tests.kit.projects.module_folders import INTERFACE
from tests.kit.projects.repository import Repository, environment, isolate

PUBLISHER = """
import sys
from registry.registry import Registry
from registry.state import ModuleManifest
from registry.interface import Interface
name, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
registry = Registry.open()
content = registry.check("m")
for number in range(first, last):
    registry.publish(content, ModuleManifest(name, Interface(), f"1.{number}.0"))
    print(number, flush=True)
"""


@pytest.fixture
def repo(tmp_path, monkeypatch):
    isolate(monkeypatch)
    made = Repository(tmp_path / "r")
    made.commit("x", {"m/module.yaml": "x\n", "m/a.py": "print(1)\n"})
    return made


def start(repo, name, first, last):
    return subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, name, str(first), str(last)],
        cwd=repo.path,
        env={**environment(), "PYTHONPATH": os.getcwd()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def published_at_once(repo, processes, each, name_of):
    started = [start(repo, name_of(n), n * each, (n + 1) * each) for n in range(processes)]
    for process in started:
        _, stderr = process.communicate(timeout=170)
        assert process.returncode == 0, stderr
    with Registry(discover(repo.path, {})) as registry:
        listed = {m.name: {v.version for v in m.versions} for m in registry.modules()}
        verified = registry.verify()
    wanted: dict[str, set[str]] = {}
    for n in range(processes):
        wanted.setdefault(name_of(n), set()).update(f"1.{number}.0" for number in range(n * each, (n + 1) * each))
    assert listed == wanted
    assert (verified.problems, verified.events, len(verified.records)) == ((), processes * each, processes * each)
    line = repo.git("rev-list", "--count", "--first-parent", "refs/gitml/registry")
    assert int(line) == processes * each + 1
    repo.git("fsck", "--strict")


@pytest.mark.slow
def test_processes_that_publish_versions_of_one_module_at_once_all_land_in_one_line(repo):
    published_at_once(repo, 4, 6, lambda n: "m")


@pytest.mark.campaign
@pytest.mark.slow
def test_eight_processes_publish_twenty_each(repo):
    published_at_once(repo, 8, 20, lambda n: f"m{n % 3}")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_publish_killed_at_any_moment_leaves_the_old_or_the_new(repo, seed):
    chance = random.Random(seed)
    process = start(repo, "m", 0, 500)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(chance.uniform(0.0, 0.25))
    assert kill(process)
    told = 1 + len(process.stdout.read().split())  # not by communicate(), which passes over what readline() read ahead
    process.communicate()
    with Registry(discover(repo.path, {})) as registry:
        versions = registry.versions("m")
        assert len(versions) in (told, told + 1)
        verified = registry.verify()
        assert (verified.problems, verified.events, verified.versions) == ((), len(versions), len(versions))
        registry.publish(repo.file("m"), ModuleManifest("m", INTERFACE, "3.0.0"))
        assert registry.rebuild() == len(versions) + 1
    repo.git("fsck", "--strict")


def test_two_processes_make_a_damaged_projection_anew_at_once(repo):
    with Registry(discover(repo.path, {})) as registry:
        registry.publish(repo.file("m"), ModuleManifest("m", INTERFACE, "1.0.0"))
    with open(repo.file(".git/gitml/registry.db"), "wb") as file:
        file.write(b"x" * 10_000)
    reader = "from registry.registry import Registry; print(Registry.open().resolve('m').version)"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", reader],
            cwd=repo.path,
            env={**environment(), "PYTHONPATH": os.getcwd()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for process in started:
        out, stderr = process.communicate(timeout=PATIENCE)
        assert out == b"1.0.0\n", stderr.decode()
