"""A cluster that grows: what steps wait for is said, Ray's autoscaler adds it, and what it can never add is refused."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.cluster.cluster_project import ClusterProject, step_of
from tests.kit.cluster.machines import machines, why_not
from tests.kit.cluster.ray_cluster import MachineOffer, RayCluster
from tests.kit.patience import PATIENCE

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=f"no machines: {why_not()}"),
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.timeout(600),
]

HEAD_ID = "f" * 51 + "00000"  # what Ray's provider of pretended machines calls the head
GROWS: dict[str, Any] = {
    "cluster_name": "grows",
    "max_workers": 2,
    "upscaling_speed": 10.0,
    "idle_timeout_minutes": 60,
    "provider": {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "head_node_id": HEAD_ID,
        "gcs_address": "10.77.0.1:6379",
        "use_node_id_as_ip": True,
        "disable_launch_config_check": True,
        "disable_node_updaters": True,
        "launch_multiple": True,
    },
    "auth": {},
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
        "gpu": {"resources": {"CPU": 2, "GPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2},
    },
    "head_node_type": "ray.head.default",
    "file_mounts": {},
    "cluster_synced_files": [],
    "file_mounts_sync_continuously": False,
    "rsync_exclude": [],
    "rsync_filter": [],
    "initialization_commands": [],
    "setup_commands": [],
    "head_setup_commands": [],
    "worker_setup_commands": [],
    "head_start_ray_commands": [],
    "worker_start_ray_commands": [],
}
# Each waits for the other, so that both must run at once. The machines that are added are this one under another name.
MEET = "touch /root/met.$1\nwhile ! test -e /root/met.$2; do sleep 0.2; done\necho met on gpu $CUDA_VISIBLE_DEVICES\n"
FILES = {
    "pipelines/one.yaml": "steps:\n  train: {run: sh src/say.sh, resources: {gpus: 1}}\n",
    "pipelines/two.yaml": "steps:\n  a: {run: sh src/meet.sh a b, resources: {gpus: 1}}\n"
    "  b: {run: sh src/meet.sh b a, resources: {gpus: 1}}\n",
    "pipelines/much.yaml": "steps:\n  train: {run: sh src/say.sh much, resources: {gpus: 2}}\n",
    "src/say.sh": "echo gpu $CUDA_VISIBLE_DEVICES\n",
    "src/meet.sh": MEET,
}


@pytest.fixture(scope="module", params=["v2", "v1"])
def version(request: pytest.FixtureRequest) -> str:
    """Which of Ray's two autoscalers."""
    return str(request.param)


@pytest.fixture(scope="module")
def lab(version: str) -> Iterator[ClusterProject]:
    with machines(1) as isolated:
        cluster = RayCluster(isolated, [MachineOffer(cpus=1)])
        isolated[1].write("/root/grows.yaml", json.dumps(GROWS))
        cluster.words[1] = ["--autoscaling-config=/root/grows.yaml"]
        cluster.own[1] = {
            "RAY_FAKE_CLUSTER": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_enable_autoscaler_v2": str(int(version == "v2")),
            "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
        }
        cluster.start_all()
        lab = ClusterProject(cluster)
        lab.project(FILES)
        yield lab


def test_what_no_machine_that_may_be_added_has_is_given_up(lab: ClusterProject, version: str) -> None:
    if version == "v1":  # which does not tell: the step waits until it is stopped
        process = lab.start("run", "much", "--on", "c")
        saying = b""
        while b"its autoscaler is to add 2 gpus (there are none)" not in saying:
            more = os.read(process.stderr.fileno(), 4096)  # type: ignore[union-attr]
            assert more, saying
            saying += more
        (gitml,) = lab[1].processes("gitml\x00run")
        os.kill(gitml, signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        return
    done = lab.do("run", "much", "--on", "c", code=1)
    assert "target c: its autoscaler is to add 2 gpus (there are none)" in done.stderr
    assert "the autoscaler can add none with 1 cpu, 2 gpus" in done.stderr + done.stdout


def test_a_step_waits_for_a_machine_that_is_added_for_it_and_that_is_said(lab: ClusterProject) -> None:
    done = lab.do("run", "one", "--on", "c")
    assert "target c: its autoscaler is to add 1 gpu (there are none)" in done.stderr
    run = json.loads(lab.do("show", "--json").stdout)
    assert [attempt["outcome"] for attempt in step_of(run, "train")["attempts"]] == ["done"]
    assert lab.do("logs", run["run"]).stdout == "gpu 0\n"
    (target,) = json.loads(lab.do("targets", "c", "--json").stdout)
    assert sorted(machine["resources"]["gpus"] for machine in target["machines"]) == [0, 1]


def test_steps_that_wait_while_machines_are_busy_have_another_added(lab: ClusterProject) -> None:
    done = lab.do("run", "two", "--on", "c", "--json")
    assert json.loads(done.stdout)["status"] == "succeeded"
    (target,) = json.loads(lab.do("targets", "c", "--json").stdout)
    assert sorted(machine["resources"]["gpus"] for machine in target["machines"]) == [0, 1, 1]
