"""`gitml run`: what it prints where, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import DURATION
from tests.system.conftest import Project


def test_a_first_run_tells_each_step_on_stderr_and_nothing_on_stdout(project: Project) -> None:
    project.write("data/raw.txt", "other words\n")
    answer = project.gitml("run")
    assert answer.out == ""
    lines = answer.err.splitlines()
    assert lines[0] == "run    prepare  input raw changed"
    assert re.fullmatch(rf"done   prepare  {DURATION}", lines[1])
    assert lines[2].startswith("run    train  input clean changed")
    assert lines[4] == "result train.score 2, train.size 4"
    assert re.fullmatch(rf"run [0-9a-f]{{8}} succeeded: 2 executed in {DURATION}", lines[5])


def test_a_run_with_nothing_changed_reuses_every_step_and_says_which_run_made_it(project: Project) -> None:
    answer = project.gitml("run")
    assert re.match(r"reuse  prepare  same as in run [0-9a-f]{8}\nreuse  train  same as in run", answer.err)
    assert re.search(rf"run [0-9a-f]{{8}} succeeded: 2 reused( \(saved {DURATION}\))? in {DURATION}\n\Z", answer.err)


def test_quiet_prints_nothing_when_all_goes_well(project: Project) -> None:
    answer = project.gitml("run", "-q", "-S", "rate=3")
    assert (answer.out, answer.err) == ("", "")


def test_json_is_one_object_with_the_promised_keys_on_stdout_and_stderr_stays_empty(project: Project) -> None:
    answer = project.gitml("run", "--json", "-S", "rate=3")
    assert answer.err == ""
    run = answer.data
    assert {"run", "pipeline", "commit", "dirty", "status", "steps"} <= set(run)
    assert (run["pipeline"], run["status"], run["dirty"]) == ("words", "succeeded", False)
    assert run["commit"] == project.git("rev-parse", "HEAD")
    prepare, train = run["steps"]
    assert (prepare["name"], prepare["outcome"]) == ("prepare", "reused")
    assert (train["outcome"], train["reason"]) == ("executed", "param rate: 2 -> 3")
    assert train["metrics"] == {"score": 3, "size": 4}
    assert train["outputs"]["model"]["kind"] == "file"
    assert train["outputs"]["model"]["size"] == len("SOME WORDS\n3\n")
    assert train["outputs"]["model"]["digest"].startswith("sha256:")


def test_a_step_of_the_default_pipeline_can_be_named_without_the_pipeline(project: Project) -> None:
    assert [step["name"] for step in project.run("prepare")["steps"]] == ["prepare"]
    assert [step["name"] for step in project.run("words", "prepare")["steps"]] == ["prepare"]


def test_an_unknown_pipeline_is_told_with_the_nearest_name(project: Project) -> None:
    answer = project.gitml("run", "word", code=2)
    assert answer.out == ""
    assert answer.err.startswith("gitml: no pipeline 'word' (did you mean 'words'?)")
    assert answer.err.count("\n") == 1


def test_an_unknown_step_is_told_with_the_nearest_name(project: Project) -> None:
    answer = project.gitml("run", "words", "trian", code=2)
    assert answer.err.startswith("gitml: no step 'trian' in pipeline 'words' (did you mean 'train'?)")


def test_every_mistake_of_a_pipeline_file_is_a_line_with_its_place(project: Project) -> None:
    project.write("pipelines/words.yaml", "params:\n  rate: {default: 2, mni: 1}\nsteps:\n  a:\n    runn: x\n")
    answer = project.gitml("run", code=2)
    lines = answer.err.splitlines()
    assert len(lines) >= 2
    assert all(re.match(r"gitml: pipelines/words\.yaml:\d+:\d+: ", line) for line in lines)
    assert "did you mean 'min'?" in answer.err


def test_a_wrong_parameter_is_told_before_anything_runs(project: Project) -> None:
    answer = project.gitml("run", "-S", "rate=12", code=2)
    assert answer.err == "gitml: parameter 'rate' must be at most 9, not 12 (-S rate=12)\n"
    answer = project.gitml("run", "-S", "rate", code=2)
    assert answer.err == "gitml: not name=value: 'rate' (-S)\n"


def test_errors_with_json_are_json_on_stderr_with_the_same_exit_code(project: Project) -> None:
    answer = project.gitml("run", "word", "--json", code=2)
    assert answer.out == ""
    assert set(answer.error) >= {"code", "message", "where", "hint"}
    assert answer.error["code"] == "input"
    assert answer.error["message"].startswith("no pipeline 'word'")


def test_a_failing_step_shows_its_error_its_last_lines_and_how_to_see_all(project: Project) -> None:
    project.write("src/train.sh", "seq 1 30\necho 'what is this' >&2\nexit 3\n")
    answer = project.gitml("run", code=1)
    assert "failed train  " in answer.err
    assert "| what is this\n" in answer.err
    assert "| 12\n" in answer.err
    assert "| 11\n" not in answer.err
    command = re.search(r"all it wrote: gitml (logs [0-9a-f]{8} train)", answer.err)
    assert command
    assert project.gitml(*command[1].split()).out.startswith("1\n2\n")
    assert re.search(r"run [0-9a-f]{8} failed: 1 reused.*, 1 failed", answer.err)


def test_with_json_a_failed_step_is_told_by_the_object_alone(project: Project) -> None:
    project.write("src/train.sh", "exit 3\n")
    answer = project.gitml("run", "--json", code=1)
    assert answer.err == ""
    assert answer.data["status"] == "failed"
    assert answer.data["steps"][1]["outcome"] == "failed"
    assert "exit" in answer.data["steps"][1]["error"]


def test_a_failed_step_is_told_even_when_quiet(project: Project) -> None:
    project.write("src/train.sh", "echo oh no\nexit 3\n")
    answer = project.gitml("run", "-q", code=1)
    assert "failed train" in answer.err
    assert "| oh no" in answer.err


def test_a_dry_run_tells_the_plan_and_records_nothing(project: Project) -> None:
    before = project.git("rev-parse", "refs/gitml/runs")
    answer = project.gitml("run", "-n", "-S", "rate=5")
    assert re.match(r"reuse    prepare  same as in run [0-9a-f]{8}\nrun      train    param rate: 2 -> 5\n", answer.out)
    assert project.git("rev-parse", "refs/gitml/runs") == before


def test_a_run_at_a_commit_does_not_look_at_the_files(project: Project) -> None:
    project.write("data/raw.txt", "changed\n")
    assert project.gitml("run", "--at", "HEAD").err.count("reuse ") == 2
    run = project.run("-r", "main")
    assert run["dirty"] is False


def test_dash_c_works_before_and_after_the_command(project: Project) -> None:
    outside = project.root.parent
    assert project.gitml("-C", "project", "run", "-q", cwd=outside).code == 0
    assert project.gitml("run", "-q", "-C", "project", cwd=outside).code == 0
    answer = project.gitml("-C", "nowhere", "run", cwd=outside, code=2)
    assert answer.err == "gitml: no such folder (nowhere)\n"


def test_outside_a_repository_the_error_says_so(project: Project) -> None:
    answer = project.gitml("run", cwd=project.root.parent, code=2)
    assert answer.err.startswith("gitml: not a Git repository")
    assert answer.err.count("\n") == 1


def test_one_interrupt_stops_the_run_and_exits_with_130(
    project: Project, sleeper: Callable[..., subprocess.Popen[str]]
) -> None:
    process = sleeper()
    run = project.wait_for_live()
    wait_for_log(project, run, "begun")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "stopping; Ctrl-C again" in err
    assert re.search(r"^cancel wait  ended after [\d.]+s$", err, re.M)
    assert project.gitml("show", run, "--json").data["status"] == "cancelled"


def test_sigterm_stops_the_run_and_exits_with_143(
    project: Project, sleeper: Callable[..., subprocess.Popen[str]]
) -> None:
    process = sleeper()
    wait_for_log(project, project.wait_for_live(), "begun")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 143


def wait_for_log(project: Project, run: str, text: str) -> None:
    """Waits until a step of a live run has written `text`."""
    logs = project.root / f".git/gitml/live/{run}/logs"
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if any(text in path.read_text() for path in logs.glob("*.log")):
            return
        time.sleep(0.02)
    raise AssertionError("the step did not begin")


@pytest.mark.usefixtures("sleeper")
def test_a_detached_run_prints_its_id_goes_on_and_can_be_followed_and_cancelled(project: Project) -> None:
    answer = project.gitml("run", "slow", "--detach")
    run = answer.out.strip()
    assert re.fullmatch(r"[0-9a-f]{16}", run)
    assert f"gitml cancel {run[:8]}" in answer.err
    wait_for_log(project, run, "begun")
    assert project.gitml("logs", run[:6]).out == "begun\n"
    listed = project.gitml("log", "--status", "running", "--json").data
    assert [row["run"] for row in listed] == [run]
    follower = project.start("logs", run, "-f")
    answer = project.gitml("cancel", run[:8])
    assert answer.out == f"run {run[:8]} cancelled\n"
    out, _ = follower.communicate(timeout=PATIENCE)
    assert out == "begun\n"
    assert not os.path.exists(project.root / ".git/gitml/live" / run)
    assert project.gitml("cancel", run, code=2).err.startswith(
        f"gitml: run {run[:8]} is not going on: its status is cancelled"
    )


def test_a_detached_run_that_can_not_begin_passes_its_error_on(project: Project) -> None:
    answer = project.gitml("run", "nonsense", "--detach", code=2)
    assert answer.out == ""
    assert answer.err.startswith("gitml: no pipeline 'nonsense'")


def test_a_detached_run_that_is_over_at_once_is_found_by_its_id(project: Project) -> None:
    run = project.gitml("run", "--detach", "-q").out.strip()
    end = time.monotonic() + PATIENCE
    while project.gitml("show", run, code=None).code and time.monotonic() < end:
        time.sleep(0.05)
    assert project.gitml("show", run, "--json").data["status"] == "succeeded"


def test_experiment_tag_and_message_are_recorded(project: Project) -> None:
    run = project.run("--experiment", "e1", "--tag", "x", "--tag", "y", "-m", "why not")
    assert (run["experiment"], run["tags"], run["message"]) == ("e1", ["x", "y"], "why not")


def test_force_runs_the_named_step_alone_again(project: Project) -> None:
    run = project.run("words", "train", "-f")
    assert [step["outcome"] for step in run["steps"]] == ["reused", "executed"]
    run = project.run("--no-reuse")
    assert [step["outcome"] for step in run["steps"]] == ["executed", "executed"]


def test_at_a_terminal_a_run_that_executes_is_shown_live_and_leaves_an_account(project: Project) -> None:
    project.write("src/train.sh", "echo working\nsleep 0.5\n" + (project.root / "src/train.sh").read_text())
    seen = project.at_terminal("run")
    assert "\x1b[?25l" in seen  # the cursor is hidden while the picture is there
    assert seen.rstrip().endswith("s")
    assert "working" in seen
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    assert re.search(
        rf"= prepare  same as in run [0-9a-f]{{8}}\n✓ train  {DURATION}  code src/train\.sh changed\n", plain
    )
    assert "\x1b[?25h" in seen


def test_at_a_terminal_without_colours_no_colour_is_written(project: Project) -> None:
    seen = project.at_terminal("run", "-S", "rate=4", env={"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", seen)


def test_a_run_that_reuses_everything_draws_no_picture(project: Project) -> None:
    seen = project.at_terminal("run")
    assert "\x1b[?25l" not in seen
    assert "2 reused" in seen


def test_a_piped_run_tells_that_an_environment_is_built_once(project: Project) -> None:
    project.write("env/none.txt", "# nothing\n")
    project.write(
        "pipelines/built.yaml",
        "environment: env/none.txt\nsteps:\n  t: {run: python -c 1}\n  u: {run: python -c 2, after: [t]}\n",
    )
    project.commit()
    told = project.gitml("run", "built").err
    assert told.count("  building the environment\n") == 1
    assert told.index("run    t") < told.index("wait   t  building the environment") < told.index("done   t")


def test_what_no_output_holds_is_named_once_for_a_matrix(project: Project) -> None:
    pipeline = (
        "steps:\n  t:\n    matrix: {n: [1, 2, 3]}\n    shell: sh\n"
        "    run: mkdir mlruns; echo ${{ matrix.n }} > ${{ outputs.o }}\n    outputs: {o: file}\n"
    )
    (project.root / "pipelines/left.yaml").write_text(pipeline)
    told = project.gitml("run", "left").err
    assert told.count("made mlruns/, which is no output: it goes with the sandbox") == 1
    assert "mlruns" not in project.gitml("run", "left").err
