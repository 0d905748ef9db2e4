"""What a screen claims is so: sources of inputs, what is missing and why, order, age, and what a key does."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gitml.tui.screens.compare.screen import ComparePage
from gitml.tui.screens.run.screen import RunPage
from gitml.tui.widgets.graph import StepGraph
from gitml.tui.widgets.table import LazyTable
from tests.kit.projects.command_line import Project
from tests.kit.screen import Ui, shown

COPYING = """\
steps:
  make:
    shell: sh
    run: echo same > ${{ outputs.model }}
    outputs: {model: file}
  choose:
    run: cp ${{ steps.make.outputs.model }} ${{ outputs.best }}
    outputs: {best: file}
  judge:
    run: cat ${{ steps.make.outputs.model }} ${{ steps.choose.outputs.best }}
"""
LONG = """\
params: {gate: {type: str}}
steps:
  train:
    shell: sh
    run: |
      echo begun; until test -e ${{ params.gate }}; do sleep 0.05; done
      echo '{"loss": 1}' > ${{ outputs.numbers }}; echo 'x,y' > ${{ outputs.curve }}; echo '1,2' >> ${{ outputs.curve }}
    outputs: {numbers: metrics, curve: plot}
  after:
    run: echo ${{ steps.train.outputs.numbers }}
"""
FAILING = """\
params: {code: {default: 0}}
steps:
  first:
    shell: sh
    run: exit ${{ params.code }}
  last:
    after: [first]
    run: python3 score.py ${{ outputs.m }}
    outputs: {m: metrics}
