"""The two forms of the platform: what the portable one does with POSIX alone, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitml.layout import PLATFORM_VARIABLE
from gitml.platform import linux
from gitml.platform.interface import Platform
from tests.kit.patience import PATIENCE
from tests.kit.projects.project import Project

SLEEPERS = "sleep 1000 & echo $$; exec sleep 1000"


def group_of_sleepers() -> subprocess.Popen[str]:
    started = subprocess.Popen(["sh", "-c", SLEEPERS], start_new_session=True, text=True, stdout=subprocess.PIPE)
    assert started.stdout is not None
    assert int(started.stdout.readline()) == started.pid
    return started


def is_alive(group: int) -> bool:
    """Whether a process of the group runs; one that ended and is not reaped yet does not."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                words = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(words[2]) == group and words[0] not in "ZX":
                return True
    return False


def wait_until_dead(group: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while is_alive(group):
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("form", [linux.form, Platform()])
def test_a_child_is_seen_to_end_and_is_reaped_once(form: Platform) -> None:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "sleep 0.05; exit 3"], {"PATH": "/usr/bin:/bin"})
    child = form.watch_child(pid)
    try:
        assert not child.ended()
        deadline = time.monotonic() + PATIENCE
        while not child.ended():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        status, usage = child.wait()
    finally:
        child.close()
    assert (os.waitstatus_to_exitcode(status), usage.ru_maxrss > 0) == (3, True)


def test_the_processes_of_a_step_are_ended_by_their_group() -> None:
    started = group_of_sleepers()
    assert is_alive(started.pid)
    Platform().end_all(groups=(started.pid,))
    wait_until_dead(started.pid)
    started.communicate()


def test_what_a_killed_worker_left_is_ended_by_the_group_that_its_sandbox_names(tmp_path: Path) -> None:
    started = group_of_sleepers()
    Platform().note_group(str(tmp_path), started.pid)
    assert Platform().end_strays(str(tmp_path)) == 1
    wait_until_dead(started.pid)
    started.communicate()
    assert Platform().end_strays(str(tmp_path / "missing")) == 0


def test_the_portable_form_runs_steps_names_what_it_lacks_and_refuses_a_strict_one(tmp_path: Path) -> None:
    text = "steps:\n  a: {shell: sh, run: 'echo hi > ${{ outputs.o }}', outputs: {o: file}}\n"
    strict = "sandbox: strict\nsteps:\n  b: {run: 'true'}\n"
    project = Project(tmp_path / "r", {"pipelines/p.yaml": text, "pipelines/strict.yaml": strict})

    def gitml(*words: str) -> tuple[int, str]:
        env = {**os.environ, PLATFORM_VARIABLE: "posix", "HOME": str(tmp_path)}
        top = str(Path(__file__).parents[3])
        ran = subprocess.run(
            [sys.executable, "-P", "-m", "gitml", *words],
            cwd=project.repo.path,
            env={**env, "PYTHONPATH": top},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return ran.returncode, " ".join((ran.stdout + ran.stderr).split())

    assert gitml("run", "p")[0] == 0
    code, refused = gitml("run", "strict")
    assert code != 0
    assert "sandbox: strict can't be kept here: this system has neither Landlock nor namespaces" in refused
    found = gitml("doctor")[1]
    assert [lack for lack in Platform.LACKS if lack not in found] == []
