"""The screen Modules."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitml.modules.folder import create_module
from gitml.tui.screens.modules.screen import ModulesPage
from gitml.tui.widgets.table import LazyTable
from tests.kit.projects.command_line import Project
from tests.kit.screen import Ui, shown

PINNED = 'inputs: {t: README.md}\nsteps:\n  c: {module: count@1.0.0, inputs: {text: "${{ inputs.t }}"}}\n'


def with_modules(path: Path) -> Project:
    """Two versions of `count`, the first the default; one pipeline pins it, one takes what is newest."""
    project = Project(path, {"README.md": "the words\n", "pipelines/pins.yaml": PINNED})
    create_module(str(path / "m"), "count")
    for version in ("1.0.0", "1.1.0"):
        text = (path / "m/module.yaml").read_text()
        lines = [f"version: {version}" if line.startswith("version:") else line for line in text.split("\n")]
        (path / "m/module.yaml").write_text("\n".join(lines))
        (path / "m/count.py").write_text((path / "m/count.py").read_text() + f"# {version}\n")
        project.repo.commit(version)
        project.do("module", "publish", "m", *(["--default"] if version == "1.0.0" else []))
    project.repo.commit("ranges", {"pipelines/ranges.yaml": PINNED.replace("count@1.0.0", "count@^1")})
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return with_modules(tmp_path / "p")


def module(project: Project) -> dict[str, object]:
    found: dict[str, object] = project.do("module", "show", "count", "--json").json
    return found


def state_of(project: Project, version: str) -> str:
    versions = module(project)["versions"]
    assert isinstance(versions, list)
    return str(next(one["state"] for one in versions if one["version"] == version))


async def at(ui: Ui, version: str) -> None:
    """Puts the cursor on a version of `count`, or on the module."""
    page = ui.app.screen
    assert isinstance(page, ModulesPage)
    table = page.query_one(LazyTable)
    for number in range(table.count):
        row = table.row(number)
        if row is not None and row.key == f":count@{version}":
            table.move_to(number)
    await ui.settle()


async def test_modules_are_listed_with_versions_states_and_who_uses_which(project: Project) -> None:
    project.do("module", "deprecate", "count@1.0.0", "--reason", "miscounts", "--default", "1.1.0")
    async with shown(project.path, project.env, "modules", size=(160, 40)) as ui:
        assert "count " in ui.line("2 versions")
        newest, row = (next(line for line in ui.lines() if v in line.partition("││")[0]) for v in ("1.1.0", "1.0.0"))
        assert "default" in newest
        assert "ranges" in newest
        assert "!" in row
        assert "pins" in row
        assert "miscounts" in row
        await at(ui, "1.0.0")
        text = ui.text()
        for told in (
            "deprecated",
            "why: miscounts",
            "text  file",
            "ignore  file, optional",
            "word  str = the",
            "count@1.0.0",
        ):
            assert told in text


async def test_disabling_shows_who_is_refused_and_waits_for_a_yes(project: Project) -> None:
    async with shown(project.path, project.env, "modules") as ui:
        await at(ui, "1.0.0")
        await ui.press("x")
        await ui.type("wrong")
        await ui.press("enter")
        assert "1.0.0 is the default. Which shall it be instead?" in ui.text()
        await ui.press("enter")
        assert "pins, count@1.0.0 will be refused" in ui.text()
        assert "Default: 1.0.0 → 1.1.0" in ui.text()
        await ui.press("n")
        assert state_of(project, "1.0.0") == "active"
        await ui.press("x")
        await ui.type("wrong")
        await ui.press("enter", "enter", "y")
        await ui.until("disable is recorded")
        assert (state_of(project, "1.0.0"), module(project)["default"]) == ("disabled", "1.1.0")
        assert any("✗" in line and "1.0.0" in line.partition("││")[0] for line in ui.lines())
        await ui.press("a", "y")
        await ui.until("enable is recorded")
        assert state_of(project, "1.0.0") == "active"


async def test_a_whole_module_is_deprecated_with_a_reason_or_not_at_all(project: Project) -> None:
    async with shown(project.path, project.env, "modules") as ui:
        await at(ui, "")
        await ui.press("d", "enter")
        assert "no reason was given" in ui.text()
        await ui.press("d")
        await ui.type("old")
        await ui.press("enter")
        assert "with a warning" in ui.text()
        await ui.press("y")
        await ui.until("deprecate is recorded")
    assert module(project)["state"] == "deprecated"
    history = project.do("module", "history", "count", "--json").json
    assert (history[-1]["event"], history[-1]["reason"]) == ("deprecate", "old")


async def test_another_default_is_set(project: Project) -> None:
    async with shown(project.path, project.env, "modules") as ui:
        await at(ui, "1.1.0")
        await ui.press("t")
        assert "Default: 1.0.0 → 1.1.0" in ui.text()
        await ui.press("y")
        await ui.until("set-default is recorded")
        assert module(project)["default"] == "1.1.0"
        await ui.press("t")
        assert "is that already" in ui.text()


async def test_a_committed_folder_is_published_and_shown(project: Project) -> None:
    text = (project.path / "m/module.yaml").read_text().replace("1.1.0", "1.2.0")
    project.repo.commit("more", {"m/module.yaml": text})
    async with shown(project.path, project.env, "modules") as ui:
        await ui.press("p", "enter")
        assert "Publish count@1.2.0?" in ui.text()
        assert "ranges, count@^1 will mean 1.2.0 instead of 1.1.0" in ui.text()
        await ui.press("y")
        await ui.until("published count@1.2.0")
        assert "▸" in ui.line(" 1.2.0 ")
        await ui.press("p", "enter")
        assert "published already" in ui.text()
    assert state_of(project, "1.2.0") == "active"


async def test_what_the_rules_refuse_is_told_and_nothing_changes(project: Project) -> None:
    (project.path / "m/count.py").write_text("# uncommitted\n")
    async with shown(project.path, project.env, "modules") as ui:
        await ui.press("p", "enter")
        assert "uncommitted" in ui.text()
        assert ui.route == "modules"
        project.repo.commit("other content under a version")
        await ui.press("p", "enter")
        await ui.until("never changes")
    versions = module(project)["versions"]
    assert isinstance(versions, list)
    assert len(versions) == 2


async def test_the_history_of_a_module_is_told(project: Project) -> None:
    async with shown(project.path, project.env, "modules") as ui:
        await ui.press("h")
        assert ui.route == "TextViewer"
        assert "1.1.0" in ui.line("publish   ")
        assert "default: 1.0.0" in ui.text()


async def test_a_module_leads_to_what_was_made_with_it(project: Project) -> None:
    project.run("pins")
    async with shown(project.path, project.env, "modules") as ui:
        await at(ui, "1.0.0")
        await ui.press("L")
        assert "What was made of count@1.0.0" in ui.text()
        assert "» c " in ui.text()
        await ui.press("o")
        assert ui.route == "modules"


async def test_a_damaged_registry_is_told_and_the_rest_of_the_ui_works(project: Project) -> None:
    (project.path / ".git/gitml/registry.db").unlink()
    commit = project.repo.git("rev-parse", "refs/gitml/registry")
    for index in (project.path / ".git/objects/pack").glob("*.idx"):
        if commit in project.repo.git("verify-pack", "-v", str(index)):
            pack = index.with_suffix(".pack")
            pack.chmod(0o644)
            pack.write_bytes(pack.read_bytes()[:20])
    async with shown(project.path, project.env, "modules") as ui:
        assert "✗" in ui.text()
        assert "git fsck" in ui.text() or "damaged" in ui.text()
        await ui.press("1")
        assert ui.route == "runs"


@contextmanager
def held(project: Project) -> Iterator[None]:
    """The registry as another process has it while it writes: its index and its log."""
    code = (
        "import fcntl, sqlite3, sys\n"
        "lock = open(sys.argv[1] + '/registry.lock', 'w')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "db = sqlite3.connect(sys.argv[1] + '/registry.db', isolation_level=None)\n"
        "db.execute('BEGIN EXCLUSIVE')\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(project.path / ".git/gitml")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            process.communicate()


@pytest.mark.slow
async def test_while_another_process_holds_the_registry_that_is_told_in_place_and_the_rest_works(
    project: Project,
) -> None:
    project.run("pins")
    async with shown(project.path, project.env) as ui:
        with held(project):
            ui.app.go("modules")
            await ui.until("Waiting for the registry")
            for key in ("h", "p", "ctrl+r", "h", "ctrl+r"):
                await ui.pilot.press(key)
            await ui.pilot.press("1")
            await ui.until("pins")
            await ui.pilot.press("enter")
            await ui.until("count.py")
            await ui.pilot.press("5")
            await ui.until("Waiting for the registry")
        await ui.until("Publish which folder")
        await ui.press("escape")
        assert "2 versions" in ui.text()
        assert "Waiting" not in ui.text()
        with held(project):
            await ui.pilot.press("ctrl+r")
            await ui.until("another process may be writing")
            assert "2 versions" in ui.text()
        await ui.settle()
        assert "another process" not in ui.text()


@pytest.mark.slow
async def test_a_change_waits_for_another_process_that_writes_and_is_made_then(project: Project) -> None:
    async with shown(project.path, project.env, "modules") as ui:
        await at(ui, "1.1.0")
        await ui.press("t")
        with held(project):
            await ui.pilot.press("y")
            await ui.until("recording")
            await ui.pilot.press("1")
            await ui.until("1 Runs")
        await ui.until("set-default is recorded")
    assert module(project)["default"] == "1.1.0"


async def test_a_registry_whose_index_is_damaged_while_one_watches_is_mended(project: Project) -> None:
    async with shown(project.path, project.env, "modules") as ui:
        path = project.path / ".git/gitml/registry.db"
        path.write_bytes(b"\0" * path.stat().st_size)
        await ui.press("ctrl+r")
        assert "2 versions" in ui.text()
        assert "✗" not in ui.text().replace("✗ disabled", "")


async def test_a_pipeline_that_can_not_be_read_is_named_and_the_modules_are_shown(project: Project) -> None:
    project.repo.commit("typo", {"pipelines/broken.yaml": "steps: [\n"})
    async with shown(project.path, project.env, "modules") as ui:
        assert "pipeline broken can't be read" in ui.text()
        assert "2 versions" in ui.text()


async def test_where_there_are_none_it_says_how_to_begin(tmp_path: Path) -> None:
    fresh = Project(tmp_path / "p", {"README.md": "x"})
    async with shown(fresh.path, fresh.env, "modules", size=(80, 24)) as ui:
        assert "No modules yet" in ui.text()
        assert "gitml module init" in ui.text()
        await ui.press("p")
        assert "no committed folder holds" in ui.text()
    assert not (fresh.path / ".git/gitml/registry.db").exists()
