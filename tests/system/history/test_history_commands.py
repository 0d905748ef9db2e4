"""`log`, `show`, `logs`, `metrics`, `params`: what they print of recorded runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import DURATION
from tests.system.conftest import Project


@pytest.fixture
def history(project: Project) -> Project:
    """Three commits' worth of runs: rate 2, rate 3, and a dirty one with rate 4 that is tagged."""
    project.write(
        "pipelines/words.yaml", (project.root / "pipelines/words.yaml").read_text().replace("2, min", "3, min")
    )
    project.commit("Rate three")
    project.gitml("run", "-q")
    project.write(
        "pipelines/words.yaml", (project.root / "pipelines/words.yaml").read_text().replace("3, min", "4, min")
    )
    project.gitml("run", "-q", "--tag", "best", "-m", "try four", "--experiment", "fours")
    return project


def test_runs_are_named_by_how_far_back_they_are(history: Project) -> None:
    ids = [run["run"] for run in history.gitml("log", "--json").data]
    assert [
        history.gitml("show", name, "--json").data["run"] for name in ("latest", "latest~0", "latest~1", "latest~2")
    ] == [
        ids[0],
        *ids,
    ]
    assert "no run latest~3: there are 3" in history.gitml("show", "latest~3", code=2).err
    assert "not a run" in history.gitml("show", "latest~x", code=2).err
    assert (
        history.gitml("params", "diff", "latest~2..latest").out
        == history.gitml("params", "diff", f"{ids[2]}..{ids[0]}").out
    )
    assert history.gitml("lineage", "up", "latest~1:train.model").out.startswith("artifact train.model")


def test_one_run_alone_is_compared_with_the_newest_of_its_pipeline(history: Project) -> None:
    history.write("pipelines/other.yaml", "steps: {a: {run: sh src/nothing.sh}}")
    history.write("src/nothing.sh", "true")
    history.gitml("run", "other")
    ids = [run["run"] for run in history.gitml("log", "--json").data]
    told = history.gitml("metrics", "diff", ids[2], "--json").data
    assert (told["before"]["run"], told["after"]["run"]) == (ids[2], ids[1])


def test_log_lists_runs_newest_first_with_a_star_for_uncommitted_work(history: Project) -> None:
    answer = history.gitml("log")
    lines = answer.out.splitlines()
    head = history.git("rev-parse", "--short=8", "HEAD")
    assert lines[0].split() == ["RUN", "STATUS", "PIPELINE", "COMMIT", "WHEN", "TIME", "STEPS", "BRANCH", "NOTES"]
    assert len(lines) == 4
    assert f"{head}*" in lines[1]
    assert "[best]" in lines[1]
    assert lines[1].rstrip().endswith("experiment fours  try four")
    assert f"{head} " in lines[2]
    assert answer.err == ""


def test_log_shows_metrics_as_columns_by_their_short_or_whole_name(history: Project) -> None:
    lines = history.gitml("log", "--metrics", "score").out.splitlines()
    assert "train.score" in lines[0]
    place = lines[0].index("train.score") + len("train.score")
    assert [line[:place].split()[-1] for line in lines[1:]] == ["4", "3", "2"]
    assert history.gitml("log", "--metrics", "train.score,size").out.splitlines()[0].count("train.") == 2
    answer = history.gitml("log", "--metrics", "scor", code=2)
    assert answer.err.startswith("gitml: no run listed here has a metric 'scor' (")


def test_log_filters(history: Project) -> None:
    def runs(*words: str) -> int:
        return len(history.gitml("log", "--json", *words).data)

    assert runs() == 3
    assert runs("-n", "2") == 2
    assert runs("--tag", "best") == 1
    assert runs("--experiment", "fours") == 1
    assert runs("--pipeline", "nothing") == 0
    assert runs("--commit", "HEAD") == 2, "with the uncommitted work on it"
    assert runs("--status", "failed") == 0
    assert runs("--status", "succeeded") == 3
    assert runs("--commit", "HEAD~1") == 1
    assert runs("--branch", "main") == 3
    assert runs("--since", "1h") == 3
    assert runs("--since", "2999-01-01") == 0


