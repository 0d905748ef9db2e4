"""What the local target has for steps, at the least."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitml.core.model.resources import ONE_CPU, Resources
from tests.kit.projects.project import Project


def test_a_container_with_half_a_cpu_runs_a_step_that_asks_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gitml.engine.execution import local_kind
    from gitml.execute import capacity

    project = Project(tmp_path / "r", {"x": ""})
    monkeypatch.setattr(capacity, "machine_capacity", lambda _: Resources(0.5, 0.0, 1 << 30))
    with project.workspace() as ws:
        assert ONE_CPU.fits(local_kind.local_capacity(ws, {}, None))
        assert local_kind.local_capacity(ws, {}, 4).cpus == 4
