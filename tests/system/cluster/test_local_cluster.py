"""``ray: local`` on this machine, as anybody's computer can have it: the whole way of a run over Ray, without machines of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gitml.core.model.guarantees import CUT
from gitml.execute.sandbox.isolation import private_folders, refusal
from gitml.platform.current import platform
from tests.kit.projects.command_line import Project, alive, interrupt, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray"), pytest.mark.timeout(300)]

OWN = "targets:\n  local: {gpus: 2, labels: {zone: x}, custom: {licence: 1}}\n  own: {ray: local, cpus: 2, gpus: 2, labels: {zone: x}, custom: {licence: 1}}\n"
MAKE = """
import os, sys
os.makedirs(sys.argv[1] + "/sub")
with open(sys.argv[1] + "/sub/large", "wb") as file:
    file.write(bytes(range(256)) * 4096 * 3)
open(sys.argv[1] + "/small", "w").write("x")
open(os.environ["SEEN"] + "/seen", "a").write("x")
print("gpus", os.environ.get("CUDA_VISIBLE_DEVICES"))
"""
USE = """
import json, os, sys
json.dump({"size": os.path.getsize(sys.argv[1] + "/sub/large"), "rate": int(sys.argv[2])}, open(sys.argv[3], "w"))
"""
WORK = """\
params: {rate: 2}
steps:
  make:
    run: python3 src/make.py ${{ outputs.o }}
    outputs: {o: directory}
    cache: {seen: {env: SEEN}}
    resources: {gpus: 1, labels: {zone: x}, custom: {licence: 1}}
  use:
    run: python3 src/use.py ${{ steps.make.outputs.o }} ${{ params.rate }} ${{ outputs.m }}
    outputs: {m: metrics}
"""
MIXED = """\
steps:
  gang: {run: sh src/rank.sh, processes: 2}
  ill: {run: sh src/ill.sh}
  here: {run: sh src/here.sh, target: local}
"""
SECONDS = f"7654.{os.getpid()}"  # of this process alone: others may run the tests too
WAIT = f"steps:\n  wait: {{run: 'sleep {SECONDS}', resources: {{gpus: 0.5}}}}\n"
GREEDY = "steps:\n  train: {run: sh src/ill.sh, resources: {gpus: 3}}\n"
CONFINED = """\
network: none
steps:
  cut: {run: "python3 src/reach.py ${{ outputs.o }}", outputs: {o: metrics}}
  strict: {run: "python3 src/reach.py ${{ outputs.o }}", outputs: {o: metrics}, sandbox: strict, network: loopback}
  gang: {run: sh src/rank.sh, processes: 2, network: loopback}
"""
REACH = """
import json, os, socket, sys
lo = socket.socket()
try:
    lo.bind(("127.0.0.1", 0)); lo.listen(); socket.create_connection(lo.getsockname(), 5); up = 1
except OSError:
    up = 0