def test_metrics_and_outputs_keep_the_order_of_the_pipeline_executed_reused_and_fetched(project: Project) -> None:
    project.write("src/train.sh", 'cp "$1" "$3"\nprintf \'{"z": 1, "b": {"y": 2, "a": 3}}\' > "$4"\n')
    executed = project.gitml("run").err
    assert "result train.z 1, train.b.y 2, train.b.a 3\n" in executed
    assert "result train.z 1, train.b.y 2, train.b.a 3\n" in project.gitml("run").err
    (project.root / ".git/gitml/index.db").unlink()
    assert "result train.z 1, train.b.y 2, train.b.a 3\n" in project.gitml("run").err
    shown = project.gitml("show").out
    assert shown.index("output   model") < shown.index("output   scores")
    assert list(project.gitml("metrics", "--json").data[0]["metrics"]) == ["train.z", "train.b.y", "train.b.a"]


def test_log_says_when_there_is_more_and_when_there_is_nothing(history: Project, fresh: Project) -> None:
    assert "older runs are left out" in history.gitml("log", "-n", "1").err
    assert history.gitml("log", "--tag", "none").err == "no runs that match\n"
    assert fresh.gitml("log").err == "no runs yet: gitml run\n"
    assert fresh.gitml("log", "--json").data == []


def test_log_refuses_what_is_no_date(history: Project) -> None:
    answer = history.gitml("log", "--since", "soonish", code=2)
    assert answer.err == "gitml: not a date: 'soonish': write 2026-07-01, 2026-07-01T12:30, or 3d, 12h, 2w\n"


def test_log_json_is_a_list_of_runs_newest_first(history: Project) -> None:
    rows = history.gitml("log", "--json").data
    assert [row["metrics"]["train.score"] for row in rows] == [4, 3, 2]
    assert {"run", "pipeline", "commit", "dirty", "status", "started", "ended", "seconds"} <= set(rows[0])
    assert [row["started"] for row in rows] == sorted((row["started"] for row in rows), reverse=True)


def test_show_tells_one_run_in_full(history: Project) -> None:
    run = history.gitml("log", "--json", "--tag", "best").data[0]["run"]
    text = history.gitml("show", run[:6]).out
    assert f"run        {run}  succeeded" in text
    assert "(uncommitted work on " in text
    assert "params     rate=4" in text
    assert "message    try four" in text
    assert re.search(rf"train  executed in {DURATION}  param rate: 3 -> 4", text)
    assert re.search(r"output   model  file  13 B  sha256:[0-9a-f]{12}", text)
    assert "metrics  score 4, size 4" in text
    assert history.gitml("show").out.startswith(f"run        {run}")


def test_show_json_has_the_form_of_run_json(history: Project) -> None:
    run = history.gitml("show", "--json").data
    assert [step["name"] for step in run["steps"]] == ["prepare", "train"]
    assert run["status"] == "succeeded"


def test_an_unknown_and_a_malformed_run_are_told_apart(history: Project) -> None:
    answer = history.gitml("show", "ffffffff", code=2)
    assert answer.err == "gitml: no run 'ffffffff': `gitml log` lists the runs\n"
    answer = history.gitml("show", "what?", code=2)
    assert answer.err.startswith("gitml: not a run: 'what?': give the first 4 or more")
    assert history.gitml("show", "abc", code=2).err.startswith("gitml: not a run: 'abc'")


def test_an_ambiguous_prefix_names_the_runs_it_fits(project: Project) -> None:
    for last in ("1", "2"):
        project.gitml("run", "-q", "--run-id", f"abcdef00000000{last}0")
    answer = project.gitml("show", "abcdef", code=2)
    assert answer.err.startswith(
        "gitml: several runs begin with 'abcdef': abcdef0000000020, abcdef0000000010: give more digits"
    )
    assert project.gitml("show", "abcdef000000001", "--json").data["run"] == "abcdef0000000010"


