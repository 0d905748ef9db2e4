"""What goes along with a push, and that it never stands in its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.projects.project_with_hooks import ProjectWithHooks


@pytest.fixture
def origin(hooked: ProjectWithHooks, tmp_path: Path) -> Path:
    """An empty bare repository, the project's `origin`."""
    hooked.repo.git("init", "-q", "--bare", "--initial-branch=main", "../origin.git")
    hooked.git("remote", "add", "origin", "../origin.git")
    return tmp_path / "origin.git"


def refs(project: ProjectWithHooks, place: Path) -> set[str]:
    return set(project.git("for-each-ref", "--format=%(refname)", cwd=place).out.split())


def test_records_go_along_once_and_a_clone_reuses_what_they_tell(
    hooked: ProjectWithHooks, origin: Path, tmp_path: Path
) -> None:
    said = hooked.git("push", "-q", "-u", "origin", "main").err
    assert said == "gitml: origin: 1 run sent\n"
    assert refs(hooked, origin) == {"refs/heads/main", "refs/gitml/runs"}
    hooked.stage({"README.md": "more\n"})
    hooked.git("commit", "-q", "-m", "no run of its own")
    assert hooked.git("push", "-q").err == ""
    hooked.git("clone", "-q", str(origin), "../clone")
    clone = tmp_path / "clone"
    hooked.do("fetch", cwd=clone)
    assert hooked.do("run", "--json", cwd=clone).json["steps"][0]["outcome"] == "reused"


def test_what_stays_here_is_named(hooked: ProjectWithHooks, origin: Path) -> None:
    hooked.stage({"gitml.yaml": "records: {inline_file: 0}\n", "data/raw.txt": "other words\n"})
    hooked.git("commit", "-q", "-m", "nothing in records")
    hooked.run()
    said = hooked.git("push", "-q", "-u", "origin", "main").err.splitlines()
    assert said[0] == "gitml: origin: 2 runs sent"
    assert said[1].startswith("gitml: 2 artifacts (")
    assert "stay here: upper.text of run" in said[1]
    assert "no remote store in gitml.yaml" in said[1]
    hooked.git("commit", "-q", "--allow-empty", "-m", "x")
    assert hooked.git("push", "-q").err == ""


@pytest.mark.slow
def test_records_of_others_are_taken_in_on_the_way_and_none_are_lost(
    hooked: ProjectWithHooks, origin: Path, tmp_path: Path
) -> None:
    hooked.git("push", "-q", "origin", "main")
    hooked.git("clone", "-q", str(origin), "../clone")
    clone = tmp_path / "clone"
    hooked.do("hooks", "install", cwd=clone)
    hooked.run("-S", "word=a", cwd=clone)
    hooked.git("commit", "-q", "--allow-empty", "-m", "theirs", cwd=clone)
    hooked.git("push", "-q", "origin", "HEAD:theirs", cwd=clone)
    hooked.run("-S", "word=b")
    hooked.git("push", "-q", "origin", "main:mine")
    assert len(hooked.do("log", "--json").json) == 3


def test_a_remote_that_takes_no_records_costs_a_warning_and_the_push_goes_on(
    hooked: ProjectWithHooks, origin: Path
) -> None:
    refuse = origin / "hooks/update"
    refuse.write_text("#!/bin/sh\ncase $1 in refs/gitml/*) echo not here >&2; exit 1 ;; esac\n")
    refuse.chmod(0o755)
    said = hooked.git("push", "-q", "origin", "main").err
    assert "gitml: the runs of these commits don't go along: " in said
    assert "gitml push sends them later" in said
    assert refs(hooked, origin) == {"refs/heads/main"}


@pytest.mark.slow
def test_behind_a_gate_records_that_do_not_go_along_refuse_the_push(hooked: ProjectWithHooks, origin: Path) -> None:
    refuse = origin / "hooks/update"
    refuse.write_text("#!/bin/sh\ncase $1 in refs/gitml/*) exit 1 ;; esac\n")
    refuse.chmod(0o755)
    hooked.stage({"gitml.yaml": "hooks: {gate: true}\n"})
    hooked.git("commit", "-q", "-m", "a gate")
    assert "gate refuses commits without them" in hooked.git("push", "-q", "origin", "main", code=1).err
    assert refs(hooked, origin) == set()


