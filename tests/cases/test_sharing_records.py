"""Two people and one bare repository: what one records the other has, whoever comes first, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.team import Team

NOTHING = {"runs": 0, "events": 0}


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def test_what_one_ran_and_pushed_the_other_has_and_reuses(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    run = ann.run()
    assert ann.do("push", "--json").json["sent"] == {"runs": 1, "events": 0}
    assert bob.do("fetch", "--json").json["received"] == {"runs": 1, "events": 0}
    assert [row["run"] for row in bob.do("log", "--json").json] == [run["run"]]
    reused = bob.run()
    assert {step["outcome"] for step in reused["steps"]} == {"reused"}
    assert bob.do("logs", run["run"]).out == ann.do("logs", run["run"]).out
    assert bob.repo.git("rev-parse", "refs/gitml/runs^2") == run["commit"]


def test_logs_that_grew_apart_become_one(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    ran = {person.run("-S", f"who={name}{n}")["run"] for n in range(3) for name, person in team.people.items()}
    assert ann.do("push", "--json").json["sent"]["runs"] == 3
    moved = bob.do("push", "--json").json
    assert (moved["received"]["runs"], moved["sent"]["runs"]) == (3, 3)
    assert ann.do("fetch", "--json").json["received"]["runs"] == 3
    assert team.runs_of(ann) == team.runs_of(bob) == ran
    assert ann.repo.git("rev-parse", "refs/gitml/runs") == team.hub.git("rev-parse", "refs/gitml/runs")
    for person in (ann, bob):
        assert person.do("fsck").code == 0
    team.hub.git("fsck", "--strict")


def test_nothing_to_do_is_said_and_moves_nothing(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    assert ann.do("push").out == "origin: everything is there already\n"
    ann.run()
    ann.do("push")
    bob.do("fetch")
    before = bob.repo.git("for-each-ref")
    for verb in ("push", "fetch", "pull"):
        assert bob.do(verb, "--json").json["sent"] == NOTHING
        assert bob.do(verb).out == "origin: everything is there already\n"
    assert bob.repo.git("for-each-ref") == before


def test_no_branch_tag_or_setting_is_touched(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    ann.repo.git("tag", "-a", "-m", "x", "v1")  # push.followTags would send it
    ann.repo.git("config", "push.followTags", "true")
    config = (ann.path / ".git/config").read_bytes()
    ann.run()
    ann.do("push")
    assert (ann.path / ".git/config").read_bytes() == config
    assert team.hub.git("for-each-ref", "--format=%(refname)").split() == ["refs/gitml/runs", "refs/heads/main"]
    refs = bob.repo.git("for-each-ref", "refs/heads", "refs/remotes", "refs/tags")
    state = bob.state()
    bob.do("fetch")
    assert bob.repo.git("for-each-ref", "refs/heads", "refs/remotes", "refs/tags") == refs
    assert bob.state() == state
    assert not (bob.path / ".git/FETCH_HEAD").exists()


def test_the_code_of_a_run_goes_along_even_uncommitted_or_rebased_away(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    ann.repo.write({"say.py": "import sys; open(sys.argv[1], 'w').write('uncommitted ' + sys.argv[2])\n"})
    run = ann.run()
    assert run["dirty"]
    ann.repo.git("checkout", "-q", "--", ".")
    ann.do("push")
    bob.do("fetch")
    assert "uncommitted" in bob.repo.git("show", f"{run['commit']}:say.py")
    assert "equal" in bob.do("reproduce", run["run"]).out or bob.do("reproduce", run["run"]).code == 0


def test_a_plain_git_fetch_into_the_private_ref_is_taken_in_by_the_next_command(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    theirs = ann.run("-S", "who=ann")["run"]
    mine = bob.run("-S", "who=bob")["run"]
    ann.do("push")
    bob.repo.git("fetch", "-q", "origin", "+refs/gitml/run*:refs/gitml/remotes/origin/run*")
    assert team.runs_of(bob) == {theirs, mine}
    bob.repo.git("pack-refs", "--all")
    assert team.runs_of(bob) == {theirs, mine}
    assert bob.do("push", "--json").json["sent"]["runs"] == 1


def test_a_remote_that_was_rewound_or_made_anew_loses_nothing(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    runs = {ann.run("-S", f"who={n}")["run"] for n in range(2)}
    ann.do("push")
    bob.do("fetch")
    team.hub.git("update-ref", "refs/gitml/runs", "refs/gitml/runs~1")
    assert bob.do("fetch", "--json").json["received"] == NOTHING
    assert team.runs_of(bob) == runs
    assert bob.do("push", "--json").json["sent"]["runs"] == 1
    team.hub.git("update-ref", "-d", "refs/gitml/runs")
    assert bob.do("fetch", "--json").json["received"] == NOTHING
    assert ann.do("push", "--json").json["sent"]["runs"] == 2
    assert team.runs_of(bob) == runs


def test_the_registry_goes_the_same_way(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    ann.repo.commit("a module", {"m/module.yaml": MODULE, "m/say.py": "print(1)\n"})
    ann.do("module", "publish", "m", "--default")
    assert ann.do("push", "--json").json["sent"] == {"runs": 0, "events": 1}
    assert bob.do("fetch", "--json").json["received"] == {"runs": 0, "events": 1}
    assert bob.do("module", "list", "--json").json[0]["name"] == "m"
    bob.do("module", "deprecate", "m", "--reason", "old")
    bob.run()
    assert bob.do("push", "--json").json["sent"] == {"runs": 1, "events": 1}
    assert ann.do("pull", "--json").json["received"] == {"runs": 1, "events": 1}


def test_a_repository_of_sha256_shares_too(tmp_path: Path) -> None:
    team = Team(tmp_path, object_format="sha256")
    ann, bob = team.person("ann"), team.person("bob")
    ann.run("-S", "who=a")
    bob.run("-S", "who=b")
    ann.do("push")
    assert bob.do("push", "--json").json["received"]["runs"] == 1
    team.hub.git("fsck", "--strict")


MODULE = """\
name: m
version: 1.0.0
run: python say.py ${{ outputs.o }}
outputs: {o: file}
"""
