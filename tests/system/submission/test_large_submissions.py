"""Runs that take more along than Ray's jobs carry, from a machine that only reaches the cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.cluster.cluster_project import until
from tests.kit.cluster.machine_project import MachineProject
from tests.kit.cluster.machines import machines, why_not
from tests.kit.cluster.ray_cluster import TOKEN, TOKEN_FILE, MachineOffer, RayCluster

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=f"no machines: {why_not()}"),
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.timeout(600),
]

MORE = 560 << 20  # bytes; Ray takes 500 MiB in one message
FILES = {
    "gitml.yaml": f'targets: {{big: {{ray: "10.77.0.1:6379", token: {TOKEN_FILE}}}}}\n',
    "pipelines/p.yaml": "inputs: {raw: data/raw}\nsteps:\n"
    "  count: {run: 'sh src/count.sh ${{ inputs.raw }} ${{ outputs.o }}', outputs: {o: file}}\n",
    "src/count.sh": 'wc -c < "$1" > "$2"\n',
}
POINTED = """
import hashlib, os, sys
size = int(sys.argv[1])
block = bytes(range(256)) * 4096
hasher = hashlib.sha256()
os.makedirs("data", exist_ok=True)
with open(".git/whole", "wb") as file:
    for _ in range(size // len(block)):
        hasher.update(block)
        file.write(block)
name = hasher.hexdigest()
place = f".git/lfs/objects/{name[:2]}/{name[2:4]}"
os.makedirs(place)
os.rename(".git/whole", f"{place}/{name}")
with open("data/raw", "w") as file:
    file.write(f"version https://git-lfs.github.com/spec/v1\\noid sha256:{name}\\nsize {size}\\n")
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """One machine with Ray; another beside it, from which runs are submitted."""
    with machines(2) as lab:
        cluster = RayCluster(lab, [MachineOffer()], dashboard=True)
        cluster.start_all()
        lab[2].write(TOKEN_FILE, TOKEN, 0o600)
        ask = "import socket; socket.create_connection(('10.77.0.1', 10001), 1)"
        until("Ray's client can enter", lambda: lab[2].do("python", "-c", ask, code=None).returncode == 0, 90)
        yield cluster


def test_what_ray_does_not_carry_is_sent_to_the_heads_disk_and_nothing_of_it_stays(cluster: RayCluster) -> None:
    project = MachineProject(cluster.lab[2], FILES)
    project.machine.do("python", "-c", POINTED, str(MORE), cwd=project.path)
    project.commit({})
    run = project.gitml("submit", "--on", "big").out.strip()
    (home,) = project.gitml("collect", run, "--wait", "--json").json["collected"]
    assert (home["status"], home["left"]) == ("succeeded", 0)
    project.gitml("checkout", f"{run}:count.o", "made")
    assert project.machine.do("cat", "made", cwd=project.path).stdout.strip() == str(MORE)
    assert cluster.lab[1].do("sh", "-c", "ls /root/node1/.cache/gitml/submitted").stdout == ""
    held = "find /tmp/ray/session_latest/runtime_resources/working_dir_files -type f -size +1M"
    assert cluster.lab[1].do("sh", "-c", held).stdout == ""
