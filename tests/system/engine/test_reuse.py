"""What runs again and what does not: the cases that other tools of the field get wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import Project

FILES = {
    "README.md": "read me\n",
    "data/raw.txt": "3\n1\n2\n",
    "src/prepare.py": "import sys\nimport util\nopen(sys.argv[2], 'w').write(util.clean(open(sys.argv[1]).read()))\n",
    "src/util.py": "import deep\ndef clean(text):\n    return deep.order(text)\n",
    "src/deep.py": "def order(text):\n    return ''.join(sorted(text.splitlines(True)))\n",
    "src/unused.py": "x = 1\n",
    "src/train.py": "import sys\nopen(sys.argv[2], 'w').write(open(sys.argv[1]).read() * int(sys.argv[3]))\n",
    "pipelines/main.yaml": """
params:
  times: 1
inputs:
  raw: data/raw.txt
steps:
  prepare:
    run: python3 src/prepare.py ${{ inputs.raw }} ${{ outputs.clean }}
    outputs: {clean: file}
  train:
    run: python3 src/train.py ${{ steps.prepare.outputs.clean }} ${{ outputs.model }} ${{ params.times }}
    outputs: {model: file}
""",
}
ALL_RUN = {"prepare": "executed", "train": "executed"}
NONE_RUN = {"prepare": "reused", "train": "reused"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project", FILES)


def test_steps_with_one_action_run_once_as_the_plan_says(tmp_path: Path) -> None:
    one = """{run: "sh -c 'echo x > $0' ${{ outputs.o }}", outputs: {o: file}}"""
    project = Project(tmp_path / "p", {"pipelines/main.yaml": f"steps:\n  a: {one}\n  b: {one}\n"})
    first, second = project.do("plan", "--json").json["steps"]
    assert (first["decision"], first["reason"]) == ("run", "never ran")
    assert (second["decision"], second["reason"]) == ("unknown", "the same as a: one of the two runs")
    assert sorted(project.outcomes().values()) == ["executed", "reused"]
    forced = project.do("plan", "--force", "--json").json["steps"]
    assert [step["decision"] for step in forced] == ["run", "run"]
    assert set(project.outcomes("--force").values()) == {"executed"}


def test_a_merged_combination_that_never_ran_runs(project: Project) -> None:
    project.run()
    project.repo.git("checkout", "-q", "-b", "a")
    project.repo.commit("times", {"pipelines/main.yaml": FILES["pipelines/main.yaml"].replace("times: 1", "times: 2")})
    project.run()
    project.repo.git("checkout", "-q", "-")
    project.repo.commit("data", {"data/raw.txt": "9\n8\n"})
    project.run()
    project.repo.git("merge", "-q", "--no-edit", "a")
    run = project.run()
    assert {s["name"]: s["outcome"] for s in run["steps"]} == {"prepare": "reused", "train": "executed"}
    assert project.content(run, "train", "model") == b"8\n9\n8\n9\n"


def test_a_commit_of_the_readme_runs_nothing(project: Project) -> None:
    project.run()
    project.repo.commit("readme", {"README.md": "other words\n"})
    assert project.outcomes() == NONE_RUN


def test_a_comment_that_changes_no_output_runs_its_own_step_alone(project: Project) -> None:
    project.run()
    project.repo.commit("comment", {"src/prepare.py": "# a comment\n" + FILES["src/prepare.py"]})
    assert project.outcomes() == {"prepare": "executed", "train": "reused"}


def test_a_module_imported_by_an_imported_module_counts(project: Project) -> None:
    project.run()
    project.repo.commit("deep", {"src/deep.py": FILES["src/deep.py"].replace("sorted(", "reversed(")})
    run = project.run()
    assert {s["name"]: s["outcome"] for s in run["steps"]} == ALL_RUN
    assert run["steps"][0]["reason"] == "code src/deep.py changed"
    assert project.content(run, "prepare", "clean") == b"2\n1\n3\n"


def test_a_file_that_no_step_uses_does_not_count(project: Project) -> None:
    project.run()
    project.repo.commit("unused", {"src/unused.py": "x = 2\n", "new/thing.py": "y = 1\n"})
    assert project.outcomes() == NONE_RUN


def test_a_parameter_set_and_set_back_runs_nothing_the_third_time(project: Project) -> None:
    assert project.outcomes("-S", "times=1") == ALL_RUN
    assert project.outcomes("-S", "times=2") == {"prepare": "reused", "train": "executed"}
    assert project.outcomes("-S", "times=1") == NONE_RUN


def test_a_linked_worktree_runs_nothing(project: Project, tmp_path: Path) -> None:
    project.run()
    project.repo.git("worktree", "add", "-q", str(tmp_path / "linked"))
    assert project.outcomes(cwd=tmp_path / "linked") == NONE_RUN


def test_a_dry_run_on_inputs_never_seen_says_they_will_run_and_they_do(project: Project) -> None:
    project.run()
    project.repo.write({"data/raw.txt": "7\n"})
    plan = project.do("run", "-n", "--json").json
    assert {s["name"]: s["decision"] for s in plan["steps"]} == {"prepare": "run", "train": "unknown"}
    assert project.do("plan", "--exit-code", code=1)
    assert project.outcomes() == ALL_RUN
    assert project.do("plan", "--exit-code", code=0)


def test_work_not_committed_is_recorded_as_a_snapshot_that_can_be_run_again(project: Project) -> None:
    project.repo.write({"data/raw.txt": "5\n4\n"})
    run = project.run()
    assert run["dirty"] is True
    assert run["commit"] != project.repo.git("rev-parse", "HEAD").strip()
    assert project.repo.git("show", f"{run['commit']}:data/raw.txt") == "5\n4"
    project.repo.git("checkout", "-q", "--", "data/raw.txt")
    assert project.outcomes("--at", run["commit"]) == NONE_RUN


def test_an_untracked_file_that_a_step_uses_is_in_the_snapshot_and_others_are_not(project: Project) -> None:
    project.repo.write(
        {
            "src/deep2.py": "from deep import order\n",
            "src/util.py": "import deep2\ndef clean(t):\n    return deep2.order(t)\n",
        }
    )
    project.repo.write({"notes.txt": "private\n"})
    run = project.run()
    files = project.repo.git("ls-tree", "-r", "--name-only", run["commit"]).split()
    assert "src/deep2.py" in files
    assert "notes.txt" not in files


def test_an_unrelated_untracked_file_does_not_make_a_run_dirty(project: Project) -> None:
    project.repo.write({"notes.txt": "private\n"})
    assert project.run()["dirty"] is False


def test_two_runs_of_a_shared_step_started_together_both_succeed_and_it_runs_once(
    project: Project, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    slow = """
