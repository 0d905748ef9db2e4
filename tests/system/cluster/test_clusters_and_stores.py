"""Machines of a cluster and a remote store that they reach: large inputs come from it, and not through who drives the run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.cluster.cluster_project import until
from tests.kit.cluster.machine_project import MachineProject
from tests.kit.cluster.machines import NETWORK, Machine, machines, why_not
from tests.kit.cluster.ray_cluster import TOKEN_FILE, MachineOffer, RayCluster
from tests.kit.patience import PATIENCE
from tests.kit.servers.store_servers import servers_python

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=f"no machines: {why_not()}"),
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.timeout(600),
]

LARGE = 48_000_000
PORT = 5055
SETTINGS = f"""\
targets: {{c: {{ray: "10.77.0.1:6379", token: {TOKEN_FILE}}}}}
remotes: [{{name: lab, url: "s3://team/x", endpoint: "http://{NETWORK}.254:{PORT}"}}]
"""
PIPELINE = """\
params: {cut: 1}
steps:
  make:
    run: sh src/make.sh ${{ outputs.first }} ${{ outputs.parts }} ${{ outputs.second }}
    outputs: {first: file, parts: directory, second: file}
    resources: {labels: {zone: b}}
  use:
    run: sh src/use.sh ${{ params.cut }} ${{ outputs.o }} ${{ steps.make.outputs.first }} ${{ steps.make.outputs.parts }}/one
    outputs: {o: file}
    resources: {labels: {zone: c}}
  also:
    run: sh src/use.sh ${{ params.cut }} ${{ outputs.o }} ${{ steps.make.outputs.second }} ${{ steps.make.outputs.second }}
    outputs: {o: file}
    resources: {labels: {zone: c}}
"""
FILES = {
    "gitml.yaml": SETTINGS,
    "pipelines/p.yaml": PIPELINE,
    "src/make.sh": f'yes one | head -c {LARGE} > "$1"\nmkdir -p "$2/below"\nyes two | head -c {LARGE} > "$2/one"\n'
    f'echo small > "$2/below/two"\nyes three | head -c {LARGE} > "$3"\n',
    "src/use.sh": 'head -c "$1" "$3" > "$2"\nwc -c < "$3" >> "$2"\nwc -c < "$4" >> "$2"\n',
}
CREDENTIALS = "[default]\naws_access_key_id = key-of-the-tests\naws_secret_access_key = secret-of-the-tests\n"
WHERE = "[default]\nregion = us-east-1\n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """The head, from which runs are driven; and two machines in zones of their own. All may enter the store."""
    with machines(3) as lab:
        cluster = RayCluster(
            lab, [MachineOffer(cpus=1), MachineOffer(labels={"zone": "b"}), MachineOffer(labels={"zone": "c"})]
        )
        for machine in lab:
            machine.write(".aws/credentials", CREDENTIALS, 0o600)
            machine.write(".aws/config", WHERE)
        cluster.start_all()
        yield cluster


@pytest.fixture(scope="module")
def store(cluster: RayCluster) -> Iterator[subprocess.Popen[bytes]]:
    """An S3 server that the machines reach, and a bucket."""
    moto = str(Path(servers_python()).parent / "moto_server")
    server = cluster.lab.start_outside(servers_python(), moto, "-H", f"{NETWORK}.254", "-p", str(PORT))
    make = (
        f"import urllib.request as u; u.urlopen(u.Request('http://{NETWORK}.254:{PORT}/team', method='PUT'), timeout=9)"
    )
    until("the S3 server answers", lambda: cluster.on(1).do("python", "-c", make, code=None).returncode == 0)
    yield server
    server.kill()
    server.wait()


@pytest.fixture(scope="module")
def clone(cluster: RayCluster, store: subprocess.Popen[bytes]) -> MachineProject:
    """A clone that knows of a run and has nothing of what it made: that lies in the store."""
    project = MachineProject(cluster.on(1), FILES)
    hub = f"{project.machine.home}/hub.git"
    project.machine.do("git", "init", "-q", "--bare", "-b", "main", hub)
    project.machine.do("git", "remote", "add", "origin", hub, cwd=project.path)
    project.machine.do("git", "push", "-q", "-u", "origin", "main", cwd=project.path)
    project.gitml("run", "--on", "c")
    project.gitml("push")
    for number in (2, 3):
        forget(cluster.on(number))
    project.machine.do("python", "-m", "gitml", "clone", hub, "clone", env=project.env, cwd=project.machine.home)
    project.path = f"{project.machine.home}/clone"
    return project


def forget(machine: Machine) -> None:
    """Removes what steps left on a machine, as its eviction would."""
    machine.do("sh", "-c", "cd ~/.cache/gitml/worker && rm -rf objects/* && touch swept")


def passed(machine: Machine) -> int:
    """Bytes that went in and out by the machine's network."""
    lines = machine.do("cat", "/proc/net/dev").stdout
    (words,) = [line.split(":")[1].split() for line in lines.splitlines() if line.strip().startswith("eth0:")]
    return int(words[0]) + int(words[8])