json.dump({"interfaces": len(socket.if_nameindex()), "loopback": up, "in /tmp": len(os.listdir("/tmp"))}, open(sys.argv[1], "w"))
"""
APART = "steps:\n  gang: {run: sh src/rank.sh, nodes: 2, network: loopback}\n"
FILES = {
    "gitml.yaml": OWN,
    "pipelines/confined.yaml": CONFINED,
    "pipelines/apart.yaml": APART,
    "src/reach.py": REACH,
    "pipelines/work.yaml": WORK,
    "pipelines/mixed.yaml": MIXED,
    "pipelines/wait.yaml": WAIT,
    "pipelines/greedy.yaml": GREEDY,
    "src/make.py": MAKE,
    "src/use.py": USE,
    "src/rank.sh": "echo rank $RANK of $WORLD_SIZE\n",
    "src/ill.sh": "echo not well >&2\nexit 3\n",
    "src/here.sh": "echo here\n",
}
SLEEPER = f"sleep\0{SECONDS}"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project", FILES)


def own_folder(run: subprocess.Popen[bytes]) -> Path:
    """The folder of the Ray that a run has started: others may have theirs at the same time."""
    for pid in alive("gitml.cluster.connect.local_cluster"):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:  # another's, which ended just now
            continue
        if f"PPid:\t{run.pid}\n" in status:
            environment = Path(f"/proc/{pid}/environ").read_text().split("\0")
            (temporary,) = [entry.removeprefix("TMPDIR=") for entry in environment if entry.startswith("TMPDIR=")]
            return Path(temporary).parent
    raise AssertionError("the run has no Ray")


def loaded(run: subprocess.CompletedProcess[str]) -> set[str]:
    """The packages that a run under ``-X importtime`` has loaded."""
    names = [line.rpartition("|")[2].strip() for line in run.stderr.splitlines() if line.startswith("import time:")]
    return {name.partition(".")[0] for name in names}


def test_a_run_makes_what_it_makes_locally_and_is_reused_without_ray(project: Project) -> None:
    over_ray = project.run("work", "--on", "own")
    assert [(step["name"], step["outcome"]) for step in over_ray["steps"]] == [
        ("make", "executed"),
        ("use", "executed"),
    ]
    assert over_ray["steps"][1]["metrics"] == {"size": 3 << 20, "rate": 2}
    assert project.do("logs", over_ray["run"], "make").out in ("gpus 0\n", "gpus 1\n")
    project.do("fsck")

    here = project.run("work", "--force")
    assert {step["outcome"] for step in here["steps"]} == {"executed"}
    made = [[port["digest"] for step in run["steps"] for port in step["outputs"].values()] for run in (over_ray, here)]
    assert made[0] == made[1]
    assert [run["steps"][0]["guarantees"] for run in (over_ray, here)] == [{"cache": "seen"}] * 2
    (place,) = (Path(project.env["XDG_CACHE_HOME"]) / "gitml/caches").iterdir()
    assert (place / "seen/files/seen").read_text() == "xx", "both were on this machine, in the same clone"

    command = [sys.executable, "-X", "importtime", "-m", "gitml", "run", "work", "--on", "own", "--json"]
    again = subprocess.run(command, cwd=project.path, env=project.env, capture_output=True, text=True, check=True)
    assert {step["outcome"] for step in json.loads(again.stdout)["steps"]} == {"reused"}
    assert "gitml" in loaded(again)
    assert not loaded(again) & {"ray", "grpc"}


def test_what_comes_back_to_a_shared_repository_is_open_to_its_group(project: Project) -> None:
    subprocess.run(["git", "config", "core.sharedRepository", "group"], cwd=project.path, check=True)
    before = os.umask(0o022)
    try:
        project.run("work", "--on", "own")
    finally:
        os.umask(before)
    objects = project.path / ".git/gitml/objects"
    made = [path for path in objects.rglob("*") if path.is_dir() or path.is_file()]
    assert len(made) > 5
    assert [path for path in made if not path.stat().st_mode & (0o020 if path.is_dir() else 0o040)] == []


def test_what_fails_what_is_a_gang_and_what_runs_here_end_as_they_do_without_a_cluster(project: Project) -> None:
    text = MIXED.replace("processes: 2}", "processes: 2, target: own}").replace("ill.sh}", "ill.sh, target: own}")
    project.repo.commit("targets", {"pipelines/mixed.yaml": text})
    run = project.run("mixed", "--keep-going", code=1)
    steps = {step["name"]: step for step in run["steps"]}
    assert {name: step["outcome"] for name, step in steps.items()} == {
        "gang": "executed",
        "ill": "failed",
        "here": "executed",
    }
    assert steps["ill"]["error"] == "exit status 3: not well"
    assert [steps[name]["attempts"][0].get("target") for name in ("gang", "ill", "here")] == ["own", "own", None]
    lines = project.do("logs", run["run"], "gang").out.splitlines()
    assert sorted(lines) == ["[0] rank 0 of 2", "[1] rank 1 of 2"]


def test_ctrl_c_ends_the_step_and_the_ray_it_ran_on(project: Project) -> None:
    process = project.start("run", "wait", "--on", "own", "--json")
    wait_until(lambda: alive(SLEEPER) or process.poll() is not None, 120)
    assert process.poll() is None, process.communicate()
    folder = own_folder(process)
    assert (folder / "token").stat().st_mode & 0o777 == 0o600
    interrupt(process)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert json.loads(out)["steps"][0]["outcome"] == "cancelled"
    assert not alive(SLEEPER)
    assert not folder.exists(), "it ended with the run"
    wait_until(lambda: not alive(str(folder)))
    assert project.do("log", "--status", "cancelled", "--json").json[0]["run"] == json.loads(out)["run"]


def test_what_this_machine_is_not_said_to_have_is_refused_and_no_ray_is_started(project: Project) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "gitml", "run", "greedy", "--on", "own", "--json"]
    done = subprocess.run(command, cwd=project.path, env=project.env, capture_output=True, text=True)
    assert done.returncode == 2
    error = next(json.loads(line)["error"] for line in done.stderr.splitlines() if line.startswith("{"))
    assert "3 gpus (the most on one machine is 2)" in error["message"]
    assert not loaded(done) & {"ray", "grpc"}
    assert project.do("log", "--json").json == []


@pytest.mark.skipif(
    refusal(CUT) != "" or platform.confinement_refusal() != "", reason="this machine can't confine steps"
)
@pytest.mark.needs_linux("namespaces of networks")
def test_steps_on_ray_are_cut_off_as_they_ask_and_their_records_say_so(project: Project) -> None:
    run = project.run("confined", "--on", "own")
    steps = {step["name"]: step for step in run["steps"]}
    assert {name: step.get("guarantees") for name, step in steps.items()} == {
        "cut": {"network": "none"},
        "strict": {"network": "loopback", "sandbox": "strict"},
        "gang": {"network": "loopback"},
    }
    assert (steps["cut"]["metrics"]["interfaces"], steps["cut"]["metrics"]["loopback"]) == (1, 0)
    assert (steps["strict"]["metrics"]["interfaces"], steps["strict"]["metrics"]["loopback"]) == (1, 1)
    if private_folders():
        assert steps["strict"]["metrics"]["in /tmp"] == 0
    told = project.do("run", "apart", "--on", "own", code=2).err
    assert "its nodes are on several machines, which network: loopback keeps apart" in told


@pytest.mark.needs_linux("namespaces of networks")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_machine_of_a_cluster_that_can_not_cut_a_step_off_fails_it_and_says_why(project: Project) -> None:
    """A user namespace in which no network namespace may be made stands for it."""
    without = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$0" "$@"'
    place = Path("/tmp/gitml-ray-0")  # of the user that this one is there
    if place.exists() and place.stat().st_uid != os.geteuid():
        pytest.skip(f"{place} is another user's")
    call = ("unshare", "--user", "--map-root-user", "sh", "-c", without, sys.executable, "-m", "gitml")
    ran = subprocess.run(
        [*call, "run", "confined", "cut", "--on", "own"],
        cwd=project.path,
        env=project.env,
        capture_output=True,
        text=True,
        check=False,
    )
    if os.geteuid() != 0:
        shutil.rmtree(place, ignore_errors=True)
    if "unshare" in ran.stderr or "max_net_namespaces: " in ran.stderr:
        pytest.skip(f"no user namespaces here: {ran.stderr}")
    assert ran.returncode == 1, ran
    assert "network: none can't be kept here: no more namespaces may be made" in ran.stdout + ran.stderr
