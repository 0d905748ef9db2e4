"""``ray: local``: a Ray of one's own that comes with a run and goes with it, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.kit.cluster.machine_project import MachineProject
from tests.kit.cluster.machines import machines, why_not
from tests.kit.patience import PATIENCE

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=f"no machines: {why_not()}"),
    pytest.mark.slow,
    pytest.mark.cluster,
]

STEP = "steps:\n  a:\n    run: {}\n    resources: {{gpus: 1, custom: {{licence: 1}}, labels: {{zone: x}}}}\n"
FILES = {
    "gitml.yaml": "targets:\n  own: {ray: local, cpus: 2, gpus: 2, custom: {licence: 1}, labels: {zone: x}}\n",
    "pipelines/show.yaml": STEP.format("sh show.sh"),
    "pipelines/wait.yaml": STEP.format("sh wait.sh"),
    "show.sh": 'echo "gpus $CUDA_VISIBLE_DEVICES"\nls -d /tmp/gitml-ray-0/*\nls -l /tmp/gitml-ray-0/*/token\n',
    "wait.sh": "sleep 654.5\n",
}


@pytest.fixture(scope="module")
def project() -> Iterator[MachineProject]:
    with machines(1) as lab:
        yield MachineProject(lab[1], FILES)


def left(project: MachineProject) -> list[int]:
    """What is left of any Ray: processes, and folders as so many zeros."""
    folders = project.machine.do("sh", "-c", "ls /tmp/gitml-ray-0 2>/dev/null || true").stdout.split()
    return [*project.machine.processes("gitml-ray-0"), *project.machine.processes("654.5"), *[0 for _ in folders]]


def begun(project: MachineProject) -> subprocess.Popen[bytes]:
    """A run whose step goes on."""
    going = project.machine.start(
        "python", "-m", "gitml", "run", "wait", "--on", "own", env=project.env, cwd=project.path
    )
    end = time.monotonic() + 90
    while not project.machine.processes("654.5"):
        assert time.monotonic() < end
        assert going.poll() is None, going.communicate()
        time.sleep(0.2)
    return going


def gone(project: MachineProject, seconds: float) -> None:
    end = time.monotonic() + seconds
    while left(project):
        assert time.monotonic() < end, project.machine.do("ps", "axf", "-o", "pid,ppid,args").stdout
        time.sleep(0.2)


def test_it_has_what_the_target_says_and_ends_with_the_run(project: MachineProject) -> None:
    run = project.gitml("run", "show", "--on", "own", "--json").json
    lines = project.gitml("logs", run["run"]).out.splitlines()
    assert lines[0] in ("gpus 0", "gpus 1")
    assert len([line for line in lines if line.startswith("/tmp/gitml-ray-0/")]) == 1
    assert lines[-1].startswith("-rw------- 1 root")
    gone(project, 1)


def test_what_it_can_never_give_is_refused(project: MachineProject) -> None:
    project.commit({"pipelines/greedy.yaml": "steps:\n  a: {run: sh show.sh again, resources: {gpus: 3}}\n"})
    error = project.gitml("run", "greedy", "--on", "own", "--json", code=2).error
    assert "3 gpus (the most on one machine is 2)" in error["message"]
    gone(project, 1)


def test_nothing_of_it_survives_a_killed_run(project: MachineProject) -> None:
    going = begun(project)
    os.kill(project.machine.processes("gitml\0run\0wait")[-1], signal.SIGKILL)
    gone(project, 10)
    going.communicate()


def test_what_survives_when_all_that_looks_after_it_is_killed_is_ended_by_the_next_start(
    project: MachineProject,
) -> None:
    going = begun(project)
    wardens = list(project.machine.processes("gitml.cluster.connect.local_cluster"))
    assert wardens
    for pid in [*wardens, *project.machine.processes("gitml\0run\0wait")]:
        os.kill(pid, signal.SIGKILL)
    going.communicate()
    folder = project.machine.do("sh", "-c", "echo /tmp/gitml-ray-0/*").stdout.strip()
    stray = project.machine.start(
        "setsid", "sleep", "655.5", env={"TMPDIR": f"{folder}/t"}
    )  # as a worker's child would be
    while not project.machine.processes("655.5"):
        time.sleep(0.1)
    assert left(project)
    project.gitml("run", "show", "--on", "own", "--force")
    stray.communicate(timeout=PATIENCE)
    assert not project.machine.processes("655.5")
    gone(project, 10)
