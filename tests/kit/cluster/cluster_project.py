"""RayLab: a repository on the first machine of a cluster, and `gitml` driven there, its steps running on the other machines."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kit.cluster.machines import Machine
from tests.kit.cluster.ray_cluster import TOKEN_FILE, MachineOffer, RayCluster, ray_cluster
from tests.kit.patience import PATIENCE

WORKER = ".cache/gitml/worker"


class ClusterProject:
    """`cluster` with a project in the home of its first machine."""

    def __init__(self, cluster: RayCluster) -> None:
        self.cluster = cluster
        self.number = 0
        self.place = ""

    def __getitem__(self, number: int) -> Machine:
        return self.cluster.on(number)

    def project(self, files: Mapping[str, str]) -> None:
        """Begins a repository of its own, with the cluster as the target ``c``."""
        self.number += 1
        self.place = f"{self[1].home}/p{self.number}"
        target = f"targets: {{c: {{ray: '{self.cluster.address}', token: {TOKEN_FILE}}}}}\n"
        for path, content in {"gitml.yaml": target, **files}.items():
            self[1].write(f"{self.place}/{path}", content)
        script = "git init -q -b main . && git add -A && git -c user.name=a -c user.email=a@b commit -qm begin"
        self[1].do("sh", "-c", script, cwd=self.place)

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """``gitml …`` on the first machine; goes on."""
        return self[1].start(sys.executable, "-m", "gitml", *args, cwd=self.place, env=self.environ())

    def do(self, *args: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """``gitml …`` to its end."""
        return self[1].do(sys.executable, "-m", "gitml", *args, cwd=self.place, env=self.environ(), code=code)

    def run(self, *args: str, code: int | None = 0) -> dict[str, Any]:
        """``gitml run --json --on c``."""
        done = self.do("run", "--json", "--on", "c", *args, code=code)
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def environ(self) -> dict[str, str]:
        """Who commits, and what the repository may do: it is a clone in some tests."""
        names = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return {**names, "GITML_TRUST": "places,run", "XDG_CACHE_HOME": f"{self[1].home}/drivers-cache"}

    def worker(self, number: int) -> Path:
        """The folder of contents of a machine."""
        return Path(f"{self[number].root}{self[number].home}/{WORKER}")


@contextmanager
def cluster_project(*offers: MachineOffer) -> Iterator[ClusterProject]:
    """A lab with a machine for each of `offers`."""
    with ray_cluster(*offers) as cluster:
        yield ClusterProject(cluster)


def step_of(run: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A step of what ``run --json`` printed."""
    return next(step for step in run["steps"] if step["name"] == name)


def until(what: str, holds: Any, seconds: float = PATIENCE) -> None:
    """Waits for something to come true."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.2)
