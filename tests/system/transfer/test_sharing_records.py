"""Two people and one bare repository: what one records the other has, whoever comes first, and nothing is lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import Project, alive, interrupt, wait_until
from tests.kit.projects.repository import Repository
from tests.kit.projects.team import Team

MODULE = """\
name: m
version: 1.0.0
run: python3 say.py ${{ outputs.o }}
outputs: {o: file}
"""
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


def test_what_plain_git_fetch_brought_of_modules_is_there_at_the_next_look(team: Team) -> None:
    ann = team.person("ann")
    ann.repo.commit("module", {"m/module.yaml": MODULE, "m/say.py": "import sys\nopen(sys.argv[1], 'w').write('x')\n"})
    ann.repo.git("push", "-q", "origin", "main")
    bob = team.person("bob")
    bob.do("init", "--remote", "origin")
    ann.do("module", "publish", "m")
    ann.do("push")
    bob.repo.git("fetch", "-q")
    assert [row["name"] for row in bob.do("module", "list", "--json").json] == ["m"]
    bob.do("module", "deprecate", "m@1.0.0", "--reason", "old")  # of one's own, and pushed by nobody
    ann.repo.commit("more", {"m/module.yaml": MODULE.replace("1.0.0", "1.1.0")})
    ann.do("module", "publish", "m")
    ann.do("push")
    bob.repo.git("fetch", "-q")
    assert versions(bob) == ["1.0.0"]
    assert bob.do("fetch", "--json").json["received"]["events"] == 1
    assert versions(bob) == ["1.0.0", "1.1.0"]
    bob.do("push")
    ann.repo.git("fetch", "-q", "origin", "+refs/gitml/registry:refs/gitml/remotes/origin/registry")
    ann.repo.git("update-ref", "refs/gitml/remotes/origin/registry", "HEAD")  # nothing that a registry is
    assert versions(ann) == ["1.0.0", "1.1.0"]


def versions(person: Project) -> list[str]:
    return sorted(row["version"] for row in person.do("module", "show", "m", "--json").json["versions"])


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
    assert bob.do("reproduce", run["run"]).code == 0


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


def test_a_clone_has_all_records_and_plain_git_fetch_brings_more(team: Team) -> None:
    ann = team.person("ann")
    first = ann.run("-S", "who=1")["run"]
    ann.do("push")
    done = ann.do("clone", team.hub.path, "bob", cwd=team.path)
    assert "with 1 run" in done.out
    bob = Project(team.path / "bob")
    assert team.runs_of(bob) == {first}
    second = ann.run("-S", "who=2")["run"]
    ann.do("push")
    bob.repo.git("fetch", "-q")
    assert team.runs_of(bob) == {first, second}
    assert bob.do("push").out == "origin: everything is there already\n"


def test_a_clone_that_checks_nothing_out_says_why_and_what_to_do(team: Team) -> None:
    ann = team.person("ann")
    ann.run()
    ann.do("push")
    team.hub.git("symbolic-ref", "HEAD", "refs/heads/nothing")
    done = ann.do("clone", team.hub.path, "bob", cwd=team.path)
    assert "nothing is checked out: the remote's own branch has no commit; it has main" in done.err
    assert "next: cd bob; git switch main; gitml log; gitml run" in done.out


def test_a_clone_says_what_is_wrong_with_url_or_folder(team: Team) -> None:
    ann = team.person("ann")
    assert "no Git repository is there" in ann.do("clone", str(team.path / "none"), "x", code=6).err
    assert "not an empty directory" in ann.do("clone", team.hub.path, str(ann.path), code=2).err
    assert "not found" in ann.do("clone", "-b", "none", team.hub.path, "y", code=2).err
    assert "not a remote" in ann.do("clone", "--", "--upload-pack=touch x", code=2).err


def test_init_has_plain_git_fetch_bring_records_and_undo_takes_that_back(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    before = (bob.path / ".git/config").read_bytes()
    assert "did you mean 'origin'" in bob.do("init", "--remote", "orgin", code=2).err
    bob.do("init", "--remote", "origin")
    bob.do("init", "--remote", "origin")
    assert bob.repo.git("config", "--get-all", "remote.origin.fetch").count("refs/gitml/run") == 1
    bob.repo.git("fetch", "-q")  # works though the remote has no records yet
    run = ann.run()["run"]
    ann.do("push")
    bob.repo.git("fetch", "-q", "--prune")
    assert team.runs_of(bob) == {run}
    bob.do("init", "--undo")
    assert (bob.path / ".git/config").read_bytes() == before


def test_a_dry_run_tells_what_would_go_and_sends_nothing(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    bob.run("-S", "who=bob")
    bob.do("push")
    (ann.path / "big.bin").write_bytes(random.Random(1).randbytes(300_000))
    ann.repo.commit("large")
    ann.run("-S", "who=ann")
    before = team.hub.git("for-each-ref")
    told = ann.do("push", "-n", "--json").json
    assert (told["runs"], told["runs_received"]) == (1, 1)
    assert 300_000 < told["bytes"] < 330_000  # the commit that was run goes along
    assert ann.do("push", "--dry-run").out.startswith("origin: would send 1 run, about 2")
    assert team.hub.git("for-each-ref") == before
    ann.do("push")
    assert ann.do("push", "-n").out == "origin: nothing to send\n"


def test_a_shallow_clone_takes_the_records_without_the_history_of_what_was_run(team: Team) -> None:
    ann = team.person("ann")
    old = ann.run("-S", "who=old")
    for number in range(3):
        ann.repo.commit("more", {"f": str(number)})
    ann.repo.git("push", "-q")
    ann.do("push")
    ann.do("clone", "--depth", "1", f"file://{team.hub.path}", "ci", cwd=team.path)
    ci = Project(team.path / "ci")
    assert team.runs_of(ci) == {old["run"]}
    assert ci.repo.git("cat-file", "-t", "HEAD") == "commit"
    assert ci.repo.git("rev-list", "--count", "--all") == "2"
    assert set(ci.outcomes("-S", "who=old").values()) == {"reused"}
    assert ci.do("push", "--json").json["sent"]["runs"] == 1
    ann.run("-S", "who=new")
    ann.do("push")
    assert ci.do("pull", "--json").json["received"]["runs"] == 1
    refused = ci.do("reproduce", old["run"], code=3)
    assert "git fetch --unshallow" in refused.err
    ci.repo.git("fetch", "-q", "--unshallow")
    assert ci.do("reproduce", old["run"]).code == 0
    assert ci.do("push", "--json").json["sent"]["runs"] == 1
    assert ann.do("fetch", "--json").json["received"]["runs"] == 1
    for repo in (ci.repo, ann.repo, team.hub):
        repo.git("fsck", "--strict", "--no-dangling")


def test_a_partial_clone_has_records_whole(team: Team) -> None:
    team.hub.git("config", "uploadpack.allowFilter", "true")
    ann = team.person("ann")
    ran = {ann.run("-S", f"who={n}")["run"] for n in range(3)}
    ann.do("push")
    ann.do("clone", "--filter=blob:none", f"file://{team.hub.path}", "part", cwd=team.path)
    part = Project(team.path / "part")
    part.repo.git("remote", "set-url", "origin", str(team.path / "gone"))  # nothing more can come
    assert team.runs_of(part) == ran
    assert set(part.outcomes("-S", "who=1").values()) == {"reused"}


def test_what_plain_git_fetch_leaves_out_in_a_partial_clone_comes_in_one_request(team: Team) -> None:
    for name in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        team.hub.git("config", name, "true")
    ann = team.person("ann")
    ann.do("clone", "--filter=blob:none", f"file://{team.hub.path}", "part", cwd=team.path)
    part = Project(team.path / "part")
    ran = {ann.run("-S", f"who={n}")["run"] for n in range(3)}
    ann.do("push")
    part.repo.git("fetch", "-q")
    trace = team.path / "trace"
    listed = part.do("log", "--json", env={"GIT_TRACE": str(trace)}).json
    assert {row["run"] for row in listed} == ran
    assert trace.read_text().count("built-in: git upload-pack") == 1
    assert set(part.outcomes("-S", "who=1").values()) == {"reused"}


def test_remotes_that_check_every_object_take_records(team: Team) -> None:
    for name in ("receive.fsckObjects", "transfer.fsckObjects"):
        team.hub.git("config", name, "true")
    ann, bob = team.person("ann"), team.person("bob")
    bob.repo.git("config", "fetch.fsckObjects", "true")
    ann.run()
    ann.repo.write({"say.py": "import sys; open(sys.argv[1], 'w').write('dirty')\n"})
    ann.run()
    assert ann.do("push", "--json").json["sent"]["runs"] == 2
    assert bob.do("fetch", "--json").json["received"]["runs"] == 2


def test_a_host_that_takes_branches_only_is_named_with_the_mend(team: Team) -> None:
    ann = team.person("ann")
    ann.run()
    hook = Path(team.hub.path) / "hooks/update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ncase "$1" in refs/heads/*) exit 0;; *) echo "only branches here" >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    done = ann.do("push", code=6)
    assert "the remote refuses refs/gitml/runs: hook declined" in done.err
    assert "refs/gitml/*" in done.err
    hook.unlink()
    team.hub.git("config", "receive.hideRefs", "refs/gitml")
    done = ann.do("push", code=6)
    assert "the remote refuses refs/gitml/runs" in done.err
    assert done.err.count("\n") == 1
    backup = Repository(team.path / "backup.git", bare=True)
    assert ann.do("push", backup.path, "--json").json["sent"]["runs"] == 1


def test_the_remote_that_is_meant_goes_without_saying_or_is_asked_for(team: Team) -> None:
    ann = team.person("ann")
    other = Repository(team.path / "other.git", bare=True)
    ann.run()
    ann.repo.git("remote", "add", "other", other.path)
    ann.repo.git("config", "branch.main.remote", "other")
    assert ann.do("push", "--json").json["remote"] == "other"
    ann.repo.git("config", "--unset", "branch.main.remote")
    assert ann.do("push", "--json").json["remote"] == "origin"
    ann.repo.git("remote", "rename", "origin", "hub")
    assert "which remote?" in ann.do("push", code=2).err
    ann.repo.git("remote", "remove", "hub")
    assert ann.do("push", "--json").json["remote"] == "other"
    ann.repo.git("remote", "remove", "other")
    assert "git remote add origin URL" in ann.do("fetch", code=2).err
    assert "no remote 'nowhere'" in ann.do("fetch", "nowhere", code=2).err
    assert "not a remote" in ann.do("push", "--", "--receive-pack=touch x", code=2).err


def test_without_a_network_it_is_said_in_one_line(team: Team) -> None:
    ann = team.person("ann")
    ann.run()
    for url in ("https://127.0.0.1:9/x", "https://nowhere.invalid/x", str(team.path / "gone.git")):
        for verb in ("push", "fetch", "pull"):
            done = ann.do(verb, url, code=6)
            assert done.err.startswith("gitml: ")
            assert done.err.count("\n") == 1


def test_a_lock_that_a_killed_git_left_is_named(team: Team) -> None:
    ann, bob = team.person("ann"), team.person("bob")
    ann.run()
    ann.do("push")
    lock = bob.path / ".git/refs/gitml/remotes/origin/runs.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    assert "remove it" in bob.do("fetch", code=4).err
    lock.unlink()
    assert bob.do("fetch", "--json").json["received"]["runs"] == 1


def test_ctrl_c_ends_it_and_all_that_it_started(team: Team) -> None:
    ann = team.person("ann")
    ann.run()
    marker = f"{7_000_000 + random.SystemRandom().randrange(10**6)}"
    process = ann.start("push", "ssh://nowhere/x", env={"GIT_SSH_COMMAND": f"sleep {marker} #"})
    wait_until(lambda: alive(marker))
    interrupt(process)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err == b"gitml: interrupted\n"
    wait_until(lambda: not alive(marker))