@pytest.mark.slow
def test_only_the_usual_remote_hears_of_runs_and_one_that_was_given_them_before(
    hooked: ProjectWithHooks, origin: Path, tmp_path: Path
) -> None:
    hooked.repo.git("init", "-q", "--bare", "../public.git")
    hooked.git("remote", "add", "public", "../public.git")
    public = tmp_path / "public.git"
    hooked.git("push", "-q", "public", "main")
    hooked.git("push", "-q", "../public.git", "main:again")
    assert refs(hooked, public) == {"refs/heads/main", "refs/heads/again"}
    hooked.do("push", "public")
    hooked.run("-S", "word=other")
    assert "1 run sent" in hooked.git("push", "-q", "public", "main:third").err


@pytest.mark.slow
def test_a_project_can_keep_its_records_and_a_dry_run_sends_none(hooked: ProjectWithHooks, origin: Path) -> None:
    for words in (["--dry-run", "origin"], ["-qn", "origin"]):
        hooked.git("push", *words, "main")
        assert refs(hooked, origin) == set()
    hooked.stage({"gitml.yaml": "hooks: {send: []}\n"})
    hooked.git("commit", "-q", "-m", "keep them")
    hooked.git("push", "-q", "origin", "main")
    assert refs(hooked, origin) == {"refs/heads/main"}


def test_gitmls_own_push_calls_no_hook(hooked: ProjectWithHooks, origin: Path) -> None:
    hooked.hook("pre-push", "#!/bin/sh\necho called >&2\nexit 1\n")
    hooked.do("push", "origin")
    assert refs(hooked, origin) == {"refs/gitml/runs"}


def test_artifacts_of_the_pushed_commits_go_to_the_remote_store_before_the_records(
    hooked: ProjectWithHooks, origin: Path, tmp_path: Path
) -> None:
    config = f"remotes: [{{name: store, url: 'file://{tmp_path}/store'}}]\nrecords: {{inline_file: 0, inline_run: 0}}\n"
    hooked.stage({"gitml.yaml": config, "src/upper.sh": 'cat "$1" "$1" > "$2"\n'})
    hooked.git("commit", "-q", "-m", "a store")
    hooked.run()
    hooked.run("-S", "word=unrelated", "--no-reuse")
    said = hooked.git("push", "-q", "origin", "main").err.splitlines()
    assert said[0].startswith("gitml: store: ")
    assert "artifacts sent" in said[0]
    assert said[1] == "gitml: origin: 3 runs sent"
    hooked.git("clone", "-q", str(origin), "../clone")
    clone = tmp_path / "clone"
    hooked.do("fetch", cwd=clone)
    assert {step["outcome"] for step in hooked.do("run", "--json", cwd=clone).json["steps"]} == {"reused"}
    hooked.do("checkout", "latest:upper.text", "text", cwd=clone)
    assert (clone / "text").read_text() == "some words\nsome words\n"


@pytest.mark.slow
def test_a_store_that_can_not_be_reached_costs_a_warning(
    hooked: ProjectWithHooks, origin: Path, tmp_path: Path
) -> None:
    (tmp_path / "store").write_text("no folder\n")
    hooked.stage(
        {"gitml.yaml": f"remotes: [{{name: store, url: 'file://{tmp_path}/store'}}]\nrecords: {{inline_file: 0}}\n"}
    )
    hooked.git("commit", "-q", "-m", "a store")
    hooked.stage({"src/upper.sh": 'cat "$1" "$1" > "$2"\n'})
    hooked.git("commit", "-q", "-m", "new outputs")
    hooked.run()
    said = hooked.git("push", "-q", "origin", "main").err
    assert "gitml: the runs of these commits don't go along: " in said
    assert refs(hooked, origin) == {"refs/heads/main"}
