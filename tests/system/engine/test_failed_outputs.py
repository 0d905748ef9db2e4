"""What a step made that failed, timed out or was cancelled is not thrown away: it is named, can be had for a while, and goes."""

from __future__ import annotations

import json
import signal

import pytest

from tests.kit.patience import PATIENCE
from tests.system.conftest import Project

PIPELINE = """\
steps:
  train:
    shell: bash
    run: |
      echo weights > ${{ outputs.model }}
      echo '{"loss": 1, "loss": 2}' > ${{ outputs.scores }}
    outputs: {model: {type: file, path: models/m.bin}, scores: metrics}
"""


@pytest.fixture
def failed(project: Project) -> Project:
    """A project whose newest run failed after its model was made."""
    project.write("pipelines/failing.yaml", PIPELINE)
    project.commit()
    project.gitml("run", "failing", code=1)
    return project


def run_id(project: Project) -> str:
    return str(project.gitml("show", "--json").data["run"])


def days_later(project: Project, days: float) -> None:
    """As if what is left had been left so many days earlier."""
    (note,) = (project.root / ".git/gitml/partial").iterdir()
    said = json.loads(note.read_text())
    note.write_text(json.dumps({**said, "since": said["since"] - days * 86400}))


def test_a_failure_names_what_stays_and_how_to_have_it(project: Project) -> None:
    project.write("pipelines/failing.yaml", PIPELINE)
    project.commit()
    answer = project.gitml("run", "failing", code=1)
    run = run_id(project)[:8]
    assert "failed train  metric loss is there twice (.gitml/out/scores)" in answer.err
    assert f"what it made stays 14 days: gitml checkout {run}:train --failed\n" in answer.err
    quiet = project.gitml("run", "-q", "failing", code=1)
    assert f"gitml checkout {run_id(project)[:8]}:train --failed\n" in quiet.err


def test_it_is_shown_with_the_run_and_is_no_output(failed: Project) -> None:
    shown = failed.gitml("show", "--json").data["steps"][0]
    assert shown["outputs"] == {}
    assert {port: left["size"] for port, left in shown["partial"].items()} == {"model": 8, "scores": 23}
    assert "left     model  file  8 B" in failed.gitml("show").out


def test_the_command_that_is_named_writes_it_beside_and_never_into_the_place_of_the_result(failed: Project) -> None:
    run = run_id(failed)[:8]
    answer = failed.gitml("checkout", f"{run}:train", "--failed")
    assert answer.out.splitlines()[0] == f"written    failed-{run}/train/m.bin  8 B"
    assert (failed.root / f"failed-{run}/train/m.bin").read_text() == "weights\n"
    assert not (failed.root / "models").exists()
    failed.gitml("checkout", "latest:train.model", "copy", "--failed")
    assert (failed.root / "copy").read_text() == "weights\n"


def test_checkout_without_failed_says_how_to_have_what_was_left(failed: Project) -> None:
    answer = failed.gitml("checkout", "latest:train.model", "copy", code=2)
    assert "has no output 'model'" in answer.err
    assert answer.err.endswith("what its failed attempts left of them: --failed\n")
    answer = failed.gitml("checkout", "latest:train.modle", "copy", "--failed", code=2)
    assert "left an output 'modle' (did you mean 'model'" in answer.err


def test_of_a_run_that_went_well_nothing_is_left(project: Project) -> None:
    answer = project.gitml("checkout", "latest:train", "--failed", code=2)
    assert "no failed attempt of step 'train'" in answer.err
    assert not (project.root / ".git/gitml/partial").exists()


def test_it_is_never_reused(failed: Project) -> None:
    assert [step["outcome"] for step in failed.run("failing", code=1)["steps"]] == ["failed"]


def test_gc_keeps_it_for_two_weeks_and_says_what_goes(failed: Project) -> None:
    days_later(failed, 13)
    failed.gitml("gc", "--keep-last", "0")
    failed.gitml("checkout", "latest:train.model", "copy", "--failed")
    days_later(failed, 1)
    foretold = failed.gitml("gc", "-n").out
    assert foretold.endswith("would remove what steps of 1 failed run left of their outputs\n")
    assert failed.gitml("gc").out == foretold.replace("would remove", "removed")
    answer = failed.gitml("checkout", "latest:train.model", "other", "--failed", code=2)
    assert "is not stored here" in answer.err
    assert "it stays 14 days" in answer.err
    assert failed.gitml("gc", "-n").out == "would remove 0 objects, 0 B\n"
    failed.gitml("fsck")


def test_gc_removes_it_earlier_when_asked(failed: Project) -> None:
    assert failed.gitml("gc", "--keep-failed", "30d", "--json").data["objects"] == 0
    assert failed.gitml("gc", "--keep-failed", "0", "--json").data["failed_runs"] == 1
    failed.gitml("checkout", "latest:train.model", "other", "--failed", code=2)
    assert "--keep-failed" in failed.gitml("gc", "--keep-failed", "soon", code=2).err