def objects(project: MachineProject) -> int:
    """Bytes in the driver's Store."""
    size = project.machine.do("sh", "-c", "du -sb .git/gitml/objects 2>/dev/null || echo 0", cwd=project.path).stdout
    return int(size.split()[0])


def test_a_machine_brings_large_inputs_from_the_store_and_the_driver_never_sees_them(
    clone: MachineProject, cluster: RayCluster
) -> None:
    before, there = passed(clone.machine), passed(cluster.on(3))
    told = clone.gitml("run", "use", "--on", "c", "-S", "cut=2", "--json")
    moved, brought = passed(clone.machine) - before, passed(cluster.on(3)) - there
    steps = {step["name"]: step for step in told.json["steps"]}
    assert [steps[name]["outcome"] for name in ("make", "use")] == ["reused", "executed"], told.err
    assert steps["use"]["attempts"][0]["machine"] == "node3"
    clone.gitml("checkout", f"{told.json['run']}:use.o", "made")
    made = clone.machine.do("cat", "made", cwd=clone.path).stdout
    assert made == f"on{LARGE}\n{LARGE}\n"
    assert brought > 2 * LARGE
    assert moved < LARGE / 4, f"{moved} bytes passed through the driver's machine"
    assert objects(clone) < 1_000_000


def test_where_a_machine_cannot_reach_the_store_its_inputs_come_through_the_driver_and_it_is_said(
    clone: MachineProject, cluster: RayCluster
) -> None:
    cut_off = cluster.on(3)
    cut_off.do("ip", "route", "add", "unreachable", f"{NETWORK}.254/32")
    try:
        told = clone.gitml("run", "also", "--on", "c", "-S", "cut=3")
    finally:
        cut_off.do("ip", "route", "del", "unreachable", f"{NETWORK}.254/32")
    assert "machine node3 could not fetch inputs: remote lab" in told.err
    assert "fetch  also  its inputs" in told.err
    shown = clone.gitml("show", "latest", "--json").json
    (also,) = [step for step in shown["steps"] if step["name"] == "also"]
    assert (also["outcome"], len(also["attempts"])) == ("executed", 1), "what did not begin is no attempt"
    assert objects(clone) >= LARGE


def test_what_no_store_has_any_more_is_made_again(
    clone: MachineProject, cluster: RayCluster, store: subprocess.Popen[bytes]
) -> None:
    forget(cluster.on(3))
    place = f"http://{NETWORK}.254:{PORT}"
    wipe = f"import boto3; boto3.resource('s3', endpoint_url='{place}').Bucket('team').objects.all().delete()"
    done = cluster.lab.start_outside(
        servers_python(),
        "-c",
        wipe,
        env={"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1"},
    )
    assert done.wait(PATIENCE) == 0, done.stderr.read() if done.stderr else ""
    told = clone.gitml("run", "use", "--on", "c", "-S", "cut=4")
    assert "make runs again" in told.err
    assert "1 failed" not in told.err
