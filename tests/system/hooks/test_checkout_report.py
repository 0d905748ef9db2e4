"""After a checkout or a merge: one line at a terminal, and nothing where it would only be in the way."""

from __future__ import annotations

import pytest

from tests.kit.projects.project_with_hooks import PIPELINE, ProjectWithHooks


def lines(seen: str) -> list[str]:
    return [line for line in seen.splitlines() if line.startswith("gitml:")]


def branch_with_another_count(project: ProjectWithHooks) -> None:
    project.git("checkout", "-q", "-b", "other")
    project.stage({"src/count.sh": 'printf \'{"letters": 0}\' > "$3"\n'})
    project.git("commit", "-q", "-m", "another count")
    project.git("checkout", "-q", "main")


def test_a_checkout_tells_what_is_cached_and_what_would_run(hooked: ProjectWithHooks) -> None:
    branch_with_another_count(hooked)
    assert lines(hooked.git_at_terminal("checkout", "other")) == ["gitml: words 1 cached, 1 to run"]
    assert lines(hooked.git_at_terminal("switch", "main")) == ["gitml: words all 2 cached"]


def test_what_changes_no_commit_tells_nothing(hooked: ProjectWithHooks) -> None:
    branch_with_another_count(hooked)
    assert lines(hooked.git_at_terminal("checkout", "-b", "new")) == []
    hooked.repo.write({"README.md": "changed\n"})
    assert lines(hooked.git_at_terminal("checkout", "README.md")) == []
    assert lines(hooked.git_at_terminal("checkout", "other", "--", "src")) == []


def test_where_nobody_looks_nothing_is_told(hooked: ProjectWithHooks) -> None:
    branch_with_another_count(hooked)
    assert "gitml" not in hooked.git("checkout", "other").err


@pytest.mark.slow
def test_a_merge_tells_and_a_rebase_or_a_bisect_does_not(hooked: ProjectWithHooks) -> None:
    branch_with_another_count(hooked)
    hooked.stage({"README.md": "changed\n"})
    hooked.git("commit", "-q", "-m", "meanwhile")
    hooked.git("checkout", "-q", "-b", "rebased", "other")
    assert lines(hooked.git_at_terminal("rebase", "main")) == []
    hooked.git("checkout", "-q", "main")
    assert lines(hooked.git_at_terminal("merge", "--no-edit", "other")) == ["gitml: words 1 cached, 1 to run"]
    hooked.git("bisect", "start")
    assert lines(hooked.git_at_terminal("bisect", "bad", "HEAD")) == []
    assert lines(hooked.git_at_terminal("bisect", "good", "HEAD~2")) == []


@pytest.mark.slow
def test_several_pipelines_share_the_line_and_one_that_is_wrong_is_named(hooked: ProjectWithHooks) -> None:
    more = {f"pipelines/p{number}.yaml": PIPELINE for number in range(5)}
    hooked.stage({**more, "pipelines/a.yaml": "stepss: {}\n"})
    hooked.git("commit", "-q", "--no-verify", "-m", "many")
    hooked.git("checkout", "-q", "HEAD~1")
    seen = lines(hooked.git_at_terminal("checkout", "main", env={"LC_ALL": "C.UTF-8"}))
    assert seen == [
        "gitml: a can't be planned · p0 all 2 cached · p1 all 2 cached · p2 all 2 cached · and 3 pipelines more"
    ]


@pytest.mark.slow
def test_what_takes_too_long_is_given_up_with_a_word(hooked: ProjectWithHooks) -> None:
    """A thousand steps whose code is looked for anew take longer than anybody wants to wait after a checkout."""
    steps = "".join(
        f"  s{number}:\n    run: sh src/upper.sh data/{number}.txt ${{{{ outputs.o }}}}\n    code: ['**/*.txt', 'data/*{number}*']\n"
        f"    outputs: {{o: file}}\n"
        for number in range(3000)
    )
    hooked.stage({"pipelines/huge.yaml": f"steps:\n{steps}", **{f"data/{number}.txt": "" for number in range(3000)}})
    hooked.git("commit", "-q", "--no-verify", "-m", "huge")
    hooked.git("checkout", "-q", "HEAD~1")
    import time

    begin = time.monotonic()
    seen = lines(hooked.git_at_terminal("checkout", "main"))
    assert seen == ["gitml: after more than 2 s: gitml status"]
    assert time.monotonic() - begin < 30


def test_a_linked_worktree_is_told_about_its_own_commit(hooked: ProjectWithHooks) -> None:
    branch_with_another_count(hooked)
    seen = hooked.git_at_terminal("worktree", "add", "../linked", "other")
    assert lines(seen) == ["gitml: words 1 cached, 1 to run"]


@pytest.mark.slow
def test_repositories_without_pipelines_and_projects_that_leave_it_out_are_told_nothing(
    hooked: ProjectWithHooks,
) -> None:
    branch_with_another_count(hooked)
    hooked.stage({"gitml.yaml": "hooks: {skip: [post-checkout]}\n"})
    hooked.git("commit", "-q", "-m", "quiet")
    hooked.git("checkout", "-q", "other")
    assert lines(hooked.git_at_terminal("checkout", "main")) == []
    assert lines(hooked.git_at_terminal("merge", "--no-edit", "other")) == ["gitml: words 1 cached, 1 to run"]
    hooked.git("rm", "-rq", "pipelines")
    hooked.git("commit", "-q", "-m", "none")
    hooked.git("checkout", "-q", "HEAD~1")
    assert lines(hooked.git_at_terminal("checkout", "main")) == []
