"""`plan`, `explain`, `status`, `dag`: what would happen, and why."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable

from tests.kit.projects.command_line import DURATION
from tests.system.conftest import FILES, Project


def test_plan_tells_every_step_and_exits_with_1_only_when_asked(project: Project) -> None:
    answer = project.gitml("plan", "-S", "rate=7")
    lines = answer.out.splitlines()
    assert re.fullmatch(r"reuse    prepare  same as in run \w{8}", lines[0])
    assert lines[1] == "run      train    param rate: 2 -> 7"
    assert re.fullmatch(r"1 reused, 1 to run at commit \w{12}\n", answer.err)
    project.gitml("plan", "-S", "rate=7", "--exit-code", code=1)
    project.gitml("plan", "--exit-code")


def test_plan_says_unknown_for_a_step_whose_input_is_not_made_yet(project: Project) -> None:
    project.write("data/raw.txt", "new\n")
    answer = project.gitml("plan")
    assert "run      prepare  input raw changed\n" in answer.out
    assert "unknown  train    waits for prepare: runs unless the same bytes come out\n" in answer.out
    assert "with uncommitted changes" in answer.err


def test_plan_json_has_the_promised_form(project: Project) -> None:
    data = project.gitml("plan", "--json").data
    assert data["commit"] == project.git("rev-parse", "HEAD")
    assert [(step["name"], step["decision"]) for step in data["steps"]] == [("prepare", "reuse"), ("train", "reuse")]
    assert all(step["reason"].startswith("same as in run ") for step in data["steps"])


def test_plan_names_what_blocks_a_step_and_how_to_mend_it(project: Project) -> None:
    text = (project.root / "pipelines/words.yaml").read_text()
    project.write("pipelines/words.yaml", text.replace("data/raw.txt", "data/lost.txt"))
    answer = project.gitml("plan")
    assert re.search(r"^blocked  prepare  .*data/lost\.txt", answer.out, re.M)
    assert project.gitml("run", code=2).err.startswith("gitml: step 'prepare' can't run: ")


def test_the_plan_is_what_then_happens(project: Project) -> None:
    project.write("src/train.sh", "# a comment\n" + (project.root / "src/train.sh").read_text())
    planned = {step["name"]: step["decision"] for step in project.gitml("plan", "--json").data["steps"]}
    outcome = {step["name"]: step["outcome"] for step in project.run()["steps"]}
    words = {"reuse": "reused", "run": "executed"}
    assert {name: words[decision] for name, decision in planned.items()} == outcome


def test_explain_names_files_and_parameters_with_both_values(project: Project) -> None:
    project.write("src/train.sh", "# a comment\n" + (project.root / "src/train.sh").read_text())
    out = project.gitml("explain", "train", "-S", "rate=3").out
    assert out.startswith("train runs: ")
    assert re.search(r"compared with run \w{8}:\n", out)
    assert "    param rate: 2 -> 3\n" in out
    assert re.search(r"    code src/train\.sh changed  \(\w{12} -> \w{12}\)\n", out)


def test_explain_shows_the_lines_of_code_that_changed_when_asked(project: Project) -> None:
    old = project.git("rev-parse", "HEAD")
    project.write("src/train.sh", FILES["src/train.sh"].replace("size", "length"))
    answer = project.gitml("explain", "train", "--diff")
    assert "    code src/train.sh changed" in answer.out
    lines = answer.out[answer.out.index("--- a/src/train.sh") :].splitlines()
    assert lines[:3] == ["--- a/src/train.sh", "+++ b/src/train.sh", "@@ -1,3 +1,3 @@"]
    assert any(line.startswith("-printf") and "size" in line for line in lines)
    assert any(line.startswith("+printf") and "length" in line for line in lines)
    assert (
        project.gitml("explain", "train", "--diff", "--json").data == project.gitml("explain", "train", "--json").data
    )
    project.commit()
    assert "+printf" in project.gitml("explain", "train", f"{old}..HEAD", "--diff").out


def test_a_script_that_moved_is_told_as_a_move(project: Project) -> None:
    project.git("mv", "src/train.sh", "src/fit.sh")
    pipeline = (project.root / "pipelines/words.yaml").read_text()
    project.write("pipelines/words.yaml", pipeline.replace("src/train.sh", "src/fit.sh"))
    steps = project.gitml("plan", "--json").data["steps"]
    assert steps[1]["reason"] == "code src/train.sh moved to src/fit.sh"


def test_explain_of_an_unchanged_step_says_that_nothing_differs(project: Project) -> None:
    assert "nothing differs from run" in project.gitml("explain", "prepare").out


def test_explain_between_two_commits(project: Project) -> None:
    project.write("data/raw.txt", "changed\n")
    project.commit()
    data = project.gitml("explain", "prepare", "HEAD~1..HEAD", "--json").data
    (step,) = data["steps"]
    assert step["against"] == "HEAD~1"
    assert [change["kind"] for change in step["changes"]] == ["input"]


def test_explain_takes_the_pipeline_before_the_step_as_run_does(project: Project) -> None:
    asked = project.gitml("explain", "prepare", "HEAD", "--json").data
    assert project.gitml("explain", "words", "prepare", "HEAD", "--json").data == asked
    assert "nothing differs from run" in project.gitml("explain", "words", "prepare").out
    assert "did you mean 'prepare'" in project.gitml("explain", "words", "prepar", code=2).err
    assert "unknown revision 'nowhere'" in project.gitml("explain", "prepare", "nowhere", code=2).err
    assert "one word too many: 'x'" in project.gitml("explain", "prepare", "HEAD", "x", code=2).err


def test_what_an_output_declares_and_whose_result_is_gathered_is_told_by_name(project: Project) -> None:
    text = """\
