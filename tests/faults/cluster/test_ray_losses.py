"""Losing machines, the network and the head of a cluster, each for real."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.faults.cluster.test_ray_machines import HEAD, attempts, begin, ended, held, release
from tests.kit.cluster.cluster_project import ClusterProject, cluster_project, step_of, until
from tests.kit.cluster.machines import why_not
from tests.kit.cluster.ray_cluster import MachineOffer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    pytest.mark.cluster,
]


@pytest.fixture
def lab() -> Iterator[ClusterProject]:
    with cluster_project(
        HEAD, MachineOffer(cpus=2, labels={"zone": "a"}), MachineOffer(cpus=2, labels={"zone": "b"})
    ) as lab:
        yield lab


def test_a_machine_lost_in_the_middle_of_a_step_is_replaced_by_another(lab: ClusterProject) -> None:
    process = begin(lab)
    number = held(lab)
    release(lab, 2, 3)
    lab.cluster.lab.kill(number)
    code, out, err = ended(process)
    assert code == 0, err
    other = f"node{5 - number}"
    run = json.loads(out)
    assert attempts(run, "long") == [(f"node{number}", "lost"), (other, "done")]


def test_a_network_that_is_cut_and_heals_costs_an_attempt_at_most(lab: ClusterProject) -> None:
    process = begin(lab)
    number = held(lab)
    release(lab, 2, 3)
    lab.cluster.lab.cut(number)
    until("the step there ends, as nobody is there", lambda: not lab[number].processes("sleep\x004321"), 90)
    code, out, err = ended(process)
    assert code == 0, err
    assert attempts(json.loads(out), "long") == [(f"node{number}", "lost"), (f"node{5 - number}", "done")]
    lab.cluster.lab.heal(number)


def test_a_lost_head_ends_the_run_within_30_seconds_and_the_same_command_goes_on(lab: ClusterProject) -> None:
    process = begin(lab)
    held(lab)
    for pid in lab[1].processes("gcs_server"):
        os.kill(pid, signal.SIGKILL)
    begun = time.monotonic()
    code, out, err = ended(process, 120)
    assert code == 6, out + err
    assert time.monotonic() - begun < 30, err
    assert "head of the cluster is lost" in err
    for number in (2, 3):
        until("steps end", lambda n=number: not lab[n].processes("sleep\x004321"), 90)  # type: ignore[misc]
    release(lab, 2, 3)
    for number in (1, 2, 3):
        lab.cluster.end(number)
    lab.cluster.start_all()
    run = lab.run()
    assert step_of(run, "quick")["outcome"] == "reused"
    assert step_of(run, "long")["outcome"] == "executed"