steps:
  shared:
    shell: sh
    run: echo x >> $TRACE; sleep 1; echo done > ${{ outputs.o }}
    env: {TRACE: }
    outputs: {o: file}
"""
    project.repo.commit("two", {"pipelines/one.yaml": slow, "pipelines/two.yaml": slow.replace("shared", "other_name")})
    runs = [project.start("run", "--json", name, env={"TRACE": str(trace)}) for name in ("one", "two")]
    ends = [(*run.communicate(timeout=PATIENCE), run.returncode) for run in runs]
    assert [end[2] for end in ends] == [0, 0], ends
    assert trace.read_text() == "x\n"


def test_an_amended_and_collected_commit_can_still_be_shown_and_run(project: Project) -> None:
    run = project.run()
    project.repo.write({"data/raw.txt": "1\n"})
    project.repo.git("commit", "-q", "-a", "--amend", "-m", "amended")
    project.repo.git("reflog", "expire", "--expire=now", "--all")
    project.repo.git("gc", "-q", "--prune=now")
    assert project.do("show", run["run"], "--json").json["commit"] == run["commit"]
    assert project.outcomes("--at", run["commit"]) == NONE_RUN
    assert project.outcomes("--at", run["commit"], "--no-reuse") == ALL_RUN


def test_nothing_of_the_work_tree_is_touched_by_any_run(project: Project) -> None:
    project.repo.write({"data/raw.txt": "stashed\n"})
    project.repo.git("stash", "-q")
    project.repo.write({"data/raw.txt": "8\n", "extra.txt": "e\n", "staged.txt": "s\n"})
    project.repo.git("add", "staged.txt")
    before = project.state()
    project.run()
    project.run("--at", "HEAD", "--no-reuse")
    project.do("plan")
    project.run("-S", "times=0", "-f")
    assert project.state() == before
