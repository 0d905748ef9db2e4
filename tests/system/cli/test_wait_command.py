"""`gitml wait`: a shell script goes on when runs have ended, with how they ended."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.patience import PATIENCE
from tests.system.conftest import Project

# A step that ends as it is asked to once the file `go` is there.
GATE = "params: {code: 0}\nsteps:\n  wait: {run: 'sh src/gate.sh ${{ params.code }}', env: {GO: null}}\n"


@pytest.fixture
def gated(project: Project, tmp_path: Path) -> Iterator[Callable[[int], str]]:
    """Starts a run that ends with a code when the file `go` is there; gives its id."""
    project.write("pipelines/gate.yaml", GATE)
    project.write("src/gate.sh", 'while [ ! -e "$GO" ]; do sleep 0.02; done; exit $1\n')
    project.commit()
    project.env["GO"] = str(tmp_path / "go")

    def start(code: int) -> str:
        return project.gitml("run", "gate", "-S", f"code={code}", "--detach", "-q").out.strip()

    yield start
    (tmp_path / "go").touch()
    for path in (project.root / ".git/gitml/live").iterdir():
        project.gitml("wait", path.name.removesuffix(".done"), code=None)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The exit code of a command that ends by itself, and what it printed."""
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def test_it_waits_for_each_and_exits_as_the_worst_did(
    project: Project, gated: Callable[[int], str], tmp_path: Path
) -> None:
    good, bad = gated(0), gated(3)
    assert project.gitml("wait", code=2).err in {
        f"gitml: which run? {first[:8]}, {second[:8]} are going on\n" for first, second in ((good, bad), (bad, good))
    }
    late = project.gitml("wait", good, bad, "latest~2", "--timeout", "0.2s", code=4)
    assert late.err.splitlines()[-1].startswith(f"gitml: still going on after 0.2s: runs {good[:8]}, {bad[:8]}")
    assert late.out.endswith(" words succeeded\n"), "what has ended is said"
    waiting = [project.start("wait", good), project.start("wait", good, bad, "--json"), project.start("wait", bad)]
    for process, ids in ((waiting[0], good[:8]), (waiting[2], bad[:8])):
        assert process.stderr is not None
        assert process.stderr.readline() == f"waiting for {ids}; Ctrl-C ends the waiting only\n"
    (tmp_path / "go").touch()
    assert ended(waiting[0]) == (0, f"run {good[:8]} gate succeeded\n", "")
    assert ended(waiting[1])[0] == 1
    assert ended(waiting[2])[0] == 1
    over = project.gitml("wait", bad, good, "--json", code=1)
    assert [(one["run"], one["status"]) for one in over.data] == [(bad, "failed"), (good, "succeeded")]
    assert project.gitml("wait", code=2).err.startswith("gitml: which run? none is going on")
    assert project.gitml("wait", good, "ffff0000", code=2).err.startswith("gitml: no run 'ffff0000'")
    assert "is not a time such as" in project.gitml("wait", good, "--timeout", "soon", code=2).err


def test_ctrl_c_ends_the_waiting_only_and_a_cancelled_run_exits_with_130(
    project: Project, gated: Callable[[int], str]
) -> None:
    run = gated(0)
    waiting = project.start("wait", run)
    other = project.start("wait", run)
    for process in (waiting, other):
        assert process.stderr is not None
        assert process.stderr.readline() == f"waiting for {run[:8]}; Ctrl-C ends the waiting only\n"
    waiting.send_signal(signal.SIGINT)
    assert ended(waiting)[0] == 130
    assert project.gitml("wait", run, "--timeout", "0.1s", code=4).out == ""
    project.gitml("cancel", run)
    assert ended(other) == (130, f"run {run[:8]} gate cancelled\n", "")


def test_a_run_whose_gitml_is_killed_has_ended(project: Project, gated: Callable[[int], str]) -> None:
    run = gated(0)
    waiting = project.start("wait", run)
    (going,) = project.gitml("status", "--json").data["running"]
    os.kill(going["pid"], signal.SIGKILL)
    code, out, _ = ended(waiting)
    assert (code, out) == (1, f"run {run[:8]} gate failed\n")
