"""Pipelines that use modules: pinned, checked against interfaces, shared; deprecated and disabled versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.projects.command_line import Project

MODULE = """
name: shout
version: 1.0.0
description: Says it louder
inputs:
  text: file
  ending: {type: file, optional: true}
outputs: {loud: file}
params:
  times: {type: int, default: 1, min: 1}
run: python3 shout.py ${{ inputs.text }} --ending ${{ inputs.ending }} --times ${{ params.times }} ${{ outputs.loud }}
"""
PROGRAM = """
import argparse
p = argparse.ArgumentParser()
p.add_argument("text"); p.add_argument("--ending"); p.add_argument("--times", type=int); p.add_argument("loud")
a = p.parse_args()
end = open(a.ending).read() if a.ending else ""
open(a.loud, "w").write(open(a.text).read().upper() * a.times + end)
"""
PIPELINE = """
inputs: {words: words.txt}
params: {n: 2}
steps:
  make: {run: "cp ${{ inputs.words }} ${{ outputs.o }}", outputs: {o: file}}
  loud:
    module: shout@^1
    inputs: {text: "${{ steps.make.outputs.o }}"}
    params: {times: "${{ params.n }}"}
  after: {run: "cp ${{ steps.loud.outputs.loud }} ${{ outputs.o }}", outputs: {o: file}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    files = {
        "modules/shout/module.yaml": MODULE,
        "modules/shout/shout.py": PROGRAM,
        "pipelines/main.yaml": PIPELINE,
        "words.txt": "hi\n",
    }
    project = Project(tmp_path / "p", files)
    project.do("module", "publish", "modules/shout", "--default")
    return project


def publish(project: Project, version: str, program: str = PROGRAM) -> None:
    files = {"modules/shout/module.yaml": MODULE.replace("1.0.0", version), "modules/shout/shout.py": program}
    project.repo.commit(f"shout {version}", files)
    project.do("module", "publish", "modules/shout")


def loud(run: dict[str, object]) -> dict[str, object]:
    return next(s for s in run["steps"] if s["name"] == "loud")  # type: ignore[attr-defined,no-any-return]


def test_a_module_runs_and_its_version_is_recorded(project: Project) -> None:
    run = project.run()
    assert project.content(run, "after", "o") == b"HI\nHI\n"
    assert run["modules"]["shout@^1"]["version"] == "1.0.0"
    assert project.outcomes() == {"make": "reused", "loud": "reused", "after": "reused"}


def test_an_optional_input_that_is_bound_is_used(project: Project) -> None:
    bound = PIPELINE.replace(
        'inputs: {text: "${{ steps.make.outputs.o }}"}',
        'inputs: {text: "${{ steps.make.outputs.o }}", ending: "${{ inputs.words }}"}',
    )
    project.repo.commit("ending", {"pipelines/main.yaml": bound})
    assert project.content(project.run(), "after", "o") == b"HI\nHI\nhi\n"


def test_the_lock_holds_a_version_until_it_is_upgraded(project: Project) -> None:
    project.do("lock")
    project.repo.commit("lock")
    project.run()
    publish(project, "1.1.0", PROGRAM.replace(".upper()", ".title()"))
    project.do("lock", "--check")
    assert loud(project.run())["outcome"] == "reused"
    project.do("lock", "--upgrade", "shout")
    project.repo.commit("upgrade")
    run = project.run()
    assert run["modules"]["shout@^1"]["version"] == "1.1.0"
    assert loud(run)["outcome"] == "executed"
    assert loud(run)["reason"].startswith("module shout: 1.0.0 -> 1.1.0")
    assert project.content(run, "loud", "loud") == b"Hi\nHi\n"


def test_without_a_lock_a_new_version_is_used_and_told(project: Project) -> None:
    project.run()
    publish(project, "1.1.0", PROGRAM + "# mended\n")
    assert project.run()["modules"]["shout@^1"]["version"] == "1.1.0"
    assert project.do("lock", "--check", code=1)


def test_a_modules_step_is_shared_with_other_pipelines_and_repositories(project: Project, tmp_path: Path) -> None:
    first = project.run()
    other = PIPELINE.replace("  loud:", "  voice:").replace("steps.loud", "steps.voice")
    project.repo.commit("other", {"pipelines/other.yaml": "env: {UNRELATED: x}\n" + other})
    run = project.run("other")
    outcomes = {s["name"]: s["outcome"] for s in run["steps"]}
    assert outcomes["voice"] == "reused"
    project.repo.git("clone", "-q", str(project.path), str(tmp_path / "clone"))
    again = project.do("module", "publish", "modules/shout", "--json", cwd=tmp_path / "clone", code=None)
    assert again.code == 0
    key = loud(project.run("main", cwd=tmp_path / "clone"))["key"]
    assert key == loud(first)["key"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ('text: "${{ steps.make', 'txt: "${{ steps.make'),
            "module shout@^1 has no input 'txt' (did you mean 'text'?)",
        ),
        (('text: "${{ steps.make', 'txt: "${{ steps.make'), "module shout@^1 needs input 'text' (file)"),
        (("params: {times:", "params: {tims:"), "module shout@^1 has no parameter 'tims' (did you mean 'times'?)"),
        (('times: "${{ params.n }}"', "times: many"), "parameter 'times' must be int, not 'many'"),
        (('times: "${{ params.n }}"', "times: 0"), "parameter 'times' must be at least 1"),
        (("params: {n: 2}", "params: {n: two}"), "parameter 'times' must be int, not str (params.n)"),
        (
            ("steps.loud.outputs.loud", "steps.loud.outputs.quiet"),
            "module shout@^1 has no output 'quiet' (there is 'loud')",
        ),
        (
            ("outputs: {o: file}}\n  loud", "outputs: {o: directory}}\n  loud"),
            "input 'text' of module shout@^1 is file, not directory",
        ),
        (("module: shout@^1", "module: shut@^1"), "shout"),
        (("module: shout@^1", "module: shout@^2"), "1.0.0"),
    ],
)
def test_what_does_not_fit_the_interface_is_told_before_anything_runs(
    project: Project, change: tuple[str, str], told: str
) -> None:
    project.repo.commit("mistake", {"pipelines/main.yaml": PIPELINE.replace(*change)})
    done = project.do("run", code=2)
    assert told in done.err
    assert project.do("log", "--json").json == []


