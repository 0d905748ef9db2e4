"""A recorded run repeated from its commit, and where what comes out differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitml.analysis.reproduce import Reproduction, reproduce
from gitml.core.model.stop_signal import StopSignal
from gitml.core.records.record import Run
from gitml.errors import InputError
from gitml.records.layout import parse_path
from gitml.store.index.results import variants_of
from tests.kit.projects.project import Project, outcomes
from tests.kit.record_files import record_files

pytestmark = pytest.mark.slow  # whole runs, one after another

STEADY = """\
params: {n: 3}
steps:
  a: {shell: sh, run: "seq ${{ params.n }} > ${{ outputs.o }}", outputs: {o: file}}
  b: {shell: sh, run: "mkdir -p ${{ outputs.o }}/d; cp ${{ steps.a.outputs.o }} ${{ outputs.o }}/d/f", outputs: {o: directory}}
"""


def again(project: Project, run: Run) -> Reproduction:
    with project.workspace() as ws:
        return reproduce(ws, run, lambda _: None, StopSignal())


def verdicts(project: Project) -> list[dict[str, object]]:
    with project.workspace() as ws:
        files = [(parse_path(path), oid) for _, path, oid in record_files(ws.records)]
        return [json.loads(ws.records.read(oid)) for file, oid in files if file and file.folder == "reproductions"]


def test_a_steady_run_comes_out_identical_with_every_step_performed(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": STEADY})
    run = project.run(given=[("n", "5")], wanted=("b",), experiment="e")
    project.repo.commit("another time", {"pipelines/p.yaml": STEADY.replace("seq", "seq 0")})
    found = again(project, run)
    assert (found.identical, found.differences, found.notes) == (True, (), ())
    assert found.original == run
    assert outcomes(found.run) == {"a": "executed", "b": "executed"}
    assert (found.run.commit, found.run.params, found.run.experiment) == (run.commit, {"n": 5}, "e")
    assert found.run.tags == ("reproduction",)
    assert [(v["run"], v["identical"], v["differences"]) for v in verdicts(project)] == [(found.run.id, True, [])]


def test_a_run_of_uncommitted_work_is_repeated_from_its_snapshot(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": STEADY})
    project.repo.write({"pipelines/p.yaml": STEADY.replace("seq", "seq 2")})
    run = project.run()
    assert run.dirty
    project.repo.git("checkout", "-q", "--", ".")
    assert again(project, run).identical


@pytest.mark.parametrize(
    ("command", "outputs", "places"),
    [
        ("{ echo same; echo TIME; } > ${{ outputs.o }}", "file", [("", "differs first at byte 5, line 2")]),
        (
            "echo 2026-01-02 03:04:0$(head -c 1 CLOCK) > ${{ outputs.o }}",
            "file",
            [("", "differs first at byte 18, line 1: a time")],
        ),
        ("{ printf 'a\\000b\\n'; cat CLOCK; } > ${{ outputs.o }}", "file", [("", "differs first at byte 4")]),
        (
            "mkdir -p ${{ outputs.o }}/d; echo TIME > ${{ outputs.o }}/d/f; echo s > ${{ outputs.o }}/s",
            "directory",
            [("d/f", "differs first at byte 0, line 1")],
        ),
        ("mkdir ${{ outputs.o }}; echo x > ${{ outputs.o }}/TIME", "directory", [("", "is missing"), ("", "is new")]),
    ],
)
def test_a_step_that_writes_the_time_differs_and_is_told_where_first(
    tmp_path: Path, command: str, outputs: str, places: list[tuple[str, str]]
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("1000")
    step = command.replace("TIME", f"$(cat {clock})").replace("CLOCK", str(clock))
    text = "steps:\n  t:\n    shell: sh\n    run: |\n      " + step + f"\n    outputs: {{o: {outputs}}}\n"
    text += "  later: {shell: sh, run: 'ls -R ${{ steps.t.outputs.o }} > /dev/null; echo x > ${{ outputs.o }}', outputs: {o: file}}\n"
    project = Project(tmp_path / "r", {"pipelines/p.yaml": text})
    run = project.run()
    assert run.status == "succeeded"
    clock.write_text("2000")
    found = again(project, run)
    assert not found.identical
    assert {d.step for d in found.differences} == {"t"}
    told = [("" if d.path.isdigit() else d.path, d.what) for d in found.differences]
    assert [path for path, _ in told] == [path for path, _ in places]
    for (_, what), (_, expected) in zip(told, places, strict=True):
        assert what.startswith(expected)
    assert [v["identical"] for v in verdicts(project)] == [False]
    with project.workspace() as ws:
        key = run.steps[0].key
        assert key is not None
        assert len(variants_of(ws.index, key)) == 2


def test_where_a_difference_is_of_kind_size_or_mode(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("one")
    command = f"mkdir ${{{{ outputs.o }}}}; cd ${{{{ outputs.o }}}}; echo x > longer; echo x > bit; if [ $(cat {state}) = one ]; then echo x > kind; else mkdir kind; chmod +x bit; printf y >> longer; fi"
    text = f"steps:\n  t:\n    shell: sh\n    run: |\n      {command}\n    outputs: {{o: directory}}\n"
    project = Project(tmp_path / "r", {"pipelines/p.yaml": text})
    run = project.run()
    state.write_text("two")
    found = again(project, run)
    assert [(d.path, d.what) for d in found.differences] == [
        ("bit", "kind f became x"),
        ("kind", "kind f became d"),
        ("longer", "differs first at byte 2, line 2"),
    ]


def test_a_step_that_fails_this_time_is_a_difference(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    text = f"steps:\n  a: {{shell: sh, run: 'cat {gate} > ${{{{ outputs.o }}}}', outputs: {{o: file}}}}\n"
    project = Project(tmp_path / "r", {"pipelines/p.yaml": text})
    run = project.run()
    gate.unlink()
    found = again(project, run)
    assert not found.identical
    assert found.differences[0].step == "a"
    assert found.differences[0].what.startswith("failed: ")


def test_a_cancelled_reproduction_gives_no_verdict(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": STEADY})
    run = project.run()
    signal = StopSignal()
    signal.ask()
    with project.workspace() as ws, pytest.raises(InputError, match="cancelled"):
        reproduce(ws, run, lambda _: None, signal)
    assert verdicts(project) == []


def test_what_is_no_longer_stored_is_told_apart_by_digest(tmp_path: Path) -> None:
    import os

    clock = tmp_path / "clock"
    clock.write_text("1")
    text = f"steps:\n  a: {{shell: sh, run: 'cat {clock} > ${{{{ outputs.o }}}}', outputs: {{o: file}}}}\n"
    project = Project(tmp_path / "r", {"pipelines/p.yaml": text, "gitml.yaml": "records: {inline_file: 0}\n"})
    run = project.run()
    for path in project.objects():
        os.unlink(path)
    assert again(project, run).identical
    clock.write_text("2")
    for path in project.objects():
        os.unlink(path)
    (difference,) = again(project, run).differences
    assert "the first is not here: it was not pushed to a remote store" in difference.what
