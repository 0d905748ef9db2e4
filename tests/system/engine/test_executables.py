"""Programs that a step makes: the next step can run them, and the bit that lets it counts."""

from __future__ import annotations

from pathlib import Path

from tests.kit.projects.command_line import Project

PIPELINE = """\
params: {bit: {default: +x}}
steps:
  build:
    shell: sh
    run: printf '#!/bin/sh\\necho built\\n' > ${{ outputs.tool }}; chmod ${{ params.bit }} ${{ outputs.tool }}
    outputs: {tool: file}
  use:
    run: ${{ steps.build.outputs.tool }}
  look:
    run: sh -c 'test -x "$0" && echo yes || echo no' ${{ steps.build.outputs.tool }}
"""


def test_a_step_runs_the_program_that_another_step_built(tmp_path: Path) -> None:
    project = Project(tmp_path / "p", {"pipelines/p.yaml": PIPELINE})
    run = project.run()
    assert project.do("logs", run["run"], "use").out == "built\n"
    assert project.do("logs", run["run"], "look").out == "yes\n"


def test_the_bit_alone_makes_another_result(tmp_path: Path) -> None:
    project = Project(tmp_path / "p", {"pipelines/p.yaml": PIPELINE})
    project.run()
    run = project.run("-S", "bit=-x", "-k", code=1)
    assert {step["name"]: step["outcome"] for step in run["steps"]} == {
        "build": "executed",
        "use": "failed",
        "look": "executed",
    }
    assert project.do("logs", run["run"], "look").out == "no\n"


def test_a_step_that_does_the_same_as_another_waits_for_that_step_by_name(tmp_path: Path) -> None:
    files = {"pipelines/p.yaml": "steps:\n  one: {run: sleep 0.3}\n  two: {run: sleep 0.3}\n"}
    project = Project(tmp_path / "p", files)
    done = project.do("run", "-j", "2")
    assert "step one does the same" in done.err
    assert "another gitml" not in done.err