steps:
  train:
    matrix: {model: [svm, nb]}
    run: sh src/fit.sh ${{ matrix.model }} ${{ outputs.model }} ${{ outputs.scores }}
    code: [src]
    outputs:
      model: {type: file, path: "models/${{ matrix.model }}.txt"}
      scores: {type: metrics, path: "scores/${{ matrix.model }}.json"}
  all:
    shell: sh
    run: cat models/*.txt > ${{ outputs.all }}
    inputs: {models: "${{ steps.train[*].outputs.model }}"}
    outputs: {all: file}
  listed:
    run: sh src/cat.sh ${{ outputs.all }} ${{ steps.train[*].outputs.model }}
    outputs: {all: file}
"""
    project.write("pipelines/words.yaml", text)
    project.write("src/fit.sh", 'cp src/$1.txt "$2"; echo "{}" > "$3"\n')
    project.write("src/cat.sh", 'to=$1; shift; cat "$@" > "$to"\n')
    project.write("src/svm.txt", "1\n")
    project.write("src/nb.txt", "1\n")
    project.commit()
    project.run()
    project.write("src/svm.txt", "2\n")
    project.gitml("run", "train")
    assert "input models of train[svm] changed" in project.gitml("explain", "all").out
    assert "input model of train[svm] changed" in project.gitml("explain", "listed").out
    reasons = {step["name"]: step["reason"] for step in project.run()["steps"]}
    assert reasons["all"] == "input models of train[svm] changed"

    edited = (project.root / "pipelines/words.yaml").read_text()
    edited = edited.replace('.json"}', '.json", format: json, optional: true}').replace(
        "all: file", "all: {type: file, optional: true}"
    )
    project.write("pipelines/words.yaml", edited)
    reasons = {step["name"]: step["reason"] for step in project.gitml("plan", "--json").data["steps"]}
    assert reasons["train[nb]"] == "output scores format: none -> json, and 1 more change"
    assert "output scores optional: false -> true" in project.gitml("explain", "train").out
    assert "output all optional: false -> true" in project.gitml("explain", "all").out


def test_explain_of_an_unknown_step(project: Project) -> None:
    answer = project.gitml("explain", "trian", code=2)
    assert answer.err == "gitml: no step 'trian' in pipeline 'words' (did you mean 'train'?)\n"


def test_status_shows_each_pipeline_and_its_last_run(project: Project) -> None:
    project.write("pipelines/bad.yaml", "steps: 3\n")
    project.write("data/raw.txt", "new\n")
    out = project.gitml("status").out
    assert re.search(r"^bad    wrong: pipelines/bad\.yaml:1:\d+: ", out, re.M)
    assert re.search(r"^words  1 to run, 1 after those\n {7}first prepare: input raw changed\n", out, re.M)
    assert re.search(rf"last run \w{{8}} succeeded \d+[smh] ago in {DURATION}, at \w{{8}}", out)


def test_status_json(project: Project) -> None:
    data = project.gitml("status", "--json").data
    (pipeline,) = data["pipelines"]
    assert (pipeline["pipeline"], pipeline["steps"], pipeline["error"]) == ("words", {"reuse": 2}, None)
    assert data["running"] == []


def test_status_tells_of_runs_handed_to_a_cluster_until_they_are_at_home(project: Project) -> None:
    run = "3f2a9c10d4e5b6a7"
    told = {"run": run, "target": "big", "pipeline": "words", "commit": "0" * 40, "submitted": 1.0, "by": "a"}
    place = project.root / ".git/gitml/submitted"
    place.mkdir(parents=True)
    (place / f"{run}.json").write_text(json.dumps(told))
    out = project.gitml("status", "words").out
    assert "submitted  run 3f2a9c10 of words: handed to big " in out
    assert "gitml collect 3f2a9c10" in out
    assert project.gitml("status", "--json").data["submitted"] == [{"run": run, "pipeline": "words", "target": "big"}]


def test_status_tells_of_runs_going_on(project: Project, sleeper: Callable[..., subprocess.Popen[str]]) -> None:
    process = sleeper()
    run = project.wait_for_live()
    out = project.gitml("status", "slow").out
    assert f"running  run {run[:8]} of slow: 0 steps done" in out
    assert f"process {process.pid}" in out


def test_status_where_there_is_nothing(fresh: Project) -> None:
    answer = fresh.gitml("status")
    assert (answer.out, answer.err) == ("", "no pipelines here: `gitml init` writes one to start from\n")


def test_dag_draws_boxes_and_a_tree_and_formats_for_others(project: Project) -> None:
    assert project.gitml("dag").out == (
        "╭─────────╮\n│ prepare │\n╰─────────╯\n     ▼\n ╭───────╮\n │ train │\n ╰───────╯\n"
    )
    assert project.gitml("dag", "--tree").out == "prepare → train\n"
    assert project.gitml("dag", "--mermaid").out == ('flowchart TD\n  s0["prepare"]\n  s1["train"]\n  s0 --> s1\n')
    assert project.gitml("dag", "--dot").out.startswith('digraph "words" {\n')
    assert project.gitml("dag", "--json").data["steps"][1] == {"name": "train", "needs": ["prepare"]}


def test_dag_keeps_to_ascii_where_the_terminal_does(project: Project) -> None:
    out = project.gitml("dag", env={"PYTHONIOENCODING": "ascii"}).out
    assert out.isascii()
    assert "| prepare |" in out


def test_dag_of_some_steps(project: Project) -> None:
    assert "train" not in project.gitml("dag", "prepare").out
