"""The screen Run, of runs that ended and of one that goes on."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from gitml.platform import kernel
from gitml.tui.screens.run.log_pane import LogView
from gitml.tui.screens.run.screen import RunPage
from gitml.tui.widgets.bars import TopBar
from gitml.tui.widgets.graph import StepGraph
from gitml.tui.widgets.table import LazyTable
from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import Project, wait_until
from tests.kit.screen import shown


def newest(project: Project) -> str:
    runs: list[dict[str, str]] = project.do("log", "--json").json
    return runs[0]["run"]


def middle(project: Project) -> str:
    runs: list[dict[str, str]] = project.do("log", "--json").json
    return runs[1]["run"]


async def test_the_graph_shows_each_step_with_its_state_and_the_details_tell_why_and_what(ran: Project) -> None:
    async with shown(ran.path, ran.env, "run", run=middle(ran)) as ui:
        assert "= prepare" in ui.text()
        assert "✓ train[ada]" in ui.text()
        assert "╭" in ui.text()
        assert "twice the gamma" in ui.text()
        await ui.press("down")
        assert "param gamma: 0.25 -> 0.5" in ui.text()
        assert "gamma = 0.5" in ui.text()
        assert "python3 work.py train" in ui.text()
        assert "CPU" in ui.line("cost")
        await ui.press("right")
        assert ui.app.screen.query_one(StepGraph).chosen == "train[bert]"


async def test_a_narrow_screen_shows_an_outline(ran: Project) -> None:
    async with shown(ran.path, ran.env, "run", size=(80, 24), run=newest(ran)) as ui:
        assert "├ = train[ada]" in ui.text()
        await ui.press("v")
        assert "│ = prepare │" in ui.text()


async def test_the_files_of_a_step_are_listed_with_digests_and_sizes(ran: Project) -> None:
    run = ran.do("show", newest(ran), "--json").json
    digest = run["steps"][0]["outputs"]["clean"]["digest"]
    async with shown(ran.path, ran.env, "run", run=run["run"]) as ui:
        await ui.press("f")
        line = ui.line("clean")
        assert digest[7:19] in line
        assert "1 B" in line
        assert "work.py" in ui.text()
        assert "data.csv" in ui.line("input ")
        await ui.press("f", "Y")
        assert ui.app.clipboard == digest


async def test_the_log_of_a_reused_step_is_that_of_the_run_which_made_it(ran: Project) -> None:
    async with shown(ran.path, ran.env, "run", run=newest(ran), step="train[ada]") as ui:
        await ui.press("l")
        assert "line 199" in ui.text()
        assert "which made it" in ui.text()
        await ui.press("l", "home")
        assert "one line of a log" in ui.text()


async def test_a_log_is_searched(ran: Project) -> None:
    async with shown(ran.path, ran.env, "run", run=newest(ran), step="train[ada]") as ui:
        await ui.press("l", "l", "slash")
        await ui.type("line 5")
        await ui.press("enter")
        view = ui.app.screen.query_one(LogView)
        assert view.page.lines[view._rows[int(view.scroll_offset.y)][0]] == "line 5"
        await ui.press("n")
        assert view.page.lines[view._rows[int(view.scroll_offset.y)][0]] == "line 50"
        await ui.press("N", "slash")
        await ui.type("nowhere")
        await ui.press("enter")
        assert "nowhere is not found" in ui.text()


async def test_metrics_stand_beside_those_of_the_run_before(ran: Project) -> None:
    async with shown(ran.path, ran.env, "run", run=newest(ran), step="train[ada]") as ui:
        await ui.press("m")
        words = ui.line("train[ada].accuracy").split()
        assert words[-4:-1] == ["0.75", "1.5", "-0.75"]


async def test_a_table_of_a_plot_port_is_drawn(ran: Project) -> None:
    async with shown(ran.path, ran.env, "run", run=newest(ran), step="train[ada]") as ui:
        await ui.press("p")
        assert "train[ada].curve" in ui.text()
        assert "epoch" in ui.text()
        assert any("⠁" <= char <= "⣿" for char in ui.text())


PAINT = """\
import sys
from PIL import Image
Image.new("RGB", (40, 20), sys.argv[1]).save(sys.argv[2], "PNG")
open(sys.argv[3], "w").write("a,b\\nx,y\\n")
"""
PAINTED = """\
params: {colour: {default: red}}
steps:
  paint:
    run: PYTHON paint.py ${{ params.colour }} ${{ outputs.picture }} ${{ outputs.noise }}
    outputs: {picture: plot, noise: plot}
