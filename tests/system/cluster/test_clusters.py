"""Clusters on real separate machines: what gitml tells of them, whom it trusts, and whole runs that are handed to them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.cluster.cluster_project import until
from tests.kit.cluster.machine_project import MachineProject
from tests.kit.cluster.machines import Machines, machines, why_not
from tests.kit.cluster.ray_cluster import TOKEN, TOKEN_FILE, MachineOffer, RayCluster

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=f"no machines: {why_not()}"),
    pytest.mark.slow,
    pytest.mark.cluster,
]

TARGETS = f"""\
targets:
  big: {{ray: "node1:6379", token: {TOKEN_FILE}}}
  bare: {{ray: "10.77.0.1:6379"}}
  far: {{ray: "ray://10.77.0.1:10001", token: {TOKEN_FILE}}}
  gone: {{ray: "10.77.0.99:6379"}}
  shut: {{ray: "10.77.0.1:9"}}
  web: {{ray: "10.77.0.1:8265", insecure: true}}
  open: {{ray: "10.77.0.3:6379"}}
  tolerated: {{ray: "10.77.0.3:6379", insecure: true}}
  own: {{ray: local, gpus: 2}}
"""
SLOW = """\
steps:
  wait:
    run: sh src/wait.sh ${{ outputs.o }}
    outputs: {o: file}
"""
WAIT = 'echo begun\nfor i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.5; done\nhead -c 3000000 /dev/zero > "$1"\n'
WORDS = """\
params: {rate: 2}
inputs: {raw: data/raw.txt}
steps:
  prepare:
    run: sh src/prepare.sh ${{ inputs.raw }} ${{ outputs.clean }}
    outputs: {clean: file}
  train:
    run: sh src/train.sh ${{ steps.prepare.outputs.clean }} ${{ params.rate }} ${{ outputs.scores }}
    outputs: {scores: metrics}
"""
# What it waits for never comes: it goes on until it is told to end, on machines of any speed.
STUCK = "steps:\n  stuck: {run: sh src/stuck.sh}\n"
NEVER = "echo begun\nwhile ! test -e /what/never/comes; do sleep 0.5; done\n"
LARGE = """\
inputs: {big: data/big.txt}
steps:
  large:
    run: sh src/large.sh ${{ inputs.big }} ${{ outputs.o }}
    outputs: {o: file}
"""
GREEDY = "steps:\n  train:\n    run: sh src/wait.sh x\n    resources: {gpus: 4, labels: {zone: b}}\n"
FILES = {
    "gitml.yaml": TARGETS,
    "pipelines/words.yaml": WORDS,
    "pipelines/slow.yaml": SLOW,
    "pipelines/stuck.yaml": STUCK,
    "pipelines/large.yaml": LARGE,
    "pipelines/greedy.yaml": GREEDY,
    "src/wait.sh": WAIT,
    "src/stuck.sh": NEVER,
    "src/large.sh": 'cat "$1" "$1" "$1" "$1" "$1" > "$2"\n',
    "data/big.txt": "many words\n" * 400_000,
    "src/prepare.sh": 'echo "preparing $1"\ntr a-z A-Z < "$1" > "$2"\n',
    "src/train.sh": 'echo "rate $2"\nprintf \'{"score": %s}\' "$2" > "$3"\n',
    "data/raw.txt": "some words\n",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """Two machines with Ray and a token; a third beside them is a cluster of its own that lets anybody in."""
    with machines(3) as lab:
        cluster = RayCluster(
            lab, [MachineOffer(), MachineOffer(gpus=2, labels={"zone": "a"}, custom={"licence": 1})], dashboard=True
        )
        cluster.start_all()
        yield cluster


@pytest.fixture(scope="module")
def inside(cluster: RayCluster) -> MachineProject:
    """A repository on a machine of the cluster."""
    return MachineProject(cluster.lab[2], {**FILES, "README.md": "inside\n"}, {"RAY_AUTH_TOKEN_PATH": TOKEN_FILE})


@pytest.fixture(scope="module")
def outside(cluster: RayCluster) -> MachineProject:
    """A repository on a machine that only reaches the cluster."""
    cluster.lab[3].write(TOKEN_FILE, TOKEN, 0o600)
    return MachineProject(cluster.lab[3], FILES)


# -- what there is


def test_targets_tells_what_each_machine_has_from_anywhere(inside: MachineProject, outside: MachineProject) -> None:
    for project in (inside, outside):
        told = project.gitml("targets", "big", "--json")
        (target,) = told.json
        assert (target["address"], target["open"], target["error"]) == ("10.77.0.1:6379", False, None)
        first, second = target["machines"]
        assert (first["name"], first["head"], first["resources"]["gpus"]) == ("node1", True, 0)
        assert (second["name"], second["labels"]) == ("node2", {"zone": "a"})
        assert second["free"] == second["resources"]
        assert second["resources"]["custom"] == {"licence": 1}
        assert told.seconds < 10


def test_what_runs_and_what_is_left_beside_it_is_told(
    cluster: RayCluster, inside: MachineProject, outside: MachineProject
) -> None:
    program = """
