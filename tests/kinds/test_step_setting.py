"""A setting of steps that can change a result is one entry of KEYED: here `retries`, as if it counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitml.core.model.action import decode_action
from gitml.core.model.step_settings import KEYED, KeyedSetting, StepSettings, settings_from_json
from tests.kit.projects.project import Project, outcomes, reasons

PIPELINE = "steps:\n  a: {shell: sh, run: 'echo x > ${{ outputs.o }}', outputs: {o: file}, retries: %d}\n"


@pytest.fixture
def keyed() -> Iterator[None]:
    part = KeyedSetting("retries", lambda settings: settings.retries, 0, int, lambda count: f"{count} retries")
    KEYED.append(part)
    yield
    KEYED.remove(part)


def test_one_that_is_not_keyed_changes_no_key(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE % 0})
    project.run()
    project.repo.commit("more", {"pipelines/p.yaml": PIPELINE % 2})
    assert outcomes(project.run()) == {"a": "reused"}


@pytest.mark.usefixtures("keyed")
def test_one_that_is_keyed_counts_where_it_is_not_the_usual_one_and_is_explained(tmp_path: Path) -> None:
    project = Project(tmp_path / "r", {"pipelines/p.yaml": PIPELINE % 0})
    usual = project.plan().decisions["a"].action
    assert usual is not None
    assert b"retries" not in usual.preimage()
    project.run()
    project.repo.commit("more", {"pipelines/p.yaml": PIPELINE % 2})
    run = project.run()
    assert (outcomes(run), reasons(run)) == ({"a": "executed"}, {"a": "command retries: 0 retries -> 2 retries"})
    action = project.plan().decisions["a"].action
    assert action is not None
    assert b'"retries":2' in action.preimage()
    assert decode_action(action.preimage()) == action


def test_settings_are_read_back_and_the_usual_ones_take_no_room() -> None:
    assert StepSettings().as_json() is None
    settings = StepSettings(retries=2, network="none", nodes=4)
    assert settings.as_json() == {"network": "none", "retries": 2, "nodes": 4}
    assert settings_from_json(settings.as_json()) == settings