"""


async def test_a_picture_of_a_plot_port_is_shown_and_pictures_of_runs_beside_one_another(tmp_path: Path) -> None:
    pipeline = PAINTED.replace("PYTHON", sys.executable)
    project = Project(tmp_path / "p", {"paint.py": PAINT, "pipelines/painting.yaml": pipeline})
    runs = tuple(project.run("painting", "-S", f"colour={colour}")["run"] for colour in ("red", "blue"))
    async with shown(project.path, project.env, "run", run=runs[0]) as ui:
        await ui.press("p")
        await ui.until("paint.picture (1 of 2")
        await ui.until("▀▀▀")
        assert "PNG picture, 40 x 20" in ui.text()
        await ui.press("p", "right")
        await ui.until("no table of numbers")
        assert "▀▀▀" not in ui.text()
        await ui.press("left")
        await ui.until("▀▀▀")
    async with shown(project.path, project.env, "compare", runs=runs) as ui:
        await ui.press("p")
        await ui.until("▀▀▀")
        notes = ui.line("PNG picture")
        assert all(run[:8] in notes for run in runs)
        drawn = ui.line("▀▀▀")
        assert len(drawn.replace("│", " ").split()) == 2


async def test_the_first_pictures_of_a_directory_are_shown_with_their_names(tmp_path: Path) -> None:
    paint = """\
import os, sys
from PIL import Image
os.mkdir(sys.argv[1])
for n in range(14):
    Image.new("RGB", (4, 2), "red").save(f"{sys.argv[1]}/{n:02}.png", "PNG")
"""
    pipeline = (
        f"steps:\n  s:\n    run: {sys.executable} paint.py ${{{{ outputs.all }}}}\n"
        "    outputs: {all: {type: directory, template: images}}\n"
    )
    project = Project(tmp_path / "p", {"paint.py": paint, "pipelines/p.yaml": pipeline})
    async with shown(project.path, project.env, "run", run=project.run()["run"], size=(200, 40)) as ui:
        await ui.press("p")
        await ui.until("s.all (the first 12 of 14; gitml plots --html has more)")
        await ui.until("▀▀▀")
        assert "00.png" in ui.text()


async def test_a_plot_is_drawn_as_its_output_says(tmp_path: Path) -> None:
    pipeline = """\
steps:
  s:
    shell: sh
    run: |
      printf 'when,one,other\\n1,2,7\\n2,3,8\\n' > ${{ outputs.p }}
      printf 'actual,predicted\\ncat,dog\\n' > ${{ outputs.cm }}
    outputs: {p: {type: plot, x: when, y: other, title: Seen by all}, cm: plot}
"""
    project = Project(tmp_path / "p", {"pipelines/p.yaml": pipeline})
    async with shown(project.path, project.env, "run", run=project.run()["run"]) as ui:
        await ui.press("p")
        await ui.until("Seen by all: s.p (1 of 2")
        assert "other" in ui.text()
        assert "one" not in ui.line("other").split()
        await ui.press("p", "right")
        await ui.until("s.cm (2 of 2")
        assert "cat" in ui.text()


async def test_a_run_that_there_is_not_is_told(ran: Project) -> None:
    async with shown(ran.path, ran.env, "run", run="0" * 16) as ui:
        assert "no run" in ui.text()


async def test_a_run_is_followed_as_it_goes_on_and_cancelled(project: Project, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    process = project.start("run", "gated", "-q", "-S", f"gate={gate}")
    try:
        async with shown(project.path, project.env) as ui:
            await ui.until("▶ 1 running")
            await ui.until("▸ ▶")
            await ui.press("enter")
            await ui.until("▶ wait")
            assert "· last" in ui.text()
            assert "✓ first" in ui.text()
            await ui.press("l")
            await ui.until("waiting for the gate")
            await ui.press("x")
            assert ui.route == "ConfirmDialog"
            assert "Ctrl-C" in ui.text()
            await ui.press("y")
            await ui.until("■ cancelled")
        assert process.wait(PATIENCE) == 130
        (run,) = project.do("log", "--json").json
        assert run["status"] == "cancelled"
        assert run["counts"]["executed"] == 1
    finally:
        process.kill()
        process.communicate()


def grow(log: Path, size: int) -> None:
    """Makes a log `size` bytes: lines at either end and in the midst, between them holes, which take no room."""
    with open(log, "r+b") as file:
        for begin, name in ((0, "head"), (size // 2, "midst"), (size - (1 << 20), "tail")):
            file.seek(begin)
            file.write(b"".join(b"\n%s line %d of it" % (name.encode(), number) for number in range(40_000)))
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b"wide " * 40 + b"the Needle\n" + b"after it\n" * 40 + b"the very last line\n")


def bytes_read() -> int:
    """Bytes that this process has read from files, by now."""
    kernel.set_dumpable(dumpable=True)  # steps may have run in it before, and then only root may look
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])


def memory() -> int:
    """Bytes of this process that are in memory now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