import ray, time
ray.init(address="auto", log_to_driver=False)
task = ray.remote(num_gpus=0.5, resources={"licence": 1})(lambda: time.sleep(3600))
ray.get(task.options(name="a busy step").remote())
"""
    busy = cluster.lab[2].start("python", "-c", program, env=cluster.environ())
    try:
        until("it is told", lambda: "a busy step" in inside.gitml("targets", "big").out, 120)
        for project, target in ((inside, "big"), (outside, "far")):  # `far` is reached by Ray's client alone
            shown = project.gitml("targets", target).out
            row = next(line for line in shown.splitlines() if line.startswith("  node2"))
            assert "1 of 2" in row
            assert "1.5 of 2" in row
            assert "licence 0 of 1" in row
            assert "a busy step" in row
    finally:
        busy.kill()
        busy.communicate()


# -- who is let in, and what is wrong


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("bare", 7, "the cluster asks for a token, and there is none"),
        ("gone", 6, "no Ray cluster answers"),
        ("shut", 6, "no Ray cluster answers: the connection was refused"),
        ("web", 6, "no Ray cluster answers"),
    ],
)
def test_a_cluster_that_cannot_be_entered_is_told_quickly_and_why(
    outside: MachineProject, target: str, code: int, message: str
) -> None:
    told = outside.gitml("targets", target, "--json", code=code)
    assert told.json[0]["error"]["message"].startswith(message)
    assert told.json[0]["error"]["hint"]
    assert told.seconds < 10


def test_a_wrong_token_is_told_by_where_it_came_from_and_never_shown(outside: MachineProject) -> None:
    outside.machine.write("/etc/wrong.token", "not-the-token-0123456789abcdef-secret", 0o600)
    told = outside.gitml("targets", "bare", "--json", code=7, env={"RAY_AUTH_TOKEN_PATH": "/etc/wrong.token"})
    assert told.json[0]["error"]["message"] == "the cluster does not take the token"
    assert "RAY_AUTH_TOKEN_PATH" in told.json[0]["error"]["hint"]
    assert "0123456789abcdef" not in told.out + told.err
    assert told.seconds < 10


@pytest.fixture(scope="module")
def open_cluster(cluster: RayCluster) -> RayCluster:
    """A cluster without a token, on the third machine."""

    class Alone(RayCluster):
        def __init__(self, lab: Machines) -> None:
            super().__init__(lab, [MachineOffer()], token=None)
            self.address = f"{lab[3].address}:6379"

    alone = Alone(cluster.lab)
    machine = cluster.lab[3]
    words = ["ray", "start", "--head", "--block", f"--node-ip-address={machine.address}", "--port=6379", "--num-cpus=1"]
    words += ["--include-dashboard=false", "--disable-usage-stats", "--object-store-memory=80000000"]
    alone.nodes[3] = machine.start(*words, env={"RAY_AUTH_MODE": "disabled"})
    ask = f"import socket; socket.create_connection(('{machine.address}', 6379), 1)"
    until("it listens", lambda: machine.do("python", "-c", ask, code=None).returncode == 0, 90)
    return alone


def test_a_cluster_that_lets_anybody_in_is_refused_unless_that_is_meant(
    open_cluster: RayCluster, inside: MachineProject, outside: MachineProject
) -> None:
    for project in (inside, outside):
        told = project.gitml("targets", "open", "--json", code=7)
        assert told.json[0]["error"]["message"].startswith("the cluster lets anybody in")
        assert "insecure: true" in told.json[0]["error"]["hint"]
        assert project.gitml("targets", "tolerated", "--json").json[0]["open"] is True


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ('{"ray_version": "2.9.0", "python_version": "3.11.2"}', "the cluster runs Ray 2.9.0, this is Ray"),
        ('{"ray_version": "OURS", "python_version": "3.8.1"}', "the cluster runs Python 3.8.1, this is Python"),
    ],
)
def test_another_version_of_ray_or_python_is_refused_by_name(
    open_cluster: RayCluster, outside: MachineProject, told: str, message: str
) -> None:
    program = """
