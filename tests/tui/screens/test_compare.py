"""The screen Compare."""

from __future__ import annotations

from tests.kit.projects.command_line import Project
from tests.kit.screen import shown


def ids(project: Project) -> tuple[str, ...]:
    return tuple(run["run"] for run in project.do("log", "--json").json[::-1])


async def test_what_differs_stands_side_by_side_with_the_change(ran: Project) -> None:
    first, second, _ = ids(ran)
    async with shown(ran.path, ran.env, "compare", runs=(first, second)) as ui:
        assert ui.line("  gamma ").split()[-4:-1] == ["0.25", "0.5", "+0.25"]
        assert "+0.75" in ui.line("train[ada].accuracy")
        assert "seed" not in ui.text()
        await ui.press("a")
        assert "seed" in ui.text()
        await ui.press("end")
        assert "STEPS" in ui.text()


async def test_code_that_differs_is_named_and_its_change_shown(project: Project) -> None:
    one = project.run("models")
    code = (project.path / "work.py").read_text()
    project.repo.commit("other words", {"work.py": code.replace("preparing from", "taking")})
    two = project.run("models")
    async with shown(project.path, project.env, "compare", runs=(one["run"], two["run"])) as ui:
        rows = [line for line in ui.lines() if "│" in line]
        at = next(number for number, line in enumerate(rows) if "work.py" in line) - next(
            number for number, line in enumerate(rows) if "▸" in line
        )
        await ui.press(*["down"] * at, "enter")
        assert '-    print("preparing from", source, flush=True)' in ui.text()
        assert '+    print("taking", source, flush=True)' in ui.text()


async def test_plots_are_drawn_over_one_another(ran: Project) -> None:
    first, second, _ = ids(ran)
    async with shown(ran.path, ran.env, "compare", runs=(first, second)) as ui:
        await ui.press("p")
        assert first[:8] in ui.text()
        assert second[:8] in ui.text()
        assert "train[ada].curve (1 of 2" in ui.text()
        await ui.press("right")
        assert "train[bert].curve (2 of 2" in ui.text()


async def test_runs_that_are_alike_say_so(ran: Project) -> None:
    first, _, third = ids(ran)
    async with shown(ran.path, ran.env, "compare", runs=(first, first)) as ui:
        assert "Nothing differs" in ui.text()
    async with shown(ran.path, ran.env, "compare", runs=(first, third)) as ui:
        assert "gamma" not in ui.text()


async def test_three_runs_have_a_column_each(ran: Project) -> None:
    async with shown(ran.path, ran.env, "compare", size=(160, 40), runs=ids(ran)) as ui:
        head = ui.line(ids(ran)[0][:8])
        assert all(id[:8] in head for id in ids(ran))
