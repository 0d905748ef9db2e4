"""What is sure to keep a step from starting blocks the run before anything ran, and what may still come does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.kit.projects.command_line import Project

FIRST = "steps:\n  first:\n    run: touch {marker}\n  late:\n    after: [first]\n    retries: 2\n"


def project_with(path: Path, late: str, files: Mapping[str, str] = {}, marker: str = "") -> Project:
    """A pipeline whose step `late` is as said, after one that leaves a marker."""
    text = FIRST.format(marker=marker or path / "marker") + "".join(f"    {line}\n" for line in late.split("\n"))
    return Project(path / "p", {"pipelines/p.yaml": text, **files})


SCRIPTS = {"here.py": "print('hi')\n", "here.sh": "#!/bin/sh\necho hi\n", "sub/x.txt": "x"}
BLOCKED: dict[str, tuple[str, str]] = {
    "an unset variable": ("run: env\nenv: {MY_TOKEN: }", "the environment variable MY_TOKEN, which is not set here"),
    "two of them": ("run: env\nenv: {MY_TOKEN: , OTHER: }", "the environment variables MY_TOKEN, OTHER, which are not"),
    "a program that is not installed": ("run: no-such-program x", "command not found: no-such-program"),
    "one by its full path": ("run: /opt/no/such x", "command not found: /opt/no/such"),
    "one that a PATH of its own lacks": ("run: sh here.sh\nenv: {PATH: /nowhere}", "command not found: sh"),
    "a shell that is not there": ("shell: bash\nrun: echo hi\nenv: {PATH: /nowhere}", "command not found: bash"),
    "a script that is in no commit": ("run: python3 lost.py", "lost.py is not in the commit"),
    "one behind options": ("run: python3 -u -B lost.py", "lost.py is not in the commit"),
    "one of a shell": ("run: sh sub/lost.sh a b", "sub/lost.sh is not in the commit"),
    "one elsewhere on the machine": ("run: python3 /nowhere/lost.py", "no such file on this machine: /nowhere/lost.py"),
    "a program of the commit that is in none": ("run: ./lost.sh", "command not found: ./lost.sh is not in the commit"),
    "a folder as a program": ("run: ./sub", "can't run ./sub: it is a directory"),
    "a script that may not be executed": ("run: ./here.sh", "not executable: ./here.sh"),
    "resources nobody has": ("run: echo hi\nresources: {cpus: 9999}", "it asks for 9999"),
    "an environment without a lock": ("run: echo hi\nenvironment: loose.txt", "not pinned"),
    "an environment that is not there": ("run: echo hi\nenvironment: lost.txt", "lost.txt' is not in the commit"),
}


@pytest.mark.needs_linux("namespaces of networks")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
@pytest.mark.parametrize("network", ["none", "loopback"])
def test_a_network_that_this_machine_can_not_keep_blocks_the_run_with_a_hint(tmp_path: Path, network: str) -> None:
    """A user namespace in which no network namespace may be made stands for the machine."""
    project = project_with(tmp_path, f"run: echo hi\nnetwork: {network}")
    without = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$0" "$@"'
    call = ("unshare", "--user", "--map-root-user", "sh", "-c", without, sys.executable, "-m", "gitml")

    def gitml(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*call, *words], cwd=project.path, env=project.env, capture_output=True, text=True, check=False
        )

    ran = gitml("run")
    if "unshare" in ran.stderr or "max_net_namespaces: " in ran.stderr:
        pytest.skip(f"no user namespaces here: {ran.stderr}")
    told = f"network: {network} can't be kept here: no more namespaces may be made (sysctl user.max_net_namespaces)"
    assert ran.returncode == 2, ran
    assert told in ran.stderr
    assert "or with network: full" in ran.stderr
    assert not (tmp_path / "marker").exists()
    assert f"network: loopback and none can't be kept here: {told.partition('here: ')[2]}" in gitml("doctor").stdout


@pytest.mark.parametrize("case", BLOCKED)
def test_what_keeps_a_step_from_starting_is_known_before_anything_runs(tmp_path: Path, case: str) -> None:
    late, why = BLOCKED[case]
    project = project_with(tmp_path, late, {**SCRIPTS, "loose.txt": "numpy\n"})
    steps = {step["name"]: step for step in project.do("plan", "--json").json["steps"]}
    assert steps["first"]["decision"] == "run"
    assert steps["late"]["decision"] == "blocked"
    assert why in steps["late"]["reason"]
    assert steps["late"]["hint"]
    done = project.do("run", code=2)
    assert f"step 'late' can't run: {steps['late']['reason']}" in done.err
    assert "retry" not in done.err
    assert not (tmp_path / "marker").exists()
    assert project.do("log", "--all", "--json").json == []
    assert "blocked" in project.do("status").out


FIRST_LINES = {
    "an interpreter that is not there": (
        "#!/nowhere/python\n",
        "command not found: /nowhere/python, which the first line of",
    ),
    "one that env does not find": (
        "#!/usr/bin/env no-such-program\n",
        "command not found: no-such-program, which the first",
    ),
    "lines that end as on Windows": ("#!/bin/sh\r\necho hi\r\n", "ends in a carriage return"),
}


@pytest.mark.parametrize("case", FIRST_LINES)
def test_a_script_whose_first_line_names_no_program_is_known_too(tmp_path: Path, case: str) -> None:
    text, why = FIRST_LINES[case]
    project = project_with(tmp_path, "run: ./go", {"go": text})
    (project.path / "go").chmod(0o755)
    project.repo.commit("executable")
    assert why in project.do("run", code=2).err
    assert not (tmp_path / "marker").exists()


def test_what_is_mended_runs_and_what_is_known_already_is_not_asked_for_it(tmp_path: Path) -> None:
    project = project_with(tmp_path, "run: env\nenv: {MY_TOKEN: }")
    project.env["MY_TOKEN"] = "x"
    assert project.outcomes() == {"first": "executed", "late": "executed"}
    del project.env["MY_TOKEN"]
    assert project.outcomes() == {"first": "reused", "late": "reused"}  # a result needs no token


STILL_TO_COME: dict[str, str] = {
    "a program that a step builds": """
  build:
    run: python3 make.py ${{ outputs.tool }} x
    outputs: {tool: file}
  use:
    run: sh ${{ steps.build.outputs.tool }}""",
    "a script below a directory that a step makes": """
  build:
    run: python3 make.py ${{ outputs.tools }} dir
    outputs: {tools: directory}
  use:
    run: sh ${{ steps.build.outputs.tools }}/tool.sh""",
    "a directory with a place of its own": """
  build:
    run: python3 make.py ${{ outputs.tools }} dir
    outputs: {tools: {type: directory, path: built}}
  use:
    run: sh ${{ steps.build.outputs.tools }}/tool.sh""",
    "a script that a shell writes first": """
  use:
    shell: sh
    run: echo 'echo hi' > made.sh; sh made.sh""",
    "a script behind a link to a folder": """
  use:
    run: echo python3 link/here.py""",
    "a module, and a program text": """
  use:
    run: python3 -c "print('lost.py')" lost.py
  module:
    run: python3 -m json.tool sub/x.json""",
    "a file of the commit that only a link leads to": """
  use:
    run: ./link.sh""",
}
MAKE = """\
import os, sys
place = sys.argv[1]
if sys.argv[2] == "dir":
    os.makedirs(place)
    place += "/tool.sh"
