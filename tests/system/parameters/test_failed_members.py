"""Members of a matrix that fail and are borne, as a user sees them: the run, what is said of it, and every command after it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.kit.patience import PATIENCE
from tests.system.conftest import Project

PIPELINE = """\
steps:
  train:
    matrix: {m: [a, b, c, d]}
    errors: 25%
    run: sh src/train.sh ${{ matrix.m }} ${{ outputs.o }}
    outputs: {o: {type: file, path: "models/${{ matrix.m }}"}}
    env: {HERE: null}
  sum:
    run: sort -o ${{ outputs.o }} ${{ steps.train[*].outputs.o }}
    outputs: {o: {type: file, path: sum.txt}}
"""
TRAIN = 'test "$1" != b || test -e "$HERE/there" || { echo no b >&2; exit 3; }\necho "$1" > "$2"\n'
ERRORS = {"train": {"borne": True, "budget": "25%", "failed": ["train[b]"], "members": 4}}


@pytest.fixture
def members(project: Project) -> Project:
    for name in ("pipelines/words.yaml", "src/prepare.sh"):
        (project.root / name).unlink()
    project.write("pipelines/members.yaml", PIPELINE)
    project.write("src/train.sh", TRAIN)
    project.env["HERE"] = str(project.root.parent)
    project.commit("members")
    return project


def outcomes(run: dict[str, object]) -> dict[str, str]:
    steps = run["steps"]
    assert isinstance(steps, list)
    return {step["name"]: step["outcome"] for step in steps}


def test_a_run_that_bears_a_failure_succeeded_and_everything_says_so(members: Project) -> None:
    answer = members.gitml("run")
    lines = answer.err.splitlines()
    assert lines[-2] == "train: 1 of 4 failed, borne by errors: 25%"
    assert "succeeded: 4 executed, 1 failed in" in lines[-1]
    assert any(line.startswith("failed train[b]  exit status 3") for line in lines)
    run = members.gitml("show", "latest", "--json").data
    assert (run["status"], run["errors"]) == ("succeeded", ERRORS)
    assert "errors     train: 1 of 4 failed, borne by errors: 25%" in members.gitml("show", "latest").out.splitlines()
    assert members.gitml("wait", run["run"]).out.endswith("members succeeded\n")
    assert "4 run, 1 failed" in members.gitml("log", "-n", "1").out
    assert members.gitml("log", "--status", "succeeded", "--json").data[0]["run"] == run["run"]
    members.gitml("checkout", "latest")
    assert (members.root / "sum.txt").read_text() == "a\nc\nd\n"
    assert not (members.root / "models/b").exists()
    members.gitml("fsck")

    planned = members.gitml("run", "-n", "--exit-code", code=1).out.splitlines()
    assert "run      train[b]  failed in run " + run["run"][:8] in planned
    assert "unknown  sum       waits for train[b], and input o of train[b] added" in planned
    explained = members.gitml("explain", "sum").out
    assert "waits for train[b]" in explained
    assert "input o of train[b] added" in explained

    opened = members.gitml(
        "shell", "latest:sum", "--", "sh", "-c", 'eval "$GITML_COMMAND" && cat .gitml/in/0/*/a sum.txt'
    )
    assert opened.out == "a\na\nc\nd\n"
    again = members.gitml("rerun", "latest", "--json").data
    assert (again["status"], again["errors"]) == ("succeeded", ERRORS)
    assert outcomes(again) == {
        **dict.fromkeys(("train[a]", "train[c]", "train[d]", "sum"), "reused"),
        "train[b]": "failed",
    }
    assert "identical" in members.gitml("reproduce", run["run"]).out
    Path(members.env["HERE"], "there").touch()
    whole = members.run()
    assert "errors" not in whole
    assert outcomes(whole) == {
        **dict.fromkeys(("train[a]", "train[c]", "train[d]"), "reused"),
        **dict.fromkeys(("train[b]", "sum"), "executed"),
    }
    differs = members.gitml("reproduce", run["run"], code=1).out
    assert "sum" in differs, "it has what it had not"


def test_beyond_the_budget_the_exit_code_and_the_last_lines_say_that_it_is(members: Project) -> None:
    members.write("src/train.sh", TRAIN.replace('"$1" != b', '"$1" = a'))
    answer = members.gitml("run", "-k", code=1)
    assert "train: 3 of 4 failed, not borne by errors: 25%" in answer.err.splitlines()
    assert "skip   sum  needs train[" in answer.err
    run = members.gitml("show", "latest", "--json").data
    assert (run["status"], run["errors"]["train"]["borne"]) == ("failed", False)
    members.gitml("wait", run["run"], code=1)


def test_a_run_that_is_killed_after_a_failure_goes_on_with_the_next_which_tries_it_again(members: Project) -> None:
    wait = 'test "$1" != d || test -e "$HERE/go" || { touch "$HERE/begun"; while :; do sleep 0.01; done; }\n'
    members.write("src/train.sh", wait + TRAIN)
    process = members.start("run", "-j", "1")
    members.wait_for(Path(members.env["HERE"], "begun"))
    os.kill(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)
    Path(members.env["HERE"], "go").touch()
    run = members.run()
    assert outcomes(run) == {
        **dict.fromkeys(("train[a]", "train[c]"), "reused"),
        **dict.fromkeys(("train[d]", "sum"), "executed"),
        "train[b]": "failed",
    }
    assert (run["status"], run["errors"]) == ("succeeded", ERRORS)
    killed = json.loads(members.gitml("log", "--json").out)[1]
    assert killed["status"] == "failed"


def test_a_mistake_in_it_is_shown_at_its_place(members: Project) -> None:
    members.write("pipelines/members.yaml", PIPELINE.replace("25%", "0.25"))
    said = members.gitml("check", code=2)
    where = (
        "pipelines/members.yaml:4:13: errors is a number of members, or a percentage such as 10%: write 25%, not 0.25"
    )
    assert where in said.out + said.err
