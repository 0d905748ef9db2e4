"""Gangs over real separate machines: all or none, one log, one end, whatever becomes of a machine."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.kit.cluster.machine_project import MachineProject
from tests.kit.cluster.machines import machines, why_not
from tests.kit.cluster.ray_cluster import TOKEN_FILE, MachineOffer, RayCluster
from tests.kit.patience import PATIENCE
from tests.system.cluster.test_gangs import ILL, SUM, TELL, pipeline

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=f"no machines: {why_not()}"),
    pytest.mark.slow,
    pytest.mark.cluster,
]

WAIT = "import time\nprint('here', flush=True)\ntime.sleep(100)\n"
GANG = "    nodes: 2\n    processes: 2\n"
FILES = {
    "gitml.yaml": f'targets:\n  big: {{ray: "10.77.0.1:6379", token: {TOKEN_FILE}}}\n',
    "sum.py": SUM,
    "tell.py": TELL,
    "ill.py": ILL,
    "wait.py": WAIT,
    "pipelines/sum.yaml": pipeline("python3 sum.py ${{ outputs.o }}", GANG + "    outputs: {o: file}\n"),
    "pipelines/tell.yaml": pipeline("python3 tell.py", GANG + "    resources: {gpus: 1}\n"),
    "pipelines/ill.yaml": pipeline("python3 ill.py x", GANG),
    "pipelines/wait.yaml": pipeline("python3 wait.py", GANG),
    "pipelines/many.yaml": pipeline("python3 wait.py", "    nodes: 3\n"),
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with machines(2) as lab:
        cluster = RayCluster(lab, [MachineOffer(gpus=1), MachineOffer(gpus=1)])
        cluster.start_all()
        yield cluster


@pytest.fixture(scope="module")
def project(cluster: RayCluster) -> MachineProject:
    return MachineProject(cluster.lab[1], FILES)


def test_a_gang_works_together_over_machines_and_rank_0_makes_the_output(project: MachineProject) -> None:
    run = project.gitml("run", "sum", "--on", "big", "--json").json
    assert sorted(project.gitml("logs").out.splitlines()) == [f"[{rank}] agreed on 1110" for rank in range(4)]
    project.gitml("checkout", f"{run['run']}:team.o", "/tmp/o")
    assert project.machine.do("cat", "/tmp/o").stdout == "1110\n"


def test_each_node_is_a_machine_of_its_own_and_sees_its_gpus(project: MachineProject) -> None:
    import json

    project.gitml("run", "tell", "--on", "big")
    told = {int(line[1]): json.loads(line[4:]) for line in project.gitml("logs").out.splitlines()}
    assert {rank: env["NODE_RANK"] for rank, env in told.items()} == {0: "0", 1: "0", 2: "1", 3: "1"}
    workers = json.loads(told[0]["TF_CONFIG"])["cluster"]["worker"]
    assert [worker.partition(":")[0] for worker in workers[::2]] in (
        ["10.77.0.1", "10.77.0.2"],
        ["10.77.0.2", "10.77.0.1"],
    )
    assert {env["MASTER_ADDR"] for env in told.values()} == {workers[0].partition(":")[0]}


def test_more_nodes_than_machines_are_refused(project: MachineProject) -> None:
    error = project.gitml("run", "many", "--on", "big", "--json", code=2).error
    assert error["message"].startswith(
        "step 'team' can't run: target big can't give 3 machines with 1 cpu (there are 2)"
    )


def test_one_that_fails_ends_the_processes_on_every_machine(project: MachineProject, cluster: RayCluster) -> None:
    run = project.gitml("run", "ill", "--on", "big", "--json", code=1).json
    assert run["steps"][0]["error"] == "exit status 1: rank 1 failed first, with exit status 1: this one is ill"
    assert not cluster.lab[1].processes("ill.py")
    assert not cluster.lab[2].processes("ill.py")


def test_a_gang_whose_machine_is_lost_ends_and_is_no_success(project: MachineProject, cluster: RayCluster) -> None:
    going = project.machine.start(
        "python", "-m", "gitml", "run", "wait", "--on", "big", "--json", env=project.env, cwd=project.path
    )
    end = time.monotonic() + 90
    while len(cluster.lab[1].processes("wait.py")) < 2 or len(cluster.lab[2].processes("wait.py")) < 2:
        assert time.monotonic() < end
        assert going.poll() is None, going.communicate()
        time.sleep(0.2)
    cluster.lab.kill(2)
    del cluster.nodes[2]
    out, err = going.communicate(timeout=120)
    assert going.returncode == 1, f"{out.decode()}\n{err.decode()}"
    assert b"of its gang" in out
    end = time.monotonic() + PATIENCE
    while cluster.lab[1].processes("wait.py"):
        assert time.monotonic() < end
        time.sleep(0.2)
