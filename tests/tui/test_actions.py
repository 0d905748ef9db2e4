"""What can be done from a screen, and what it does to the repository."""

from __future__ import annotations

import json
from pathlib import Path

from textual.widgets import Input

from tests.kit.projects.command_line import Project, wait_until
from tests.kit.screen import shown


def runs_of(project: Project) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = project.do("log", "--json").json
    return listed


async def test_a_run_is_started_with_the_parameters_that_were_typed(project: Project) -> None:
    async with shown(project.path, project.env) as ui:
        await ui.press("n")
        assert "Trains two models" in ui.text()
        assert "where chance begins" in ui.text()
        assert "$ gitml run models" in ui.text()
        field = next(field for field in ui.app.screen.query(Input) if field.name == "gamma")
        field.value = "0.75"
        await ui.settle()
        assert "$ gitml run -S gamma=0.75 models" in ui.text()
        await ui.press("ctrl+s")
        await ui.until("✓ succeeded")
        assert ui.route == "run"
    (run,) = runs_of(project)
    assert project.do("show", str(run["run"]), "--json").json["params"] == {"seed": 7, "gamma": 0.75}


async def test_a_value_that_a_parameter_can_not_have_is_told_and_starts_nothing(project: Project) -> None:
    async with shown(project.path, project.env) as ui:
        await ui.press("n")
        field = next(field for field in ui.app.screen.query(Input) if field.name == "seed")
        field.value = "-1"
        await ui.settle()
        assert "must be at least 0" in ui.text()
        await ui.press("ctrl+s")
        assert ui.route == "StartRunDialog"
        await ui.press("escape")
    assert runs_of(project) == []


async def test_a_run_that_can_not_start_tells_why(project: Project) -> None:
    async with shown(project.path, project.env) as ui:
        await ui.press("n")
        (project.path / "data.csv").unlink()
        await ui.press("ctrl+s")
        await ui.until("data.csv")
        assert ui.route == "runs"
    assert runs_of(project) == []


async def test_a_run_goes_on_when_the_screen_is_left(project: Project, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with shown(project.path, project.env) as ui:
        page = ui.app.screen
        page.start_run(["-S", f"gate={gate}", "gated"])  # type: ignore[attr-defined]
        await ui.until("▶ wait")
    gate.touch()
    wait_until(lambda: [run["status"] for run in runs_of(project)] != ["running"])
    assert [run["status"] for run in runs_of(project)] == ["succeeded"], project.do("show", "latest").out


async def test_a_run_is_run_again_at_its_commit_without_reuse(project: Project) -> None:
    first = project.run("models", "-S", "gamma=0.5")
    project.repo.commit("other code", {"work.py": "raise SystemExit('changed')\n"})
    async with shown(project.path, project.env, "run", run=first["run"]) as ui:
        await ui.press("r", "down", "enter")
        await ui.until("3 executed")
        await ui.until("✓ succeeded")
    again = project.do("show", "latest", "--json").json
    assert again["run"] != first["run"]
    assert again["commit"] == first["commit"]
    assert again["params"]["gamma"] == 0.5
    assert {step["outcome"] for step in again["steps"]} == {"executed"}


async def test_a_run_is_run_again_with_the_files_as_they_are(project: Project) -> None:
    project.run("models")
    project.repo.commit("other data", {"data.csv": "3,4\n"})
    async with shown(project.path, project.env) as ui:
        await ui.press("r", "end")
        await ui.type("as they are")
        await ui.press("enter")
        await ui.until("executed")
    assert project.do("show", "latest", "--json").json["steps"][0]["reason"] == "input data changed"


async def test_a_step_is_explained_by_name_and_value(project: Project) -> None:
    project.run("models")
    (project.path / "data.csv").write_text("5,6\n")
    async with shown(project.path, project.env, "run", run=project.do("log", "--json").json[0]["run"]) as ui:
        await ui.press("e")
        await ui.until("would run")
        assert "input" in ui.text()
        assert "data" in ui.line("input  ")
        await ui.press("escape")
        assert ui.route == "run"


async def test_from_the_list_the_step_to_explain_is_chosen(ran: Project) -> None:
    async with shown(ran.path, ran.env) as ui:
        await ui.press("e")
        await ui.type("bert")
        await ui.press("enter")
        await ui.until("would be reused")


async def test_the_id_is_copied(ran: Project) -> None:
    async with shown(ran.path, ran.env) as ui:
        await ui.press("y")
        assert ui.app.clipboard == ran.do("log", "--json").json[0]["run"]


async def test_cancelling_what_has_ended_says_so(ran: Project) -> None:
    async with shown(ran.path, ran.env) as ui:
        await ui.press("x")
        assert "is not in progress" in ui.text()


async def test_every_action_is_in_the_palette_and_in_the_help(ran: Project) -> None:
    async with shown(ran.path, ran.env) as ui:
        await ui.press("question_mark")
        for what in ("New run", "Cancel", "Filter", "Compare", "Explain"):
            assert what in ui.text()
        await ui.press("escape", "ctrl+p")
        await ui.type("copy id")
        await ui.until("Copy id")
        await ui.press("enter")
        await ui.until("run id copied")


async def test_the_pager_gets_the_log_and_the_screen_comes_back(ran: Project, tmp_path: Path) -> None:
    from gitml.tui.actions import SelectedRun, _page_log

    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat > {tmp_path}/paged\n")
    pager.chmod(0o755)
    run = ran.do("log", "--json").json[0]["run"]
    assert (
        _page_log(str(ran.path), {**ran.env, "PAGER": str(pager)}, SelectedRun(run, "models", step="train[ada]"))
        is None
    )
    assert (tmp_path / "paged").read_text().endswith("line 199\n")
    trouble = _page_log(str(ran.path), {**ran.env, "PAGER": "/nowhere"}, SelectedRun(run, "models", step="train[ada]"))
    assert trouble is not None
    assert "can't be started" in trouble.message


async def test_cancelling_a_run_that_a_cluster_has_asks_the_cluster(ran: Project) -> None:
    """None listens there: the cluster is asked, and what is wrong with the way to it is told."""
    ran.repo.write({"gitml.yaml": "targets: {big: {ray: '127.0.0.1:9', dashboard: '127.0.0.1:9'}}\n"})
    folder = ran.path / ".git/gitml/submitted"
    folder.mkdir()
    run = "00aa" * 4
    told = {"run": run, "target": "big", "pipeline": "models", "commit": "c" * 40, "submitted": 1.0, "by": "ann"}
    (folder / f"{run}.json").write_text(json.dumps(told))
    async with shown(ran.path, ran.env) as ui:
        assert "▷" in ui.line("00aa00aa")
        await ui.press("home", "x")
        await ui.until("Cancel run 00aa00aa?")
        await ui.press("y")
        await ui.until("no Ray cluster answers")
