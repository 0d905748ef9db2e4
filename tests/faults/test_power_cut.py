"""A power cut on a real ext4: what was acknowledged is there afterwards, and every command goes on."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.disks.power_disk import PowerDisk
from tests.kit.disks.replay_checks import remote_runs
from tests.kit.projects.command_line import Project

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
    return {run["run"] for run in project.do("log", "--all", "--json").json}


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


COMMANDS = (
    ("run", "p", "-S", "n={}"),
    ("run", "p", "--force"),
    ("run", "p", "-S", "n=2"),
    ("run", "p", "--no-reuse", "-S", "n={}"),
    ("plan", "p"),
    ("push",),
    ("gc", "--keep-last", "1"),
    ("checkout", "latest", "out", "--force"),
    ("module", "publish", "modules/m{}"),
)


@pytest.mark.campaign
@pytest.mark.timeout(7200)
def test_cuts_at_random_moments_lose_nothing_acknowledged_and_block_nothing(disk: PowerDisk, project: Project) -> None:
    chance = random.Random(os.environ.get("GITML_SEED", "7"))
    subprocess.run(["git", "init", "-q", "--bare", str(disk.mount / "hub.git")], check=True)
    project.repo.git("remote", "add", "origin", "../hub.git")
    runs_kept, sent, published = {project.run("p")["run"]}, set[str](), set[str]()
    for number in range(10 * int(os.environ.get("GITML_CUTS", "2"))):
        words = [word.format(number) for word in chance.choice(COMMANDS)]
        _prepare(project, words, number)
        before = runs(project)
        process = project.start(*words, *["--json"] * (words[0] == "run"))
        try:
            out, _ = process.communicate(timeout=chance.choice((chance.uniform(0.05, 1.2), 60)))
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
        if process.returncode == 0:
            runs_kept |= {json.loads(out)["run"]} if words[0] == "run" else set()
            sent |= before if words[0] == "push" else set()
            published |= {f"m{number}"} if words[0] == "module" else set()
        disk.cut()
        check_all_goes_on(project, runs_kept | before)
        runs_kept |= before
        assert remote_runs(disk.mount / "hub.git") >= sent, words
        assert {name for name in published if "1.0.0" in project.do("module", "show", name).out} == published, words
        project.do(*words, code=None if words[0] == "module" else 0)
    project.do("push")
    assert remote_runs(disk.mount / "hub.git") >= runs_kept


def _prepare(project: Project, words: list[str], number: int) -> None:
    """What a command needs, made durable: changed files for a plan, runs whose commit no branch names for gc, a module."""
    if words[0] == "plan":
        (project.path / "src/make.sh").write_text(f'echo "number $1"  > "$2" # {number}\n')
    elif words[0] == "gc":
        project.repo.git("commit", "-q", "--amend", "-m", f"another {number}")
    elif words[0] == "module":
        text = f"name: m{number}\nversion: 1.0.0\nrun: sh m.sh ${{{{ outputs.o }}}}\noutputs: {{o: file}}\n"
        project.repo.commit(f"m{number}", {f"{words[-1]}/module.yaml": text, f"{words[-1]}/m.sh": 'echo m > "$1"\n'})
    subprocess.run(["sync", "-f", str(project.path)], check=True)