"""
SCORE = 'import json, sys\njson.dump({"accuracy": 0.5}, open(sys.argv[1], "w"))\n'


def project_with(tmp_path: Path, **pipelines: str) -> Project:
    files = {f"pipelines/{name}.yaml": text for name, text in pipelines.items()}
    return Project(tmp_path / "p", {"score.py": SCORE, **files})


def row(ui: Ui, name: str) -> str:
    return ui.line(f"  {name} ")


async def test_an_input_names_the_step_it_came_from_though_a_later_step_made_the_same_bytes(tmp_path: Path) -> None:
    project = project_with(tmp_path, copying=COPYING)
    run = project.run("copying")["run"]
    async with shown(project.path, project.env, "run", run=run, step="judge") as ui:
        await ui.press("f")
        sources = [line.split() for line in ui.lines() if " input " in line]
        assert [next(word for word in line if word in ("make", "choose")) for line in sources] == ["make", "choose"]
        await ui.press("up")


async def test_a_step_that_runs_shows_no_metrics_and_plots_because_they_come_later(tmp_path: Path) -> None:
    project = project_with(tmp_path, long=LONG)
    gate = tmp_path / "gate"
    async with shown(project.path, project.env) as ui:
        ui.app.screen.start_run(["-S", f"gate={gate}", "long"])  # type: ignore[attr-defined]
        await ui.until("▶ train")
        await ui.press("m")
        assert "Not written yet" in ui.text()
        assert "`numbers` is read when the step ends" in ui.text()
        await ui.press("p")
        assert "`curve` is read when the step ends" in ui.text()
        await ui.press("down", "m")
        assert "declares no output of the type metrics" in ui.text()
        gate.touch()
        await ui.until("✓ succeeded")
        await ui.press("up")
        await ui.until("train.loss")


async def test_code_and_metrics_of_steps_that_were_not_reached_are_no_difference(tmp_path: Path) -> None:
    project = project_with(tmp_path, failing=FAILING)
    good = project.run("failing")["run"]
    bad = project.run("failing", "-S", "code=3", code=1)["run"]
    async with shown(project.path, project.env, "compare", runs=(good, bad)) as ui:
        assert "score.py" not in ui.text()
        assert "accuracy" not in ui.text()
        assert "first" in ui.text()
        await ui.press("a")
        assert "-" not in row(ui, "score.py").replace("─", "").split()
        assert "not reached" in row(ui, "last.accuracy")


async def test_the_change_is_of_two_runs_only(ran: Project) -> None:
    runs = tuple(run["run"] for run in ran.do("log", "--json").json[::-1])
    async with shown(ran.path, ran.env, "compare", size=(160, 40), runs=runs) as ui:
        assert "0.25" in row(ui, "gamma")
        assert "CHANGE" not in ui.text()
    async with shown(ran.path, ran.env, "compare", size=(160, 40), runs=runs[:2]) as ui:
        assert "+0.25" in row(ui, "gamma")


async def test_the_order_is_seen_on_a_column_whose_title_is_cut_and_is_the_usual_one_next_time(ran: Project) -> None:
    async with shown(ran.path, ran.env, size=(100, 30)) as ui:
        await ui.press("s")
        await ui.type("bert")
        await ui.press("enter", "slash")
        await ui.type("status:succeeded")
        await ui.press("enter")
        assert "▼ " in ui.line("PIPELINE")
        assert "by train[bert].accuracy ▼" in ui.text()
        ui.app.save_state()
    async with shown(ran.path, ran.env, size=(100, 30)) as ui:
        assert "▼ WHEN" in ui.line("PIPELINE")
        assert "status:succeeded" not in ui.text()


@pytest.mark.parametrize(("place", "before", "after"), [("run", "s ago", "m ago"), ("runs", "s ", "m ")])
async def test_how_long_ago_a_run_began_goes_on_on_a_screen_at_rest(
    ran: Project, monkeypatch: pytest.MonkeyPatch, place: str, before: str, after: str
) -> None:
    newest = ran.do("log", "--json").json[0]
    at = newest["started"]
    what = {"run": newest["run"]} if place == "run" else {}
    monkeypatch.setattr(time, "time", lambda: at + 20)
    async with shown(ran.path, ran.env, place, **what) as ui:
        await ui.until(f"20{before}")
        monkeypatch.setattr(time, "time", lambda: at + 7 * 60)
        await ui.until(f"7{after}")


async def test_boxes_that_do_not_fit_are_drawn_on_a_larger_canvas(tmp_path: Path) -> None:
    steps = "".join(f"  a_step_with_a_long_name_{number}: {{run: 'true'}}\n" for number in range(12))
    project = project_with(tmp_path, wide="steps:\n" + steps)
    run = project.run("wide")["run"]
    async with shown(project.path, project.env, "run", size=(100, 30), run=run) as ui:
        assert "╭─────" not in ui.line("a_step_with_a_long_name_0")
        await ui.press("v", "home")
        assert "a_step_with_a_long_name_0 │" in ui.text()
        await ui.press("end")
        assert "a_step_with_a_long_name_11 │" in ui.text()


async def test_boxes_of_too_many_steps_are_refused_with_a_word_and_a_step_is_found_by_its_name(tmp_path: Path) -> None:
    steps = "".join(f"  s{number}: {{run: 'true'}}\n" for number in range(240))
    project = project_with(tmp_path, many="steps:\n" + steps)
    run = project.run("many", "--at", "HEAD")["run"]
    async with shown(project.path, project.env, "run", run=run) as ui:
        await ui.press("v")
        assert "240 steps are too many" in ui.text()
        await ui.press("slash")
        await ui.type("s217")
        await ui.press("enter")
        assert ui.app.screen.query_one(StepGraph).chosen == "s217"
        assert any("▸" in line and "s217" in line for line in ui.lines())


async def test_enter_on_a_line_of_a_comparison_opens_what_it_is_about_or_says_why_not(ran: Project) -> None:
    first, second, *_ = (run["run"] for run in ran.do("log", "--json").json[::-1])

    async def on(ui: Ui, name: str) -> None:
        assert isinstance(ui.app.screen, ComparePage)
        table = ui.app.screen.query_one(LazyTable)
        at = next(at for at in range(table.count) if (row := table.row(at)) and row.key.endswith(f":{name}"))
        table.move_to(at)
        await ui.press("enter")

    async with shown(ran.path, ran.env, "compare", runs=(first, second)) as ui:
        await ui.press("a")
        await on(ui, "gamma")
        assert "no details" in ui.text()
        await on(ui, "work.py")
        assert "the same in the first and the last run" in ui.text()
        await on(ui, "train[ada].accuracy")
        assert isinstance(ui.app.screen, RunPage)
        assert ui.app.screen.section == "metrics"
        assert ui.app.screen.step is not None
        assert ui.app.screen.step.name == "train[ada]"


async def test_explain_asks_for_a_step_only_where_there_is_a_choice(tmp_path: Path) -> None:
    project = project_with(tmp_path, one="steps:\n  only: {run: echo hi}\n", failing=FAILING)
    project.run("one")
    runs = (project.run("failing")["run"], project.run("failing", "-S", "code=3", code=1)["run"])
    async with shown(project.path, project.env) as ui:
        await ui.press("down", "down", "e")
        assert "Explain only" in ui.text()
    async with shown(project.path, project.env, "compare", runs=runs) as ui:
        await ui.press("down", "down", "down", "e")
        assert "Explain which step?" in ui.text() or "Explain first" in ui.text()


async def test_a_new_run_is_of_the_chosen_pipeline_and_enter_starts_nothing_by_mistake(tmp_path: Path) -> None:
    project = project_with(
        tmp_path, aaa="params: {k: 1}\nsteps:\n  s: {run: 'true'}\n", zzz="steps:\n  s: {run: 'true'}\n"
    )
    project.run("zzz")
    before = len(project.do("log", "--json").json)
    async with shown(project.path, project.env) as ui:
        await ui.press("n")
        assert "$ gitml run zzz" in ui.text()
        await ui.press("enter")
        assert ui.route == "StartRunDialog"
        await ui.press("escape", "escape")
    assert len(project.do("log", "--json").json) == before
