"""Steps on real separate machines that share no disk: what goes where, and what becomes of a run when parts of the cluster fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.cluster.cluster_project import ClusterProject, cluster_project, step_of, until
from tests.kit.cluster.machines import why_not
from tests.kit.cluster.ray_cluster import MachineOffer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    pytest.mark.cluster,
]

MIB = 2**20
HEAD = MachineOffer(cpus=1)


@pytest.fixture(scope="module")
def lab() -> Iterator[ClusterProject]:
    with cluster_project(
        HEAD,
        MachineOffer(cpus=2, gpus=1, labels={"zone": "a"}),
        MachineOffer(cpus=2, labels={"zone": "b"}, custom={"licence": 1}),
    ) as lab:
        yield lab


MAKE = """
import os, socket, sys
os.makedirs(sys.argv[1] + "/sub")
with open(sys.argv[1] + "/sub/big", "wb") as file:
    file.write(bytes(range(256)) * 4096 * 24)
open(sys.argv[1] + "/small", "w").write("x")
print("on", socket.gethostname(), os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("OMP_NUM_THREADS"))
"""
USE = """
import json, os, socket, sys
print("on", socket.gethostname())
json.dump({"size": os.path.getsize(sys.argv[1] + "/sub/big")}, open(sys.argv[2], "w"))
"""
TWO = """
steps:
  make:
    run: python3 src/make.py ${{ outputs.o }}
    outputs: {o: directory}
    resources: {labels: {zone: a}, gpus: 0.5}
  use:
    run: python3 src/use.py ${{ steps.make.outputs.o }} ${{ outputs.m }}
    outputs: {m: metrics}
    resources: {labels: {zone: b}, custom: {licence: 1}}
"""


def attempts(run: dict[str, Any], name: str) -> list[tuple[str, str]]:
    """(machine, outcome) of each try."""
    return [(a.get("machine", ""), a["outcome"]) for a in step_of(run, name)["attempts"]]


def test_what_one_machine_makes_another_uses_and_all_of_it_comes_home(lab: ClusterProject) -> None:
    lab.project({"pipelines/p.yaml": TWO, "src/make.py": MAKE, "src/use.py": USE})
    run = lab.run()
    assert attempts(run, "make") == [("node2", "done")]
    assert attempts(run, "use") == [("node3", "done")]
    assert step_of(run, "use")["metrics"] == {"size": 24 * MIB}
    store = f"{lab[1].root}{lab.place}/.git/gitml/objects"
    digest = step_of(run, "make")["outputs"]["o"]["digest"].removeprefix("sha256:")
    assert os.path.exists(f"{store}/{digest[:2]}/{digest[2:]}")
    lab.do("fsck")
    for number in (2, 3):
        assert (lab.worker(number) / "objects" / digest[:2] / digest[2:]).exists(), "kept on both machines for the next"
    assert not lab.worker(1).exists(), "nothing ran on the driver's machine"
    assert "on node2 0 None" in lab.do("logs", run["run"], "make").stdout
    again = lab[1].do("python", "-X", "importtime", "-m", "gitml", "run", "--on", "c", cwd=lab.place, env=lab.environ())
    assert "2 reused" in again.stderr + again.stdout
    assert "ray._private" not in again.stderr, "a run from cache does not load Ray"


def test_a_step_runs_where_its_large_input_is(lab: ClusterProject) -> None:
    many = "".join(
        f"  use{n}:\n    run: python3 src/use.py ${{{{ steps.make.outputs.o }}}} ${{{{ outputs.m }}}} {n}\n"
        "    outputs: {m: metrics}\n"
        for n in range(3)
    )
    lab.project({"pipelines/p.yaml": TWO.partition("  use:")[0] + many, "src/make.py": MAKE, "src/use.py": USE})
    run = lab.run("-j", "1")
    places = [attempts(run, f"use{n}")[0][0] for n in range(3)]
    assert places.count("node2") >= 2, places


def test_local_and_cluster_steps_share_a_run(lab: ClusterProject) -> None:
    text = TWO.replace(
        "    resources: {labels: {zone: a}, gpus: 0.5}", "    target: c\n    resources: {labels: {zone: a}}"
    )
    text = text.replace("    resources: {labels: {zone: b}, custom: {licence: 1}}\n", "")
    lab.project({"pipelines/p.yaml": text, "src/make.py": MAKE, "src/use.py": USE})
    run = json.loads(lab.do("run", "--json").stdout)
    assert attempts(run, "make") == [("node2", "done")]
    assert attempts(run, "use") == [("", "done")]
    assert step_of(run, "use")["metrics"] == {"size": 24 * MIB}


def test_a_wish_that_no_machine_can_fulfil_is_refused_at_once(lab: ClusterProject) -> None:
    lab.project({"pipelines/p.yaml": TWO.replace("zone: a", "zone: moon"), "src/make.py": MAKE, "src/use.py": USE})
    lab.do("plan", "--on", "c", code=None)  # asks what is installed
    done = lab.do("run", "--on", "c", code=2)
    assert "zone=moon" in done.stderr
    assert "a, b" in done.stderr


def test_a_machine_with_another_program_is_passed_over(lab: ClusterProject) -> None:
    for number in (1, 2, 3):
        text = "#!/bin/sh\necho $(hostname) > $1\n" + ("# other\n" if number == 3 else "")
        lab[number].write("/usr/local/bin/mark", text, 0o755)
    steps = "".join(f"  s{n}: {{run: 'mark ${{{{ outputs.o }}}} {n}', outputs: {{o: file}}}}\n" for n in range(4))
    lab.project({"pipelines/p.yaml": "steps:\n" + steps})
    run = lab.run()
    places = {attempts(run, f"s{n}")[0][0] for n in range(4)}
    assert places <= {"node1", "node2"}, "node3 has another `mark` than the key says"


def test_a_full_disk_on_a_worker_is_told_or_another_machine_takes_the_step(lab: ClusterProject) -> None:
    lab[3].do("rm", "-rf", f"{lab[3].home}/{'.cache/gitml/worker'}")
    lab[3].small_disk(f"{lab[3].home}/.cache/gitml/worker", "3m")
    try:
        text = TWO.replace("{zone: a}, gpus: 0.5", "{zone: b}")
        lab.project({"pipelines/p.yaml": text, "src/make.py": MAKE, "src/use.py": USE})
        done = lab.do("run", "--on", "c", code=5)
        assert "space" in done.stderr + done.stdout, done
    finally:
        lab[3].do("umount", "-l", f"{lab[3].home}/.cache/gitml/worker")


SLEEPER = """
import os, socket, subprocess, sys, time
if os.path.exists("/root/hold"):
    subprocess.Popen(["setsid", "sleep", "4321"])
    print("held", flush=True)
    time.sleep(600)