async def test_of_a_log_of_a_gigabyte_only_what_is_seen_is_read_and_it_is_searched_and_wrapped_in_little_memory(
    project: Project, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    process = project.start("run", "gated", "-q", "-S", f"gate={gate}")
    try:
        wait_until(lambda: list((project.path / ".git/gitml/live").glob("*/logs/1-1.log")))
        (log,) = (project.path / ".git/gitml/live").glob("*/logs/1-1.log")
        grow(log, 1 << 30)
        before = memory()
        async with shown(
            project.path, project.env, "run", run=log.parent.parent.name, step="wait", size=(100, 30)
        ) as ui:
            for keys, seen in (
                (("l",), "the very last line"),
                (("l", "home"), "head line 5 of it"),
                (("pagedown", "pagedown"), "head line 40 of it"),
            ):
                begin = bytes_read()
                await ui.pilot.press(*keys)
                await ui.until(seen)
                assert bytes_read() - begin < 16 << 20, seen
            await ui.pilot.press("slash")
            await ui.type("needle")
            await ui.pilot.press("enter")
            await ui.until("the Needle")  # all of it is read for that
            await ui.press("w")
            assert "the Needle" not in ui.text()
            await ui.press("w")
            assert "the Needle" in ui.text()
            await ui.press("end")
            with open(log, "ab") as file:
                file.write(b"and then one more\n")
            await ui.until("and then one more")
            assert "1.0 GiB" in ui.line("following")
        assert memory() - before < 100 << 20
    finally:
        process.kill()
        process.communicate()


async def test_a_run_that_ends_well_elsewhere_is_seen_to_end(project: Project, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    process = project.start("run", "gated", "-q", "-S", f"gate={gate}")
    try:
        wait_until(lambda: list((project.path / ".git/gitml/live").glob("*/run.json")))
        (live,) = (project.path / ".git/gitml/live").iterdir()
        async with shown(project.path, project.env, "run", run=live.name) as ui:
            await ui.until("▶ wait")
            gate.touch()
            await ui.until("✓ succeeded")
            assert "✓ last" in ui.text()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.communicate()


async def test_a_run_that_was_killed_is_recorded_and_shown_as_failed(project: Project, tmp_path: Path) -> None:
    process = project.start("run", "gated", "-q", "-S", f"gate={tmp_path / 'gate'}")
    try:
        wait_until(lambda: list((project.path / ".git/gitml/live").glob("*/logs/1-1.log")))
        (live,) = (project.path / ".git/gitml/live").iterdir()
        async with shown(project.path, project.env, "run", run=live.name) as ui:
            await ui.until("▶ wait")
            os.kill(process.pid, signal.SIGKILL)
            await ui.until("✗ failed")
            assert "gitml was ended before the run was" in ui.text()
        assert project.do("show", live.name, "--json").json["status"] == "failed"
    finally:
        process.kill()
        process.communicate()


async def test_a_thousand_steps_are_an_outline_in_which_one_moves_at_once(project: Project) -> None:
    chain = "".join(
        f"  s{n}:\n    run: python3 work.py prepare {'${{ inputs.data }}' if n % 40 == 0 else f'${{{{ steps.s{n - 1}.outputs.o }}}}'}"
        f" {n} ${{{{ outputs.o }}}}\n    outputs: {{o: file}}\n"
        for n in range(1000)
    )
    project.repo.commit("large", {"pipelines/large.yaml": f"inputs: {{data: data.csv}}\nsteps:\n{chain}"})
    process = project.start("run", "large", "-q", "s0")
    process.communicate(timeout=PATIENCE)
    run = newest(project)
    from gitml.core.records.record import StepRun
    from gitml.history.runs import StepProgress
    from gitml.tui.screens.run.screen import RunPage

    async with shown(project.path, project.env, "run", run=run) as ui:
        page = ui.app.screen
        assert isinstance(page, RunPage)
        assert page.view is not None
        names = [f"s{n}" for n in range(1000)]
        planned = {
            name: page.planned["s0"]._replace(name=name, parents=(f"s{n - 1}",) if n % 40 else ())
            for n, name in enumerate(names)
        }  # type: ignore[index]
        page.planned = planned
        page._show(
            page.view._replace(
                steps=tuple(StepProgress(name, "reused", step=StepRun(name, "reused", "", 0.0)) for name in names)
            )
        )
        await ui.settle()
        await ui.press("end")
        assert "s999" in ui.text()
        await ui.press("up", "pageup", "home")
        assert "s0" in ui.text()


async def test_the_table_of_files_is_a_table_like_the_others(ran: Project) -> None:
    async with shown(ran.path, ran.env, "run", run=newest(ran), section="files") as ui:
        tables = list(ui.app.screen.query(LazyTable))
        assert any(table.count >= 3 for table in tables)


async def test_what_goes_on_is_told_while_a_page_is_being_opened(ran: Project) -> None:
    async with shown(ran.path, ran.env) as ui:
        opening = ui.app.push_screen(RunPage())
        assert not ui.app.screen.is_mounted
        ui.app._state_polled(ui.app.state._replace(branch="elsewhere"), None)  # type: ignore[union-attr]
        await opening
        assert ui.app.screen.query_one(TopBar).state is not None


async def test_screens_sections_and_keys_can_be_clicked(ran: Project) -> None:
    async with shown(ran.path, ran.env, "run", run=middle(ran)) as ui:
        for text, seen in (("Log", "preparing from"), ("Keys", "This screen"), ("Artifacts", "USED BY")):
            row = ui.lines().index(ui.line(text))
            await ui.pilot.click(offset=(ui.lines()[row].index(text), row))
            await ui.settle()
            await ui.until(seen)
            if text == "Keys":
                await ui.press("escape")