import sys, ray
from ray._raylet import GcsClient
gcs = GcsClient(address=sys.argv[1])
before = gcs.internal_kv_get(b"CLUSTER_METADATA", b"cluster")
gcs.internal_kv_put(b"CLUSTER_METADATA", sys.argv[2].replace("OURS", ray.__version__).encode(), True, b"cluster")
print(before.decode())
"""
    machine = outside.machine
    say = ("python", "-c", program, open_cluster.address)
    before = machine.do(*say, told, env={"RAY_AUTH_MODE": "disabled"}).stdout.strip()
    try:
        error = outside.gitml("targets", "tolerated", "--json", code=6).json[0]["error"]
        assert error["message"].startswith(message)
        assert error["hint"]
    finally:
        machine.do(*say, before, env={"RAY_AUTH_MODE": "disabled"})


# -- from a machine that is no part of the cluster


def test_a_machine_outside_drives_a_run_through_rays_client(outside: MachineProject) -> None:
    error = outside.gitml("run", "words", "--on", "big", "--json", code=6).error
    assert error["message"] == "this machine is no part of the cluster, so it can't drive it"
    assert "ray://" in error["hint"]
    run = outside.gitml("run", "words", "--on", "far", "-S", "rate=9", "--json").json
    assert [step["outcome"] for step in run["steps"]] == ["executed", "executed"]
    assert run["steps"][1]["metrics"] == {"score": 9}
    assert outside.gitml("logs", run["run"], "train").out == "rate 9\n"
    again = outside.gitml("run", "words", "--on", "far", "-S", "rate=9", "--json").json
    assert {step["outcome"] for step in again["steps"]} == {"reused"}
    large = outside.gitml("run", "large", "--on", "far", "--json").json
    assert large["steps"][0]["outputs"]["o"]["size"] == 5 * 11 * 400_000
    outside.gitml("fsck")


# -- whole runs


def test_a_wish_that_can_never_be_fulfilled_is_refused_before_anything_is_handed_over(inside: MachineProject) -> None:
    error = inside.gitml("submit", "greedy", "--on", "big", code=2).err
    assert "4 gpus" in error
    assert "the most on one machine is 2" in error
    assert inside.gitml("log", "--on", "big", "--json").json == []


def test_a_submitted_run_goes_on_alone_and_comes_home_with_its_results(
    outside: MachineProject, cluster: RayCluster
) -> None:
    outside.write({"data/raw.txt": "uncommitted words\n"})
    run = outside.gitml("submit", "words", "--on", "big", "-m", "by night").out.strip()
    assert len(run) == 16
    listed = outside.gitml("log", "--on", "big", "--json").json
    assert [one["run"] for one in listed] == [run]
    assert outside.gitml("logs", run, "-f").out.splitlines() == ["preparing data/raw.txt", "rate 2"]
    there = outside.gitml("show", run, "--json").json
    assert there["status"] == "succeeded"
    collected = outside.gitml("collect", "--json").json
    assert [(one["run"], one["status"], one["left"]) for one in collected["collected"]] == [(run, "succeeded", 0)]
    home = outside.gitml("show", run, "--json").json
    assert home == there
    assert (home["dirty"], home["by"], home["branch"], home["message"]) == (
        True,
        "Test <test@example.com>",
        "main",
        "by night",
    )
    assert home["host"] == "node1"
    assert outside.gitml("run", "words", "--on", "big", "--json", code=None).code in (0, 6)  # reuse needs no cluster
    outside.machine.do("git", "fsck", "--strict", cwd=outside.path)
    # nothing is left behind on the cluster, nor of the way there
    assert outside.gitml("log", "--on", "big", "--json").json == []
    assert "repository" not in cluster.lab[1].do("sh", "-c", "find /root/node1/.cache 2>/dev/null || true").stdout
    packages = "find /tmp/ray/session_latest/runtime_resources/working_dir_files -type f -not -name '*.lock'"
    assert cluster.lab[1].do("sh", "-c", packages).stdout == ""
    outside.machine.do("git", "checkout", "-q", "data/raw.txt", cwd=outside.path)


def test_large_results_wait_on_the_cluster_and_come_home_verified(outside: MachineProject, cluster: RayCluster) -> None:
    run = outside.gitml("submit", "slow", "--on", "big").out.strip()
    assert outside.gitml("collect", run, code=4).err.startswith(f"gitml: run {run[:8]} is still going on")
    (home,) = outside.gitml("collect", run, "--wait", "--json").json["collected"]
    assert (home["status"], home["left"]) == ("succeeded", 0)
    assert home["objects"] >= 1
    outside.gitml("checkout", f"{run}:wait.o", "there")
    assert outside.machine.do("sh", "-c", "wc -c < there", cwd=outside.path).stdout.strip() == "3000000"
    outside.machine.do("rm", "there", cwd=outside.path)
    assert cluster.lab[1].do("sh", "-c", "ls /root/node1/.cache/gitml/submitted").stdout == ""


def test_a_run_submitted_elsewhere_is_seen_and_fetched_where_its_commit_is(
    outside: MachineProject, inside: MachineProject
) -> None:
    run = inside.gitml("submit", "words", "--on", "big", "-S", "rate=3").out.strip()

    def state() -> str:
        (listed,) = [one for one in outside.gitml("log", "--on", "big", "--json").json if one["run"] == run]
        return str(listed["state"])

    until("it ends", lambda: state() != "running", 180)
    assert outside.gitml("logs", run, "--on", "big").out.splitlines()[-1] == "rate 3"
    assert outside.gitml("show", run, "--on", "big", "--json").json["params"] == {"rate": 3}
    error = outside.gitml("collect", run, "--on", "big", code=2).err  # its commit is not in this repository
    assert "is not in this repository" in error
    assert inside.gitml("collect", run, "--json").json["collected"][0]["status"] == "succeeded"


def test_a_submitted_run_is_cancelled_and_recorded_so(outside: MachineProject, cluster: RayCluster) -> None:
    run = outside.gitml("submit", "stuck", "--on", "big").out.strip()
    until("it runs", lambda: "begun" in outside.gitml("logs", run, code=None).out, 120)
    outside.gitml("ui", "--screenshot", "seen.svg", "run", run)
    seen = outside.machine.do("sh", "-c", "cat seen.svg && rm seen.svg", cwd=outside.path).stdout.replace("&#160;", " ")
    assert "on cluster big" in seen
    assert "▶" in seen
    shown = outside.gitml("show", run, "--json").json
    assert (shown["status"], shown["steps"], shown["running"], shown["waiting"]) == ("running", [], ["stuck"], [])
    assert outside.gitml("cancel", run, "--json").json == {"run": run, "status": "cancelled"}
    assert outside.gitml("collect", run, code=1).out.startswith(f"run {run[:8]} stuck cancelled")
    assert outside.gitml("log", "--status", "cancelled", "--json").json[0]["run"] == run
    for number in (1, 2):
        assert not cluster.lab[number].processes("stuck.sh")


def test_what_is_known_already_is_not_submitted(inside: MachineProject) -> None:
    first = inside.gitml("submit", "words", "--on", "big", "-S", "rate=4").out.strip()
    inside.gitml("collect", first, "--wait")
    again = inside.gitml("submit", "words", "--on", "big", "-S", "rate=4")
    assert "nothing was submitted" in again.err
    assert {step["outcome"] for step in inside.gitml("show", again.out.strip(), "--json").json["steps"]} == {"reused"}
