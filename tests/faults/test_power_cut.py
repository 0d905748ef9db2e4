"""A power cut on a real ext4: what was acknowledged is there afterwards, and every command goes on."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.commandline import Project
from tests.kit.powerdisk import PowerDisk

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs("mkfs.ext4", "mount")]

FILES = {
    "pipelines/p.yaml": (
        "params: {n: 1}\nsteps:\n"
        "  a:\n    run: sh src/make.sh ${{ params.n }} ${{ outputs.o }}\n    outputs: {o: file}\n"
        "  b:\n    run: cp ${{ steps.a.outputs.o }} ${{ outputs.o }}\n    outputs: {o: file}\n"
    ),
    "pipelines/long.yaml": (
        "steps:\n"
        '  a: {shell: sh, run: "sleep 1.1; echo 1 > ${{ outputs.o }}", outputs: {o: file}}\n'
        '  b: {shell: sh, run: "sleep 60; cp ${{ steps.a.outputs.o }} ${{ outputs.o }}", outputs: {o: file}}\n'
    ),
    "src/make.sh": 'echo "number $1" > "$2"\n',
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[PowerDisk]:
    with PowerDisk(tmp_path / "disk") as made:
        yield made


@pytest.fixture
def project(disk: PowerDisk) -> Project:
    made = Project(disk.mount / "r", FILES)
    made.env["XDG_CACHE_HOME"] = str(disk.mount.parent / "cache")
    subprocess.run(["sync", "-f", str(disk.mount)], check=True)
    return made


def runs(project: Project) -> set[str]:
    return {run["run"] for run in project.do("log", "--json").json}


def check_all_goes_on(project: Project, acknowledged: set[str]) -> None:
    assert runs(project) >= acknowledged
    project.do("run", "-q", "p")
    project.do("fsck", "--repair")
    project.do("fsck")
    project.repo.git("fsck", "--no-dangling")


@pytest.mark.parametrize("seconds", [0, 3])
def test_an_acknowledged_run_survives_a_cut_after_its_end(disk: PowerDisk, project: Project, seconds: float) -> None:
    acknowledged = set()
    for options in ([], [], ["-S", "n=2"]):
        acknowledged.add(project.run("p", *options)["run"])
        time.sleep(seconds)
        disk.cut()
        check_all_goes_on(project, acknowledged)


def test_a_first_commit_and_a_dirty_run_survive_together(disk: PowerDisk, project: Project) -> None:
    project.repo.commit("more", {"src/make.sh": 'echo "other $1" > "$2"\n'})
    (project.path / "src/make.sh").write_text('echo "third $1" > "$2"\n')
    run = project.run("p")
    disk.cut()
    shown = project.do("show", run["run"], "--json").json
    assert project.repo.git("show", f"{shown['commit']}:src/make.sh") == 'echo "third $1" > "$2"'


def test_a_plan_of_changed_files_blocks_nothing_after_a_cut(disk: PowerDisk, project: Project) -> None:
    project.run("p")
    with open(project.path / "src/make.sh", "w") as file:
        file.write('echo "changed $1" > "$2"\n')
        file.flush()
        os.fsync(file.fileno())
    project.do("plan", "p")
    time.sleep(8)  # the file system writes names after five seconds, and data later
    disk.cut()
    check_all_goes_on(project, set())


def test_a_finished_step_survives_a_cut_in_the_middle_of_its_run(disk: PowerDisk, project: Project) -> None:
    process = project.start("run", "long")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(b"done"):
            break
    time.sleep(0.5)  # the journal is synced before the line is printed; the cut falls into the second step
    process.kill()
    process.communicate()
    disk.cut()
    planned = project.do("plan", "long", "--json").json
    assert planned["steps"][0]["decision"] == "reuse"


@pytest.mark.campaign
def test_cuts_at_random_moments_lose_nothing_acknowledged_and_block_nothing(disk: PowerDisk, project: Project) -> None:
    chance = random.Random(7)
    acknowledged: set[str] = set()
    for number in range(20):
        process = project.start("run", "p", "--json", "-S", f"n={number}")
        try:
            out, _ = process.communicate(timeout=chance.uniform(0.05, 1.2))
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
        if process.returncode == 0:
            import json

            acknowledged.add(json.loads(out)["run"])
        disk.cut()
        check_all_goes_on(project, acknowledged)
