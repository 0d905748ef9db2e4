"""The gate: a push is refused while what it brings has not run, and that is found out without any data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.kit.projects.project_with_hooks import FILES, PIPELINE, ProjectWithHooks

GATE = "hooks: {gate: true, send: []}\n"
ANOTHER = 'printf \'{"letters": 0}\' > "$3"\n'


@pytest.fixture
def gated(hooked: ProjectWithHooks) -> ProjectWithHooks:
    """A project with a gate whose only commit has run, and a remote `origin`."""
    hooked.repo.git("init", "-q", "--bare", "../remote.git")
    hooked.git("remote", "add", "origin", "../remote.git")
    hooked.stage({"gitml.yaml": GATE})
    hooked.git("commit", "-q", "-m", "a gate")
    return hooked


def commit(project: ProjectWithHooks, files: dict[str, str | bytes], message: str = "change") -> str:
    project.stage(files)
    project.git("commit", "-q", "-m", message)
    return project.repo.git("rev-parse", "HEAD")


def refused(project: ProjectWithHooks, *args: str) -> list[str]:
    lines = project.git("push", *(args or ("origin", "main")), code=1).err.splitlines()
    return [line.removeprefix("gitml: ") for line in lines if line.startswith("gitml: ") and "gate refuses" not in line]


def test_what_has_run_passes_and_what_has_not_is_named_with_the_command_that_mends_it(gated: ProjectWithHooks) -> None:
    gated.git("push", "-q", "origin", "main")
    oid = commit(gated, {"src/count.sh": ANOTHER})
    command = f"gitml run words --at {oid[:12]}"
    assert refused(gated) == [f"{oid[:12]} has not run: words, step count (code src/count.sh changed): {command}"]
    gated.do(*command.split()[1:])
    gated.git("push", "-q", "origin", "main")
    assert gated.repo.git("ls-remote", "origin", "refs/heads/main").startswith(oid)


@pytest.mark.slow
def test_work_that_ran_before_it_was_committed_passes(gated: ProjectWithHooks) -> None:
    gated.repo.write({"src/count.sh": ANOTHER})
    assert gated.run()["dirty"]
    commit(gated, {"src/count.sh": ANOTHER})
    gated.git("push", "-q", "origin", "main")


def test_no_data_is_needed_only_records(gated: ProjectWithHooks) -> None:
    files = {"src/upper.sh": 'cat "$1" "$1" > "$2"\n', "src/count.sh": ANOTHER}
    commit(gated, {**files, "gitml.yaml": GATE + "records: {inline_file: 0, inline_run: 0}\n"})
    gated.run()
    shutil.rmtree(gated.path / ".git/gitml/objects")
    assert gated.do("plan", "--json").json["steps"][0]["decision"] == "run"
    gated.git("push", "-q", "origin", "main")


def test_members_that_failed_pass_where_their_step_bears_that(gated: ProjectWithHooks) -> None:
    text = """\
steps:
  a: {matrix: {m: [x, y, z]}, errors: 1, run: 'sh src/a.sh ${{ matrix.m }} ${{ outputs.o }}', outputs: {o: file}}
  b: {matrix: {m: [x, y, z]}, errors: 1, run: 'cp ${{ steps.a[matrix].outputs.o }} ${{ outputs.o }}', outputs: {o: file}}
  c: {run: 'sort -o ${{ outputs.o }} ${{ steps.b[*].outputs.o }}', outputs: {o: file}}