def test_show_tells_of_a_run_that_goes_on_what_runs_and_what_waits(history: Project) -> None:
    wait = "while ! test -e $0; do sleep 0.02; done"
    begun, over = history.root / "begun", history.root / "over"
    step = "{run: 'true', after: [hold]}"
    history.write(
        "pipelines/slow.yaml",
        f"steps:\n  quick: {{run: 'true'}}\n  hold: {{run: sh -c 'touch {begun}; {wait}' {over}, after: [quick]}}\n"
        + "".join(f"  after{number}: {step}\n" for number in range(7)),
    )
    process = history.start("run", "slow")
    try:
        history.wait_for(begun)
        out = history.gitml("show").out
        assert re.search(r"^quick  executed in ", out, re.MULTILINE)
        assert re.search(r"^hold  running for [\d.]+m?s  never ran$", out, re.MULTILINE)
        assert out.endswith("waiting    after0, after1, after2, after3, after4 and 2 more\n")
        shown = history.gitml("show", "--json").data
        assert [step["name"] for step in shown["steps"]] == ["quick"]
        assert (shown["running"], len(shown["waiting"])) == (["hold"], 7)
    finally:
        over.touch()
        process.communicate(timeout=PATIENCE)
    assert "waiting" not in history.gitml("show").out
    assert "waiting" not in history.gitml("show", "--json").data


def test_nothing_to_show_is_an_error(fresh: Project) -> None:
    assert fresh.gitml("show", code=2).err == "gitml: nothing has run here yet: gitml run\n"


def test_logs_prints_what_steps_wrote_and_headings_go_to_stderr(project: Project) -> None:
    run = project.gitml("log", "--json").data[0]["run"]
    answer = project.gitml("logs", run)
    assert answer.out == "preparing data/raw.txt\nrate 2\n"
    assert answer.err == "== prepare\n== train\n"
    answer = project.gitml("logs", run, "train")
    assert (answer.out, answer.err) == ("rate 2\n", "")


def test_the_log_of_a_reused_step_is_that_of_the_run_that_made_it(project: Project) -> None:
    project.gitml("run", "-q")
    assert project.gitml("logs").out == ""
    assert project.gitml("logs", "latest", "train").out == "rate 2\n"


def test_an_unknown_step_has_no_logs(project: Project) -> None:
    answer = project.gitml("logs", "latest", "trian", code=2)
    assert re.match(r"gitml: run [0-9a-f]{8} has no step 'trian' \(did you mean 'train'\?\)\n", answer.err)


def test_every_attempt_of_a_step_has_its_log(project: Project) -> None:
    project.write(
        "pipelines/again.yaml",
        "steps:\n  a:\n    run: sh src/a.sh ${{ outputs.o }}\n    outputs: {o: file}\n    retries: 1\n",
    )
    project.write("src/a.sh", "echo trying\nexit 1\n")
    project.gitml("run", "again", "-q", code=1)
    answer = project.gitml("logs", "latest", "a")
    assert answer.out == "trying\ntrying\n"
    assert answer.err == "== a, attempt 1 of 2\n== a, attempt 2 of 2\n"


def test_logs_to_a_pipe_are_the_bytes_and_to_a_terminal_safe_text(project: Project) -> None:
    project.write(
        "src/train.sh", r"printf 'a\033]0;owned\007b\xff\n'" + "\n" + (project.root / "src/train.sh").read_text()
    )
    project.gitml("run", "-q")
    assert "\x1b]0;owned" in project.gitml("logs", "latest", "train").out
    seen = project.at_terminal("logs", "latest", "train")
    assert "\x1b]0" not in seen
    assert r"a\x1b]0;owned\x07b\xff" in seen


