"""RayCluster: a real Ray on isolated machines, with labels, custom resources, logical GPUs and a token, and drivers to run on them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.kit.cluster.machines import Machine, Machines, machines
from tests.kit.patience import PATIENCE

PORT = 6379
TOKEN = "a-token-of-the-tests-0123456789abcdef"
TOKEN_FILE = "/etc/ray.token"
# What makes Ray notice within seconds that a machine is gone; see gitml.cluster.connect.connection.
QUICK: Mapping[str, str] = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
}


class MachineOffer(NamedTuple):
    """What a machine offers."""

    cpus: int = 2
    gpus: int = 0
    labels: Mapping[str, str] = {}
    custom: Mapping[str, float] = {}


class RayCluster:
    """Ray on machines 1 (the head) to n of a lab; `token` None: without authentication."""

    def __init__(
        self,
        lab: Machines,
        offers: Sequence[MachineOffer],
        token: str | None = TOKEN,
        *,
        dashboard: bool = False,
        env: Mapping[str, str] = {},
    ) -> None:
        self.lab = lab
        self.env = env
        self.own: dict[int, Mapping[str, str]] = {}  # of Ray on single machines
        self.words: dict[int, Sequence[str]] = {}  # what `ray start` is told on single machines beside
        self.offers = dict(enumerate(offers, 1))
        self.token = token
        self.dashboard = dashboard
        self.nodes: dict[int, subprocess.Popen[bytes]] = {}
        self.address = f"{lab[1].address}:{PORT}"

    def environ(self) -> dict[str, str]:
        """What programs on the machines need to be let in."""
        if self.token is None:
            return {"RAY_AUTH_MODE": "disabled"}
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": TOKEN_FILE}

    def start(self, number: int) -> None:
        """Starts Ray on one machine, and does not wait."""
        machine, has = self.lab[number], self.offers[number]
        if self.token is not None:
            machine.write(TOKEN_FILE, self.token, 0o600)
        words = ["ray", "start", "--block", "--disable-usage-stats", f"--node-ip-address={machine.address}"]
        words += [f"--num-cpus={has.cpus}", f"--num-gpus={has.gpus}", "--object-store-memory=100000000"]
        words += ["--temp-dir=/tmp/ray", "--min-worker-port=0", "--max-worker-port=0"]
        if has.labels:
            words.append("--labels=" + ",".join(f"{name}={value}" for name, value in has.labels.items()))
        if has.custom:
            words.append("--resources=" + json.dumps(dict(has.custom)))
        if number == 1:
            words += ["--head", f"--port={PORT}", f"--include-dashboard={str(self.dashboard).lower()}"]
            words += ["--ray-client-server-port=10001"] + (["--dashboard-host=0.0.0.0"] if self.dashboard else [])
        else:
            words.append(f"--address={self.address}")
        words += self.words.get(number, ())
        log = Path(f"{machine.root}/root/ray.log")
        self.nodes[number] = machine.start(
            *words, env={**QUICK, **self.environ(), **self.env, **self.own.get(number, {})}, log=log
        )

    def end(self, number: int) -> None:
        """Kills all that runs on a machine, Ray and what is left of it; the machine stays."""
        machine = self.lab[number]
        for pid in machine.processes(""):
            if pid != machine.pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        node = self.nodes.pop(number, None)
        if node is not None:
            node.wait(PATIENCE)

    def start_all(self) -> None:
        """Starts the head, then the others; returns when all are there. Nothing of them may run."""
        self.start(1)
        self._until("nothing listens", lambda: self._listens(1))
        for number in list(self.offers)[1:]:
            self.start(number)
        self._until("machines are missing", lambda: self.alive() == len(self.offers))

    def alive(self) -> int:
        """How many machines the head has."""
        count = "from ray._raylet import GcsClient; import sys; from ray.core.generated.gcs_pb2 import GcsNodeInfo; "
        count += "print(sum(n.state == 0 for n in GcsClient(address=sys.argv[1]).get_all_node_info().values()))"
        done = self.lab[1].do("python", "-c", count, self.address, env={**self.environ(), **self.env}, code=None)
        return int(done.stdout or 0) if done.returncode == 0 else 0

    def on(self, number: int) -> Machine:
        """A machine of it."""
        return self.lab[number]

    def _listens(self, number: int) -> bool:
        ask = f"import socket; socket.create_connection(('{self.lab[number].address}', {PORT}), 1)"
        return self.lab[number].do("python", "-c", ask, code=None).returncode == 0

    def _until(self, what: str, holds: object, seconds: float = 90.0) -> None:
        end = time.monotonic() + seconds
        while not holds():  # type: ignore[operator]
            for number, process in self.nodes.items():
                if process.poll() is not None:
                    said = Path(f"{self.lab[number].root}/root/ray.log").read_text()
                    raise AssertionError(f"Ray ended on node{number}: {said[-3000:]}")
            assert time.monotonic() < end, what
            time.sleep(0.3)


@contextmanager
def ray_cluster(
    *offers: MachineOffer, token: str | None = TOKEN, dashboard: bool = False, shared: Sequence[str] = ()
) -> Iterator[RayCluster]:
    """A cluster with a machine for each of `offers`, ended with the block."""
    with machines(len(offers), shared) as lab:
        cluster = RayCluster(lab, offers, token, dashboard=dashboard)
        cluster.start_all()
        yield cluster