"""
    files: dict[str, str | bytes] = {"pipelines/words.yaml": text, "src/a.sh": 'test "$1" != y && echo "$1" > "$2"\n'}
    commit(gated, files)
    run = gated.do("run", "words", "--json").json["run"][:8]
    commit(gated, {"README.md": "more\n"})
    gated.git("push", "-q", "origin", "main")
    oid = commit(gated, {"pipelines/words.yaml": text.replace("errors: 1", "errors: 10%")})
    assert refused(gated) == [
        f"{oid[:12]} has not run: words, step a[y] (failed in run {run}): gitml run words --at {oid[:12]}"
    ]


@pytest.mark.slow
def test_a_failed_run_does_not_pass(gated: ProjectWithHooks) -> None:
    oid = commit(gated, {"src/count.sh": "exit 1\n"})
    gated.do("run", code=1)
    assert refused(gated)[0].startswith(f"{oid[:12]} has not run: words, step count")


@pytest.mark.slow
def test_steps_that_always_run_pass_once_they_did(gated: ProjectWithHooks) -> None:
    commit(gated, {"pipelines/words.yaml": PIPELINE.replace("  count:\n", "  count:\n    reuse: false\n")})
    assert "step count" not in "".join(gated.git("push", "-q", "origin", "main").err)
    commit(gated, {"src/count.sh": ANOTHER})
    assert refused(gated)
    gated.run()
    gated.git("push", "-q", "origin", "main")


@pytest.mark.slow
def test_a_pipeline_that_must_be_given_values_passes_with_those_of_a_run(gated: ProjectWithHooks) -> None:
    text = PIPELINE.replace("{word: hello}", "{word: {type: str}}")
    commit(gated, {"pipelines/words.yaml": text})
    gated.git("push", "-q", "origin", "main")  # with the value it had, which ran
    commit(gated, {"src/count.sh": ANOTHER})
    assert "parameter 'word' has no default" in refused(gated)[0]
    gated.run("-S", "word=bye")
    gated.git("push", "-q", "origin", "main")


@pytest.mark.slow
def test_a_run_of_that_very_commit_on_another_machine_counts(gated: ProjectWithHooks, tmp_path: Path) -> None:
    commit(gated, {"src/count.sh": ANOTHER})
    clone = tmp_path / "clone"
    gated.git("clone", "-q", str(gated.path), str(clone))
    program = tmp_path / "programs/sh"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nexec /bin/sh "$@"\n')  # another machine's shell, so another environment
    program.chmod(0o755)
    gated.do("run", cwd=clone, env={"PATH": f"{program.parent}:{gated.env['PATH']}"})
    gated.git("fetch", "-q", str(clone), "+refs/gitml/runs:refs/gitml/runs")
    assert gated.do("plan", "--json").json["steps"][1]["decision"] != "reuse"
    gated.git("push", "-q", "origin", "main")


@pytest.mark.slow
def test_only_the_newest_commit_of_a_branch_counts_unless_every_one_is_asked_for(gated: ProjectWithHooks) -> None:
    first = commit(gated, {"src/count.sh": ANOTHER})
    commit(gated, {"src/count.sh": FILES["src/count.sh"], "gitml.yaml": "hooks: {gate: every, send: []}\n"})
    assert [line[:12] for line in refused(gated)] == [first[:12]]
    commit(gated, {"gitml.yaml": GATE})
    gated.git("push", "-q", "origin", "main")
    second = commit(gated, {"src/upper.sh": 'cat "$1" > "$2"\n'})
    commit(gated, {"src/upper.sh": FILES["src/upper.sh"], "gitml.yaml": "hooks: {gate: every, send: []}\n"})
    assert [line[:12] for line in refused(gated)] == [second[:12]]  # the first is there already
    gated.do("run", "--at", second)
    gated.git("push", "-q", "origin", "main")


@pytest.mark.slow
def test_only_branches_that_are_named_are_gated_and_neither_tags_nor_deletions(gated: ProjectWithHooks) -> None:
    commit(gated, {"gitml.yaml": "hooks: {gate: true, gate_branches: [main, release/*], send: []}\n"})
    commit(gated, {"src/count.sh": ANOTHER})
    gated.git("push", "-q", "origin", "main:try/this")
    gated.git("push", "-q", "origin", ":try/this")
    gated.git("tag", "v1")
    gated.git("push", "-q", "origin", "v1")
    assert refused(gated, "origin", "main:release/1")
    assert refused(gated, "origin", "main")
    gated.git("push", "-q", "--no-verify", "origin", "main")


def test_without_a_gate_anything_passes(hooked: ProjectWithHooks) -> None:
    hooked.repo.git("init", "-q", "--bare", "../remote.git")
    hooked.stage({"gitml.yaml": "hooks: {send: []}\n", "src/count.sh": ANOTHER})
    hooked.git("commit", "-q", "-m", "x")
    assert hooked.git("push", "-q", "../remote.git", "main").err == ""


@pytest.mark.slow
def test_the_gate_of_a_linked_worktree_and_of_a_subfolder_is_the_same(gated: ProjectWithHooks, tmp_path: Path) -> None:
    gated.git("worktree", "add", "-q", "-b", "side", "../linked")
    linked = tmp_path / "linked"
    (linked / "src/count.sh").write_text(ANOTHER)
    gated.git("commit", "-q", "-a", "-m", "x", cwd=linked)
    assert "has not run" in gated.git("push", "origin", "side", cwd=linked / "src", code=1).err
