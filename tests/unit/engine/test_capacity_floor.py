"""What the local target has for steps, at the least."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitml.core.model.resources import ONE_CPU, Resources
from tests.kit.projects.project import Project


def test_a_container_with_half_a_cpu_runs_a_step_that_asks_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gitml.core.config.project import Config
    from gitml.engine.execution import local_steps

    project = Project(tmp_path / "r", {"x": ""})
    monkeypatch.setattr(local_steps, "machine_capacity", lambda _: Resources(0.5, 0.0, 1 << 30))
    with project.workspace() as ws:
        assert ONE_CPU.fits(local_steps.local_capacity(ws, Config(), None))
        assert local_steps.local_capacity(ws, Config(), 4).cpus == 4