def test_a_note_that_cannot_be_read_stops_no_gc(failed: Project) -> None:
    (note,) = (failed.root / ".git/gitml/partial").iterdir()
    note.write_text('{"since": ')
    assert failed.gitml("gc", "--json").data["failed_runs"] == 1


def test_its_bytes_are_not_in_the_record(failed: Project) -> None:
    names = failed.git("ls-tree", "-r", "--name-only", "refs/gitml/runs").split()
    shown = failed.gitml("show", "--json").data["steps"][0]["partial"]
    for left in shown.values():
        assert not any(left["digest"].removeprefix("sha256:") in name for name in names)


def test_every_attempt_begins_with_an_empty_sandbox_and_the_last_that_left_something_counts(project: Project) -> None:
    project.write(
        "pipelines/failing.yaml",
        "steps:\n  t:\n    shell: bash\n    retries: 1\n"
        "    run: test ! -e ${{ outputs.o }} || exit 9; echo $RANDOM$$ | tee ${{ outputs.o }}; exit 3\n"
        "    outputs: {o: file}\n",
    )
    project.commit()
    project.gitml("run", "failing", code=1)
    attempts = project.gitml("show", "--json").data["steps"][0]["attempts"]
    assert [attempt["exit_code"] for attempt in attempts] == [3, 3]
    project.gitml("checkout", "latest:t.o", "copy", "--failed")
    assert (project.root / "copy").read_text() == project.gitml("logs", "latest", "t").out.splitlines(keepends=True)[-1]


def test_what_a_step_saves_when_it_is_ended_stays(project: Project) -> None:
    saving = "trap 'echo saved > ${{ outputs.o }}; exit 1' TERM; touch ${{ outputs.o }}; echo begun; sleep 60 & wait"
    project.write(
        "pipelines/saving.yaml",
        f'steps:\n  late: {{shell: bash, run: "{saving}", timeout: 1s, outputs: {{o: file}}}}\n',
    )
    project.commit()
    answer = project.gitml("run", "saving", code=1)
    assert "timed out after 1s" in answer.err
    project.gitml("checkout", "latest:late.o", "copy", "--failed")
    assert (project.root / "copy").read_text() == "saved\n"


def test_what_a_step_saves_on_ctrl_c_stays_and_is_named(project: Project) -> None:
    begun = project.root / "begun"
    saving = "trap 'echo saved > ${{ outputs.o }}; exit 1' TERM; touch " + str(begun) + "; sleep 60 & wait"
    project.write("pipelines/saving.yaml", f'steps:\n  s: {{shell: bash, run: "{saving}", outputs: {{o: file}}}}\n')
    project.commit()
    process = project.start("run", "saving")
    project.wait_for(begun)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "what it made stays 14 days: gitml checkout " in told
    project.gitml("checkout", "latest:s.o", "copy", "--failed")
    assert (project.root / "copy").read_text() == "saved\n"


def test_a_metric_that_is_not_a_number_loses_nothing_and_is_told(project: Project) -> None:
    project.write(
        "pipelines/odd.yaml",
        "steps:\n  t:\n    shell: bash\n"
        "    run: |\n"
        "      echo weights > ${{ outputs.model }}\n"
        '      echo \'{"loss": NaN, "gain": -Infinity, "accuracy": 0.5}\' > ${{ outputs.m }}\n'
        "    outputs: {model: file, m: metrics}\n",
    )
    project.commit()
    answer = project.gitml("run", "odd")
    assert "warning: step t: metric loss is NaN, gain is -Infinity: recorded as such" in answer.err
    assert project.gitml("metrics").out.split() == ["t.loss", "NaN", "t.gain", "-inf", "t.accuracy", "0.5"]
    odd = {"t.loss": "NaN", "t.gain": "-Infinity", "t.accuracy": 0.5}
    assert project.gitml("metrics", "--json").data[0]["metrics"] == odd
    assert project.gitml("show", "--json").data["steps"][0]["metrics"]["loss"] == "NaN"
    project.gitml("run", "odd")  # reused
    again = project.gitml("metrics", "diff", "-p", "odd", "--all", "--json", "--exit-code").data["metrics"]
    assert [(item["name"], item["changed"], item["delta"]) for item in again] == [
        ("t.loss", False, None),
        ("t.gain", False, None),
        ("t.accuracy", False, 0.0),
    ]
    (project.root / ".git/gitml/index.db").unlink()
    assert project.gitml("log", "-p", "odd", "--json").data[0]["metrics"] == odd
    assert "NaN" in project.gitml("log", "-p", "odd", "--metrics", "loss").out