def test_a_deprecated_version_warns_and_a_disabled_one_is_refused_unless_allowed(project: Project) -> None:
    project.repo.commit("pin", {"pipelines/main.yaml": PIPELINE.replace("shout@^1", "shout@1.0.0")})
    first = project.run()
    publish(project, "1.1.0")
    project.do("module", "deprecate", "shout@1.0.0", "--reason", "too loud", "--replacement", "shout@1.1.0", code=2)
    project.do(
        "module",
        "deprecate",
        "shout@1.0.0",
        "--reason",
        "too loud",
        "--replacement",
        "shout@1.1.0",
        "--default",
        "1.1.0",
    )
    warned = project.do("run")
    assert "deprecated: too loud" in warned.err
    assert "shout@1.1.0" in warned.err
    project.do("module", "disable", "shout@1.0.0", "--reason", "far too loud")
    refused = project.do("run", "--no-reuse", code=2)
    assert "disabled: far too loud (pipelines/main.yaml)" in refused.err
    assert "--allow-disabled" in refused.err
    allowed = project.run("--allow-disabled", "--no-reuse")
    assert allowed["options"]["allow_disabled"] is True
    assert loud(allowed)["outputs"] == loud(first)["outputs"]
    project.do("reproduce", first["run"], code=2)
    project.do("reproduce", first["run"], "--allow-disabled")


def test_a_pin_that_was_disabled_does_not_keep_the_lock_from_being_written_for_the_others(project: Project) -> None:
    project.repo.commit("pin", {"pipelines/pinned.yaml": PIPELINE.replace("shout@^1", "shout@1.0.0")})
    project.do("lock")
    publish(project, "1.1.0")
    project.do("module", "disable", "shout@1.0.0", "--reason", "too loud", "--default", "1.1.0")
    written = project.do("lock", "--upgrade", "shout")
    assert written.out == "shout@^1: 1.0.0 -> 1.1.0\n"
    assert "warning: shout 1.0.0 is disabled: too loud" in written.err
    assert "shout 1.0.0 is disabled" in project.do("lock", "--check", code=2).err
    project.repo.write({"pipelines/another.yaml": PIPELINE.replace("shout@^1", "shout@>=1.1")})
    written = project.do("lock")
    assert written.out == "shout@>=1.1: 1.1.0 is new\n"
    assert "warning: shout 1.0.0 is disabled: too loud" in written.err
    project.do("plan", "pinned", code=2)
    project.do("plan", "another")


def test_a_run_is_reproduced_with_the_version_it_had(project: Project) -> None:
    first = project.run()
    publish(project, "1.1.0", PROGRAM.replace(".upper()", ".title()"))
    project.do("reproduce", first["run"])


def test_a_cached_run_with_modules_loads_no_sqlalchemy(project: Project) -> None:
    project.run()
    done = project.do("run", "-q", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert "sqlalchemy" not in done.err
    assert "sqlmodel" not in done.err
    assert "gitml.modules.service" in done.err
