"""gitml 0.1.0 and this one on the same repositories: it reads what uses nothing new, and leaves alone what does."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitml.core.config.project import Config
from gitml.engine.journal.recorder import record_run
from tests.kit.large_runs import FIRST, cold, step_names
from tests.kit.projects.command_line import Project
from tests.kit.projects.old_release import as_0_1_0, unpack_0_1_0
from tests.kit.projects.project import Project as Library
from tests.kit.projects.team import Team

pytestmark = pytest.mark.slow
RUNS = "refs/gitml/runs"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_0_1_0(tmp_path_factory.mktemp("gitml-0.1.0"))


def record_many(person: Project) -> str:
    """Records a run that takes format 2; its id."""
    return record_made_up(person, 1200)


def record_made_up(person: Project, steps: int, id: str = FIRST) -> str:
    """Records a run of so many steps, without the Actions that they performed; its id."""
    with Library(person.path).workspace() as ws:
        run = cold(person.repo.git("rev-parse", "HEAD"), step_names(steps), id)
        record_run(ws, run, Config())
    return run.id


def test_it_is_that_version(tmp_path: Path, packages: Path) -> None:
    ann = Team(tmp_path).person("ann")
    assert as_0_1_0(ann, packages).do("--version").out.split()[-1] == "0.1.0"
    assert packages.joinpath("gitml/core/record.py").read_text().count("FORMAT = 1") == 1


def test_what_this_gitml_records_with_nothing_new_in_it_it_reads_and_the_other_way_round(
    tmp_path: Path, packages: Path
) -> None:
    team = Team(tmp_path)
    ann, bob = team.person("ann"), as_0_1_0(team.person("bob"), packages)
    here = record_made_up(ann, 5)
    ann.do("push")
    assert bob.do("fetch", "--json").json["received"]["runs"] == 1
    steps = bob.do("show", here, "--json").json["steps"]
    assert len(steps) == 5
    assert steps == ann.do("show", here, "--json").json["steps"]
    there = bob.run("-S", "who=bob")
    bob.do("push")
    assert ann.do("fetch", "--json").json["received"]["runs"] == 1
    assert ann.do("show", there["run"], "--json").json["steps"] == there["steps"]
    assert ann.do("fsck").code == 0


def test_it_refuses_an_action_and_a_run_of_format_2_by_name_and_takes_in_the_others(
    tmp_path: Path, packages: Path
) -> None:
    team = Team(tmp_path)
    ann, bob, eve = team.person("ann"), team.person("bob"), as_0_1_0(team.person("eve"), packages)
    old = as_0_1_0(bob, packages)
    mine = old.run("-S", "who=bob")["run"]
    other = eve.run("-S", "who=eve")
    eve.do("push")
    plain, many = ann.run(), record_many(ann)
    ann.do("push")
    before = bob.repo.git("ls-tree", "-r", RUNS)
    fetched = old.do("fetch", "--json", code=3).json
    assert {one["path"][-16:]: one["why"] for one in fetched["refused"]} == {
        plain["run"]: "action of format 2, not 1",
        many: "run record of format 2; this gitml reads format 1",
    }
    assert (len(fetched["refused"]), fetched["received"]["runs"]) == (2, 1)
    assert {row["run"] for row in old.do("log", "--json").json} == {mine, other["run"]}
    assert old.do("show", other["run"], "--json").json["steps"] == other["steps"]
    after = bob.repo.git("ls-tree", "-r", RUNS)
    assert set(before.split("\n")) < set(after.split("\n"))
    assert many not in after
    assert plain["run"] not in after
    # and this gitml, in the same clone, takes in what the older one passed over
    assert {row["run"] for row in bob.do("log", "--json").json} == {mine, other["run"], plain["run"], many}
    assert bob.do("show", plain["run"], "--json").json["steps"] == plain["steps"]
    assert bob.do("fsck").code == 0


def test_in_one_clone_both_read_what_the_other_recorded_and_it_names_the_format_that_is_newer(
    tmp_path: Path, packages: Path
) -> None:
    ann = Team(tmp_path).person("ann")
    old = as_0_1_0(ann, packages)
    first = old.run()["run"]
    many = record_many(ann)
    second = old.run("-S", "who=second")["run"]
    third = ann.run("-S", "who=third")["run"]
    assert {row["run"] for row in ann.do("log", "--json").json} == {first, many, second, third}
    assert {row["run"] for row in old.do("log", "--json").json} >= {first, second, third}
    assert len(ann.do("show", many, "--json").json["steps"]) == 1200
    tip = ann.repo.git("rev-parse", RUNS)
    faults = old.do("fsck", "--json", code=3).json["faults"]
    assert any(many in fault["name"] and "format 2" in fault["what"] for fault in faults)
    assert ann.repo.git("rev-parse", RUNS) == tip