def test_metrics_show_and_diff_by_run_and_by_revision(history: Project) -> None:
    ids = [row["run"] for row in history.gitml("log", "--json").data]
    assert history.gitml("metrics", "show", ids[1]).out == "train.score  3\ntrain.size   4\n"
    assert history.gitml("metrics").out == "train.score  4\ntrain.size   4\n"
    answer = history.gitml("metrics", "diff", f"{ids[2][:8]}..{ids[0][:8]}")
    assert answer.out == "train.score  2  ->  4  +2\n"
    assert answer.err.startswith(f"run {ids[2][:8]} (words at ")
    by_revision = history.gitml("metrics", "diff", "HEAD~1..HEAD", "--json").data
    assert (by_revision["before"]["run"], by_revision["after"]["run"]) == (ids[2], ids[1])
    assert by_revision["metrics"] == [{"name": "train.score", "before": 2, "after": 3, "delta": 1, "changed": True}]
    newest = history.gitml("metrics", "diff", "--json").data
    assert (newest["before"]["run"], newest["after"]["run"]) == (ids[1], ids[0])


def test_metrics_diff_can_tell_by_its_exit_code(history: Project) -> None:
    assert history.gitml("metrics", "diff", "HEAD~1..HEAD", "--exit-code", code=1)
    answer = history.gitml("metrics", "diff", "HEAD..HEAD", "--exit-code")
    assert "all 2 metrics are the same" in answer.err


def test_several_runs_stand_side_by_side(history: Project) -> None:
    ids = [row["run"][:8] for row in history.gitml("log", "--json").data]
    lines = history.gitml("metrics", "show", *ids).out.splitlines()
    assert lines[0].split() == ["METRIC", *ids]
    assert lines[1].split() == ["train.score", "4", "3", "2"]


def test_params_diff_shows_what_was_given(history: Project) -> None:
    assert history.gitml("params", "diff", "HEAD~1..HEAD").out == "rate  2  ->  3  +1\n"
    assert history.gitml("params", "show", "HEAD").out == "rate  3\n"


def test_a_revision_that_never_ran_is_told_with_the_command_that_would(history: Project) -> None:
    history.commit("Rate four")
    answer = history.gitml("metrics", "diff", "HEAD~1..HEAD", code=2)
    assert re.match(
        r"gitml: no run of pipeline 'words' at HEAD \([0-9a-f]{12}\): gitml run words --at HEAD\n", answer.err
    )


def test_what_is_neither_run_nor_revision_is_told(history: Project) -> None:
    answer = history.gitml("params", "diff", "mian..HEAD", code=2)
    assert answer.err == "gitml: neither a run nor a revision: 'mian': did you mean main?\n"


def test_a_run_whose_gitml_was_killed_is_recorded_by_the_next_look(project: Project) -> None:
    project.write(
        "pipelines/slow.yaml", "steps:\n  wait:\n    run: sh src/wait.sh ${{ outputs.o }}\n    outputs: {o: file}\n"
    )
    project.write("src/wait.sh", "echo begun\nsleep 20\n")
    process = project.start("run", "slow")
    run = project.wait_for_live()
    process.kill()
    process.communicate(timeout=PATIENCE)
    row = project.gitml("log", "--json", "-n", "1").data[0]
    assert (row["run"], row["status"]) == (run, "failed")
    assert not list(Path(project.root / ".git/gitml/live").iterdir())


def test_hostile_text_in_a_record_never_reaches_a_terminal_raw(project: Project) -> None:
    project.gitml("run", "-q", "-m", "\x1b[31mred\x1b[0m \u202egnp.exe", "--tag", "a\nb")
    for words in (("log",), ("show",)):
        out = project.gitml(*words).out
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert r"\x1b[31mred\x1b[0m \u202egnp.exe" in out
        assert r"a\nb" in out


def test_output_to_a_reader_that_has_gone_is_quiet(history: Project) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m gitml show | true; exit ${{PIPESTATUS[0]}}"],
        cwd=history.root, env=history.env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_json_of_log_survives_names_that_are_not_unicode(history: Project) -> None:
    json.dumps(history.gitml("log", "--json").data)