open(sys.argv[1], "w").write("made")
"""
HOLD = """
steps:
  quick: {run: "sh -c 'echo q > $0' ${{ outputs.o }}", outputs: {o: file}}
  long:
    run: python3 src/sleeper.py ${{ outputs.o }}
    after: [quick]
    outputs: {o: file}
    resources: {labels: {zone: "in(a,b)"}}
"""


def held(lab: ClusterProject) -> int:
    """The machine that the sleeping step is on, once it is."""
    found: list[int] = []

    def look() -> bool:
        found[:] = [number for number in (2, 3) if lab[number].processes("sleep\x004321")]
        return bool(found)

    until("the step sleeps", look, 90)
    return found[0]


def hold(lab: ClusterProject, *numbers: int) -> None:
    for number in numbers:
        lab[number].write("/root/hold", "")


def release(lab: ClusterProject, *numbers: int) -> None:
    for number in numbers:
        lab[number].do("rm", "-f", "/root/hold")


def ended(process: subprocess.Popen[bytes], seconds: float = 120) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out.decode(), err.decode()


def begin(lab: ClusterProject, *more: str) -> subprocess.Popen[bytes]:
    lab.project({"pipelines/p.yaml": HOLD, "src/sleeper.py": SLEEPER})
    hold(lab, 2, 3)
    return lab.start("run", "--json", "--on", "c", *more)


def test_a_killed_worker_process_is_a_lost_attempt_and_the_step_is_made_again(lab: ClusterProject) -> None:
    process = begin(lab)
    number = held(lab)
    release(lab, 2, 3)
    for pid in lab[number].processes("ray::gitml run"):
        os.kill(pid, signal.SIGKILL)
    code, out, err = ended(process)
    assert code == 0, err
    run = json.loads(out)
    assert [outcome for _, outcome in attempts(run, "long")] == ["lost", "done"]
    assert "worker process died" in step_of(run, "long")["attempts"][0]["error"]
    until("no process of it is left", lambda: not lab[number].processes("sleep\x004321"), 10)


def test_interrupting_once_ends_the_step_and_records_it(lab: ClusterProject) -> None:
    process = begin(lab)
    number = held(lab)
    (gitml,) = [pid for pid in lab[1].processes("gitml\x00run") if b"nsenter" not in _command(pid)][:1]
    os.kill(gitml, signal.SIGINT)
    code, out, err = ended(process)
    assert code == 130, err
    assert step_of(json.loads(out), "long")["outcome"] == "cancelled"
    assert not lab[number].processes("sleep\x004321")


def test_no_step_outlives_a_killed_driver(lab: ClusterProject) -> None:
    process = begin(lab)
    number = held(lab)
    for pid in lab[1].processes("gitml\x00run"):
        os.kill(pid, signal.SIGKILL)
    begun = time.monotonic()
    ended(process)
    until("the step ends", lambda: not lab[number].processes("sleep\x004321"), 10)
    assert time.monotonic() - begun < 10
    release(lab, 2, 3)
    run = lab.run()
    assert step_of(run, "quick")["outcome"] == "reused", "what was finished is kept"
    assert step_of(run, "long")["outcome"] == "executed"


def _command(pid: int) -> bytes:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()
