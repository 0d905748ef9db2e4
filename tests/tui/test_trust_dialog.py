"""What a clone may not do yet is asked from the screens as at a terminal: by what it is, once, and no is no."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import Repository
from tests.kit.screen import shown


@pytest.fixture
def clone(project: Project, tmp_path: Path) -> Project:
    """The project as one that has a remote, and of which its user was never asked."""
    project.repo.git("remote", "add", "origin", Repository(tmp_path / "hub.git", bare=True).path)
    kept = {name: value for name, value in project.env.items() if name != "GITML_TRUST"}
    project.env = {**kept, "XDG_CONFIG_HOME": str(tmp_path / "config")}
    return project


async def test_a_run_is_started_after_a_yes_and_not_after_a_no(clone: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITML_TRUST")
    async with shown(clone.path, clone.env) as ui:
        ui.app.screen.start_run(["models"])  # type: ignore[attr-defined]
        await ui.until("May these steps run?")
        assert "python3 work.py" in ui.text()
        await ui.press("n")
        assert clone.do("log", "--json").json == []
        ui.app.screen.start_run(["models"])  # type: ignore[attr-defined]
        await ui.until("May these steps run?")
        await ui.press("y")
        await ui.until("✓ succeeded")
    assert clone.do("trust", "--json").json["run"] is True


async def test_a_remote_store_is_shown_before_it_is_used(clone: Project, tmp_path: Path) -> None:
    (clone.path / "gitml.yaml").write_text(f"remotes: ['file://{tmp_path}/store']\nrecords: {{inline_file: 0}}\n")
    clone.run("models", "--trust")
    clone.do("push", "--trust")
    made = next(iter(clone.do("show", "latest", "--json").json["steps"]))
    port, output = next(iter(made["outputs"].items()))
    for path in (clone.path / ".git/gitml/objects").rglob("*"):
        if path.is_file():
            path.unlink()
    async with shown(clone.path, clone.env, "artifacts", size=(160, 40), digest=output["digest"]) as ui:
        await ui.until("A remote store has")
        await ui.press("f")
        await ui.until("May these places be used?")
        assert "remote store file" in ui.text()
        await ui.press("y")
        await ui.until("fetched ")
    assert clone.object(output["digest"]).exists(), port
