"""What nothing needs to run is reused by its record alone: a colleague's clone runs only what it must."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.kit.projects.command_line import Project
from tests.kit.projects.team import Team

pytestmark = pytest.mark.slow

# `big` and `between` make what is too large for a record.
PIPELINE = """\
params: {n: 1, m: 1}
steps:
  big: {run: "python3 make.py big ${{ outputs.o }}", outputs: {o: file}}
  between: {run: "python3 make.py between ${{ outputs.o }} ${{ steps.big.outputs.o }}", outputs: {o: directory}}
  small: {run: "python3 make.py small ${{ outputs.o }} ${{ steps.between.outputs.o }} ${{ params.n }}", outputs: {o: file}}
  other: {run: "python3 make.py other ${{ outputs.o }} ${{ steps.big.outputs.o }} ${{ params.m }}", outputs: {o: file}}
"""
MAKE = """\
import os, sys
step, out, *given = sys.argv[1:]
if step == "big":
    open(out, "wb").write(b"b" * 600_000)
elif step == "between":
    os.makedirs(out + "/d")
    open(out + "/d/x", "wb").write(open(given[0], "rb").read() + b"x")
else:
    path = given[0] + "/d/x" if os.path.isdir(given[0]) else given[0]
    open(out, "w").write(f"{os.path.getsize(path)} {given[1]}")
"""
ABSENT = "is not here: it was not pushed to a remote store"


def people(tmp_path: Path, remotes: str = "") -> tuple[Project, Project, str]:
    """Ann, who ran it and pushed, Bob with a fresh clone, and the id of her run."""
    team = Team(tmp_path)
    ann = team.person("ann")
    config = "defaults: {pipeline: p}\n" + remotes
    ann.repo.commit("it", {"pipelines/p.yaml": PIPELINE, "make.py": MAKE, "gitml.yaml": config})
    ann.repo.git("push", "-q", "origin", "main")
    run = ann.run()["run"][:8]
    ann.do("push")
    bob = team.person("bob")
    bob.do("fetch")
    return ann, bob, run


def decisions(person: Project, *args: str) -> dict[str, str]:
    return {row["name"]: row["decision"] for row in person.do("plan", "--json", *args).json["steps"]}


def test_a_clone_runs_nothing_that_nothing_needs(tmp_path: Path) -> None:
    _, bob, run = people(tmp_path)
    assert set(decisions(bob).values()) == {"reuse"}
    assert "4 up to date" in bob.do("status").out
    assert f"same as in run {run}" in bob.do("explain", "big").out
    assert set(bob.outcomes().values()) == {"reused"}
    shown = bob.do("show", "latest").out
    assert shown.count("not here: it was not pushed to a remote store") == 2
    failed = bob.do("checkout", "latest:big.o", "there", code=2)
    assert f"output 'o' of step 'big' {ABSENT}" in failed.err
    assert "gitml run p big --at" in failed.err


def test_what_a_step_that_runs_needs_is_made_again_and_no_more(tmp_path: Path) -> None:
    _, bob, run = people(tmp_path)
    # `between` is reused by `small`, which stays as it is: only `big` is needed.
    planned = decisions(bob, "-S", "m=2")
    assert planned == {"big": "run", "between": "unknown", "small": "unknown", "other": "unknown"}
    told = bob.do("run", "-S", "m=2")
    assert f"output o of run {run} {ABSENT}" in told.out + told.err
    row = bob.do("show", "latest", "--json").json
    assert {step["name"]: step["outcome"] for step in row["steps"]} == {
        "big": "executed",
        "between": "reused",
        "small": "reused",
        "other": "executed",
    }


def test_a_whole_chain_is_made_again_when_its_end_is_needed(tmp_path: Path) -> None:
    _, bob, _ = people(tmp_path)
    outcomes = bob.outcomes("-S", "n=2")
    assert outcomes == {"big": "executed", "between": "executed", "small": "executed", "other": "reused"}


def test_a_step_that_is_named_must_be_had(tmp_path: Path) -> None:
    _, bob, _ = people(tmp_path)
    assert decisions(bob, "p", "big") == {"big": "run"}
    assert bob.outcomes("p", "big") == {"big": "executed"}
    bob.do("checkout", "latest:big.o", "there")
    assert (bob.path / "there").stat().st_size == 600_000


def test_with_a_remote_store_it_is_brought_when_a_step_needs_it(tmp_path: Path) -> None:
    ann, bob, _ = people(tmp_path, f"remotes: ['file://{tmp_path}/store']\n")
    assert bob.outcomes("-S", "m=2") == {"big": "reused", "between": "reused", "small": "reused", "other": "executed"}
    # A store that lost all is as good as none.
    eve = Team.person(ann_team(ann, tmp_path), "eve")
    eve.do("fetch")
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "store").mkdir()
    assert set(eve.outcomes().values()) == {"reused"}
    row = next(row for row in eve.do("run", "-n", "--json", "-S", "m=3").json["steps"] if row["name"] == "big")
    assert (row["decision"], row["reason"].split(" ", 5)[5]) == ("run", "is not here and no remote store has it")


def ann_team(ann: Project, tmp_path: Path) -> Team:
    team = Team.__new__(Team)
    team.path, team.people, team.hub = tmp_path, {}, ann.repo
    from tests.kit.projects.repository import Repository

    team.hub = Repository(tmp_path / "hub.git", bare=True)
    return team


def test_what_turns_out_to_be_needed_while_it_runs_is_made_then(tmp_path: Path) -> None:
    team = Team(tmp_path)
    ann = team.person("ann")
    # Whether `use` runs is known only once `switch` gave other bytes: until then `big` may or may not be needed.
    pipeline = """\
params: {n: 1}
steps:
  big: {run: "python3 make.py big ${{ outputs.o }}", outputs: {o: file}}
  switch: {run: "python3 switch.py ${{ outputs.o }} ${{ params.n }}", outputs: {o: file}}
  use: {run: "python3 make.py use ${{ outputs.o }} ${{ steps.big.outputs.o }} ${{ steps.switch.outputs.o }}", outputs: {o: file}}
"""
    files = {
        "pipelines/p.yaml": pipeline,
        "make.py": MAKE,
        "switch.py": "import sys; open(sys.argv[1], 'w').write(str(int(sys.argv[2]) // 10))\n",
        "gitml.yaml": "defaults: {pipeline: p}\n",
    }
    ann.repo.commit("it", files)
    ann.repo.git("push", "-q", "origin", "main")
    ann.run()
    ann.do("push")
    bob = team.person("bob")
    bob.do("fetch")
    planned = {
        row["name"]: (row["decision"], row["reason"]) for row in bob.do("plan", "--json", "-S", "n=2").json["steps"]
    }
    assert planned["big"][0] == "unknown"
    assert planned["big"][1].endswith(f"{ABSENT}: runs if a step needs it")
    assert bob.outcomes("-S", "n=2") == {"big": "reused", "switch": "executed", "use": "reused"}
    done = bob.do("run", "-S", "n=12")
    assert f"use needs big.o, which {ABSENT}: big runs again" in done.out + done.err
    assert {s["name"]: s["outcome"] for s in bob.do("show", "latest", "--json").json["steps"]} == {
        "big": "executed",
        "switch": "executed",
        "use": "executed",
    }
