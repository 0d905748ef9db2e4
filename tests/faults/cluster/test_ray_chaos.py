"""A run goes well, with the same bytes, while whatever serves it on a cluster is killed, stopped and cut off, one thing after another."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.kit.cluster.cluster_project import ClusterProject, cluster_project
from tests.kit.cluster.machines import why_not
from tests.kit.cluster.ray_cluster import MachineOffer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    pytest.mark.cluster,
]

STEPS = 40
MOST = 240.0  # seconds for a run
WORK = """
import hashlib, sys, time
out, number, *inputs = sys.argv[1:]
made = hashlib.sha256(number.encode())
for path in inputs:
    made.update(open(path, "rb").read())
print("begun", flush=True)
time.sleep(int(number) % 7 * 0.15)
print("half", flush=True)
open(out, "wb").write(made.digest() * 4096 * (1 + int(number) % 5 * 8))
"""


def pipeline() -> str:
    """Steps that need two of those before them; what comes and goes, retries bear."""
    lines = ["params: {round: 0}", "steps:"]
    for number in range(STEPS):
        before = sorted({number - 1 - number % 5, number - 4}) if number > 5 else ()
        inputs = " ".join(f"${{{{ steps.s{other}.outputs.o }}}}" for other in before)
        lines.append(f"  s{number}:\n    run: python3 src/work.py ${{{{ outputs.o }}}} {number} {inputs}")
        lines.append("    outputs: {o: file}\n    retries: 8\n    env: {ROUND: '${{ params.round }}'}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def lab() -> Iterator[ClusterProject]:
    with cluster_project(MachineOffer(cpus=1), MachineOffer(cpus=3), MachineOffer(cpus=3)) as lab:
        lab.project({"pipelines/p.yaml": pipeline(), "src/work.py": WORK})
        yield lab


class Chaos:
    """What goes wrong; `struck` counts what did."""

    def __init__(self, lab: ClusterProject, seed: int) -> None:
        self.lab = lab
        self.random = random.Random(seed)
        self.struck = 0

    def strike(self) -> None:
        """One thing goes wrong on one of the machines that work."""
        number, what = self.random.choice((2, 3)), self.random.random()
        if what < 0.35:
            self.kill(number, "ray::gitml run")
        elif what < 0.5:
            self.kill(number, "gitml.cluster.worker.hosted_executor")
        elif what < 0.6:
            self.kill(number, "ray::BlobServer")
        elif what < 0.65:
            self.kill(1, "ray::MessageHub")
        elif what < 0.8:
            self.stop(number)
        else:
            self.cut(number, self.random.uniform(0.3, 2.5) if what < 0.95 else 9.0)

    def kill(self, number: int, marker: str) -> None:
        """Kills one of the processes with that in their command line."""
        pids = self.lab[number].processes(marker)
        if pids:
            self.struck += 1
            with suppress(ProcessLookupError):
                os.kill(self.random.choice(pids), signal.SIGKILL)

    def stop(self, number: int) -> None:
        """Has a process that performs attempts stand still for a while."""
        pids = self.lab[number].processes("ray::gitml run")
        if pids:
            self.struck += 1
            pid = self.random.choice(pids)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                time.sleep(self.random.uniform(0.2, 2.0))
                os.kill(pid, signal.SIGCONT)

    def cut(self, number: int, seconds: float) -> None:
        """Takes a machine off the network for so long."""
        self.struck += 1
        self.lab.cluster.lab.cut(number)
        time.sleep(seconds)
        self.lab.cluster.lab.heal(number)


def digests(out: bytes | str) -> dict[str, str]:
    """What each step of a run made."""
    return {step["name"]: step["outputs"]["o"]["digest"] for step in json.loads(out)["steps"]}


def disturbed(chaos: Chaos, round: int) -> bytes:
    """A run to its end, something going wrong every now and then for a while; what it printed."""
    lab = chaos.lab
    words = ("-m", "gitml", "run", "--json", "--on", "c", "-S", f"round={round}")
    process = lab[1].start(sys.executable, *words, cwd=lab.place, env=lab.environ())
    begun = time.monotonic()
    while True:
        try:
            out, err = process.communicate(timeout=chaos.random.uniform(0.5, 1.8))
            break
        except subprocess.TimeoutExpired:
            assert time.monotonic() - begun < MOST, "the run does not end"
            if time.monotonic() - begun < 40:
                chaos.strike()
    assert process.returncode == 0, err.decode()
    return bytes(out)


def test_a_run_goes_well_whatever_is_killed_stopped_and_cut_off(lab: ClusterProject) -> None:
    calm = digests(lab.do("run", "--json", "--on", "c", "-S", "round=0").stdout)
    chaos = Chaos(lab, 7)
    lost = 0
    for round in (1, 2, 3):
        out = disturbed(chaos, round)
        assert digests(out) == calm
        lost += sum(tried["outcome"] != "done" for step in json.loads(out)["steps"] for tried in step["attempts"])
    assert chaos.struck >= 10
    assert lost >= 1
    assert [lab[number].processes("src/work.py") for number in (2, 3)] == [[], []]
    lab.do("fsck", "--deep")
