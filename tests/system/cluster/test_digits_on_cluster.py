"""examples/digits on a cluster of separate machines makes the bytes that it makes here."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.cluster.machine_project import MachineProject
from tests.kit.cluster.machines import machines, why_not
from tests.kit.cluster.ray_cluster import TOKEN_FILE, MachineOffer, RayCluster
from tests.system.engine.test_example_digits import CACHE, DIGITS, STEPS, TRAINED, Project

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=f"no machines: {why_not()}"),
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.timeout(900),
]

TAGGED = (
    '    resources: {gpus: 0.5, labels: {accelerator: h100}}\n    outputs:\n      model: {type: file, path: "models/'
)


@pytest.fixture
def fetched() -> Iterator[Path]:
    """Where uv on the machines, which have no way out and a /tmp of their own, finds what uv here has fetched."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        yield Path(place, "uv")


def test_the_example_runs_unchanged_on_machines_with_gpus_and_makes_the_same_bytes(
    tmp_path: Path, fetched: Path
) -> None:
    here = Project(DIGITS, tmp_path / "digits").run()
    shutil.copytree(os.environ.get("UV_CACHE_DIR") or CACHE / "uv", fetched, symlinks=True)
    offline = {"UV_CACHE_DIR": str(fetched), "UV_OFFLINE": "1"}
    files = {
        str(path.relative_to(DIGITS)): path.read_text()
        for path in DIGITS.rglob("*")
        if path.is_file() and path.suffix in (".py", ".yaml", ".txt", ".in", ".csv")
    }
    name = "pipelines/digits.yaml"
    tagged = files[name].replace('    outputs:\n      model: {type: file, path: "models/', TAGGED, 1)
    assert tagged != files[name]
    with machines(2) as lab:
        cluster = RayCluster(lab, [MachineOffer(), MachineOffer(gpus=1, labels={"accelerator": "h100"})], env=offline)
        cluster.start_all()
        target = f'targets:\n  big: {{ray: "10.77.0.1:6379", token: {TOKEN_FILE}}}\n'
        far = MachineProject(lab[1], {**files, name: tagged, "gitml.yaml": files["gitml.yaml"] + target}, offline)
        told = far.gitml("run", "--on", "big", "--json")
        there = told.json
        assert there["status"] == "succeeded", told.err
        outputs = {
            run["run"]: {
                step["name"]: {port: made["digest"] for port, made in step["outputs"].items()} for step in run["steps"]
            }
            for run in (here, there)
        }
        assert list(outputs[there["run"]]) == STEPS
        assert outputs[here["run"]] == outputs[there["run"]]
        ran_on = {step["name"]: step["attempts"][0]["machine"] for step in there["steps"]}
        assert {ran_on[name] for name in TRAINED} == {"node2"}
        again = far.gitml("run", "--on", "big", "--json").json
        assert {step["outcome"] for step in again["steps"]} == {"reused"}