open(place, "w").write("#!/bin/sh\\necho hi\\n")
"""


@pytest.mark.parametrize("case", STILL_TO_COME)
def test_what_an_earlier_step_or_the_step_itself_makes_blocks_nothing(tmp_path: Path, case: str) -> None:
    files = {
        "pipelines/p.yaml": "steps:" + STILL_TO_COME[case] + "\n",
        "make.py": MAKE,
        "sub/x.json": "{}",
        "sub/here.py": "",
    }
    project = Project(tmp_path / "p", files)
    os.symlink("sub", project.path / "link")
    (project.path / "real.sh").write_text("#!/bin/sh\necho hi\n")
    (project.path / "real.sh").chmod(0o755)
    os.symlink("real.sh", project.path / "link.sh")
    project.repo.commit("links")
    assert "blocked" not in project.do("plan").out
    assert set(project.outcomes().values()) == {"executed"}


def test_what_is_gone_only_when_the_step_starts_is_tried_once(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho hi\n")
    tool.chmod(0o755)
    text = f"steps:\n  first:\n    run: rm {tool}\n  late: {{run: {tool}, after: [first], retries: 2}}\n"
    project = Project(tmp_path / "p", {"pipelines/p.yaml": text})
    late = project.run(code=1)["steps"][1]
    assert late["outcome"] == "failed"
    assert "command not found" in late["error"]
    assert len(late["attempts"]) == 1


def test_a_dry_run_can_tell_by_its_exit_code_as_a_plan_can(tmp_path: Path) -> None:
    project = project_with(tmp_path, "run: echo hi")
    for words in (("run", "-n", "--exit-code"), ("plan", "--exit-code")):
        project.do(*words, code=1)
    assert not (tmp_path / "marker").exists()
    project.do("run")
    for words in (("run", "-n", "--exit-code"), ("plan", "--exit-code")):
        assert "reuse" in project.do(*words).out
    assert "run -n" not in project.do("run", "--exit-code", code=2).out
    assert project.do("run", "-n", "-f", "--exit-code", code=1).out.count("forced") == 2
